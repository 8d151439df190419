"""Reverts: what a contract's refusal means to a person, and what to do about it; one line for each custom error."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from xnode.chain.abi.codec import Revert
from xnode.cli.terminal.brief import brief_date
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX_DECIMALS, format_amount
from xnode.text.hex import checksum_address, to_hex

_GET_TERMS = "send it with the escrow's own terms"
_TRY_AGAIN = "try again; if it fails again, this xnode and the contracts do not match: upgrade it"
_OWNER_ONLY = "propose it to the timelock"

# In the templates: {x:18} is an amount of OPENX or credits, {x:date} a time in seconds; amounts of other assets are shown
# in base units, for a revert does not say their decimals.
MEANINGS: Mapping[str, tuple[str, str]] = {
    # Money in the wallet
    "ERC20InsufficientBalance": ("{sender} has {balance} base units of the asset, this takes {needed}", "get more"),
    "ERC20InsufficientAllowance": ("{spender} may take {allowance} base units, this takes {needed}", "try again"),
    "ERC2612ExpiredSignature": ("the signed approval was good until {deadline:date}", "try again"),
    "ERC2612InvalidSigner": ("the approval was signed by {signer}, not by {owner}", "use that wallet"),
    "ZeroAmount": ("the amount must be positive", ""),
    "ZeroAddress": ("an address is zero", "name one"),
    # Deposits and escrows
    "AssetNotAccepted": ("the escrow does not accept {asset}", "choose an asset of the manifest"),
    "AssetAlreadyAdded": ("the escrow accepts {asset} already", ""),
    "AssetWithoutCode": ("there is no contract at {asset}", "check the address"),
    "DepositsAreStopped": ("new deposits of {asset} are stopped by the guardian", "what is in stays yours; try later"),
    "AmountTooLarge": ("{amount} base units are more than the {room} that fit", "use less"),
    "WrongAmountReceived": (
        "{asset} moved {received} instead of {expected} base units",
        "fee-on-transfer tokens are not supported",
    ),
    "NotEnoughFree": ("{free} of {asked} base units are free", "deposit more, or wait until jobs settle"),
    "BadRecipient": ("{to} cannot be paid", "name another address"),
    "NotPayer": ("only the payer {payer} may do this", "use its wallet"),
    "NotPayerOrSigner": ("only the payer {payer} or the signer {signer} may do this", "use one of them"),
    "NotProvider": ("only the provider {provider} or its node key may do this", "use its wallet"),
    "OpenerIsNotSigner": ("{opener} may only open escrows that it signs for", "use the payer's wallet"),
    "OpenerCapExceeded": ("the node may use {cap} of {asked} base units", "raise it with: xnode pay approve CAP"),
    "WrongEscrow": ("what was signed is for another escrow", _GET_TERMS),
    "WrongOpeningSignature": ("the opening is not signed by {opener}", "have it signed again"),
    "WrongReleaseSignature": ("the release is not signed by {signer}", "have it signed again"),
    "SignatureExpired": ("the signature was good until {deadline:date}", "sign again; check this host's clock"),
    "NonceAlreadyUsed": ("this was done already", ""),
    "SplitNotSupported": ("this escrow cannot share its claims", "leave the split out"),
    "SplitNotRegistered": ("the split {split} is not registered", "create it first, or leave it out"),
    "ThawOutOfBounds": ("a thaw of {thaw} s is not between {minThaw} and {maxThaw} s", "change thaw_s"),
    "MinThawOutOfBounds": ("a least thaw of {minThaw} s is not between 1 and {maxThaw} s", "change the plan"),
    "EscrowEmpty": ("the escrow holds nothing", ""),
    "AlreadyThawing": ("the escrow thaws until {thawEnd:date}", "wait for its end"),
    "NotThawing": ("the escrow does not thaw", "start its thaw first"),
    "StillThawing": ("the escrow thaws until {thawEnd:date}", "wait for its end"),
    "ThawStartedByPayer": ("the payer started this thaw", "only the payer's wallet can end it"),
    "ReleaseBelowClaimed": ("{claimed} base units are claimed already", "release less"),
    "RowsLengthNotWhole": ("a claim's rows have {length} bytes, not a multiple of {rowLength}", _TRY_AGAIN),
    "TooManyRows": ("a claim of {rows} rows is more than {maxRows}", "claim in parts"),
    # Providers and stake
    "NotRegistered": ("{provider} is not a registered provider", "run: xnode provider init"),
    "AlreadyRegistered": (
        "{provider} is registered with the node key {nodeKey}",
        "rotate it with provider init --force",
    ),
    "NodeKeyTaken": ("the node key {nodeKey} belongs to {provider} forever", "make a new node key"),
    "NotPayable": ("{payout} is a contract of this deployment, not a payout", "name a wallet"),
    "WrongNodeKeySignature": ("the node key {nodeKey} did not consent", "run provider init with this node's key"),
    "NotEnoughStake": ("{staked:18} OPENX are staked, this takes {asked:18}", "use a smaller amount"),
    "StakeHeld": (
        "{held:18} OPENX of the stake are locked, and only {staked:18} would stay",
        "`xnode provider stake` shows what locks it; take out less",
    ),
    "NothingThaws": ("no such stake of {provider} is thawing", "start with: xnode provider unstake AMOUNT"),
    "StakeStillThaws": ("the stake thaws until {thawEnd:date}", "wait for its end"),
    "StakeThawOutOfBounds": ("a stake thaw of {stakeThaw} s is not between 1 and {maxStakeThaw} s", "change the plan"),
    "NotConnector": ("only the connector may name judges and holds", ""),
    "AlreadyConnected": ("the registry is connected already; {refunder} refunds", ""),
    "NotConnected": ("the registry is not connected to what takes and holds stake", "finish the deployment"),
    "TooManyJudges": ("{judges} judges are more than {maxJudges}", ""),
    "MostPpmOutOfBounds": ("a judge's most of {mostPpm} ppm is not between 1 and {max}", ""),
    "JudgeTwice": ("{judge} is named twice for one role", ""),
    "TooManyHolds": ("{holds} holds are more than {maxHolds}", ""),
    "HoldTwice": ("{hold} is named twice", ""),
    "TooManyNotPayable": ("{accounts} accounts that are no payout are more than {maxAccounts}", ""),
    "NotJudge": ("only a contract that judges this stake may do this", ""),
    "NothingToTake": (
        "nothing more is taken from {provider} for this fault now",
        "an earlier proof took it, or the most for this period is taken: what is at its limit can be proved later",
    ),
    "NotRefunder": ("only the contract that proves breaches may do this", ""),
    "NotHold": ("only a contract that holds stake may do this", ""),
    # Credits
    "NotMintable": ("{provider} has no verified capacity in force", "see `xnode provider capacity`"),
    "AboveCapacity": (
        "{outstanding:18} would be outstanding, verified capacity allows {limit:18}",
        "mint less, serve jobs first, or have more capacity verified",
    ),
    "AboveCollateral": (
        "{held:18} OPENX of collateral are needed, {staked:18} are staked",
        "xnode provider stake AMOUNT",
    ),
    "NotDefaulted": ("{provider} has not defaulted", "spend its credits on jobs"),
    "AboveRedeemable": (
        "{redeemable:18} credits of {provider} can be redeemed now, not {amount:18}",
        "use a smaller amount, or come back later",
    ),
    "PaysNothing": ("{amount:18} would be paid nothing by {provider}'s stake", "keep them, or redeem more at once"),
    "CollateralRatioOutOfBounds": (
        "a collateral ratio of {collateralRatio:18} OPENX is not between {min:18} and {max:18}",
        "change it",
    ),
    "CollateralRatioTooSoon": ("the collateral ratio may next be changed at {next:date}", "wait"),
    "WindowTooSoon": ("the window may next be changed at {next:date}", "wait"),
    "WindowOutOfBounds": ("a window of {windowHours} hours is not between {min} and {max}", "change it"),
    # OPENX and bridges
    "NotBridge": ("{caller} is not a bridge", ""),
    "CeilingOnHomeChain": ("a bridge may not add OPENX on its home chain", "set its ceiling to 0"),
    "AboveMintLimit": ("the bridge may bring {available:18} OPENX now, not {asked:18}", "wait, or bring less"),
    "AboveBurnLimit": ("the bridge may take {available:18} OPENX now, not {asked:18}", "wait, or take less"),
    "AboveCeiling": ("the bridge would be above its ceiling of {ceiling:18} OPENX", "bring less"),
    # Capacity
    "ChallengeOpen": ("a challenge of {provider} is open", "`xnode provider capacity` shows it; wait for its end"),
    "NothingInForce": ("{provider} has no capacity in force", ""),
    "OwnCheck": ("a provider cannot check itself", "request a challenge: xnode provider capacity request"),
    "CapacityInDoubt": (
        "the capacity of {provider} is in doubt until {until:date}",
        "only its own challenge decides it now",
    ),
    "TooFewVerifiers": (
        "{verifiers} verifiers are enlisted beside the provider, and {needed} are needed",
        "try again when there are more",
    ),
    "NotReveals": ("only the contract of revealed answers may do this", ""),
    "NothingReceived": ("{asset} kept all of {amount} base units", "this asset cannot be divided"),
    "NotPassed": ("the challenge was not passed", "choose one that was"),
    "WindowOver": ("leaves could be asked for until {until:date}", ""),
    "RootsNotRecorded": (
        "these are not the answers' roots that were recorded",
        "read them from the record's transaction",
    ),
    "PlacesCount": ("{places} places are none, or more than {max}", "ask for fewer"),
    "NoSuchPlace": ("device {device} has no leaf {index}", "choose another"),
    "TooLate": ("the leaves were due until {deadline:date}", ""),
    "TooEarly": ("the provider has until {deadline:date}", "wait for its end"),
    "NotTheProvider": ("only the provider {provider} shows its leaves", "use its wallet"),
    "LeavesDiffer": ("these are not the leaves that were asked for", "show those of the demand"),
    "ProofsCount": ("{proofs} proofs do not fit {leaves} leaves", "bring one for each"),
    "NotTheLeaf": ("leaf {shown} was shown where {demanded} was asked for", "bring them in the order of the demand"),
    "WrongStage": ("the challenge is at another stage", "`xnode provider capacity` shows it"),
    "TooEarlyToDraw": ("the challenge is drawn after block {drawBlock}, this is {blockNumber}", "wait"),
    "DeadlinePassed": ("the challenge took verdicts until {deadline:date}", "request another"),
    "DeadlineNotPassed": ("the challenge takes verdicts until {deadline:date}", "wait"),
    "LengthsDiffer": ("{verifiers} verifiers, {verdicts} verdicts, {signatures} signatures", _TRY_AGAIN),
    "QuorumShort": ("{verdicts} verdicts are fewer than the {quorum} that decide", "wait for more"),
    "VerdictsDiffer": ("the verdict of {verifier} says something else", "record those that agree"),
    "VerdictOfAnother": ("a verdict is about another challenge", "record those of this one"),
    "RootsCount": ("{roots} roots of answers for {devices} devices", _TRY_AGAIN),
    "NotOnPanel": ("{verifier} is not on the panel", "leave its verdict out"),
    "WrongVerdictSignature": ("a verdict of {verifier} is not signed by its node key {nodeKey}", "leave it out"),
    "VerifierStakeShort": (
        "a verifier pledges {needed:18} OPENX, {verifier} has {staked:18} staked as one",
        "enlist with: xnode provider verifier enlist",
    ),
    "AlreadyVerifier": ("{provider} is a verifier already", ""),
    "NotVerifier": ("{provider} is not a verifier", "enlist with: xnode provider verifier enlist"),
    "LeftRecently": ("{provider} left as a verifier recently", "enlist again after {heldUntil:date}"),
    "TooManyVerifiers": ("there are {max} verifiers, which is the most", "try later"),
    "VerifierInOrder": ("{verifier} has its pledge, signs its verdicts, and may stay", ""),
    "NotCapacity": ("only the registry of capacity may do this", ""),
    "CapacityConnected": ("the verifiers are connected already, to {capacity}", ""),
    "UnknownClass": ("there is no device class {classId}", "`xnode provider capacity` lists them"),
    "ClassIsClosed": ("device class {classId} is closed to new challenges", "choose another"),
    "ClassIsClosing": ("device class {classId} closes at {closesAt:date} already", ""),
    "ClassOpensLater": ("device class {classId} opens at {opensAt:date}", "choose another, or wait"),
    "DeclaredCount": ("{count} declared classes are not between 1 and {max}", "name fewer classes"),
    "DeclaredNotAscending": ("class {classId} is out of order", _TRY_AGAIN),
    "NothingDeclared": ("of class {classId} no device is declared", "leave it out"),
    "TooManyDevices": ("{devices} devices are more than {max}", "have them verified under another provider"),
    "SettingOutOfBounds": ("{setting:text} {value} is not between {min} and {max}", "change it"),
    "ClassNameLength": ("a class's name has {length} bytes, not 1 to {max}", "change it"),
    "MatrixSizeNotWhole": ("n = {n} is not a multiple of {multipleOf}", "change it"),
    "TooManyClasses": ("there are {max} classes, which is the most", ""),
    "ChangedTooSoon": ("it may be changed again at {nextAt:date}", "wait"),
    "OfAnotherRegistry": ("{part} was made for the registry {registry}", "finish one deployment"),
    # Faults
    "NotAProvidersKey": (
        "{signer} signed, which was no provider's node key at {datedAt:date}",
        "it proves nothing: keys answer from when they are bound until a thaw after they are replaced",
    ),
    "SignersDiffer": ("{a} and {b} are two, and must be one", "name documents of one provider"),
    "NotSignedBy": ("{signer} signed, not {expected}", "name the documents of this lease"),
    "NumbersDiffer": ("the two documents have different numbers", "only two of one number contradict each other"),
    "SameDocument": ("both documents are the same", "name two that differ"),
    "NotDrawn": ("challenge {challengeId} was never drawn", "it proves nothing"),
    "NotCommitted": ("nothing was committed to this fault by this wallet", "run `xnode fault report` again"),
    "CommitmentTooYoung": ("it can be proved from {provableAt:date} on", "run `xnode fault report` again then"),
    "CommitmentTooOld": ("the commitment was good until {provableUntil:date}", "run `xnode fault report` again"),
    "PairsCount": ("{pairs} leases in one proof are not between 1 and {max}", "name fewer documents"),
    "NoCase": ("no case of this wallet is open for it", "run `xnode fault report` again"),
    "NotBegunUnder": ("lease {leaseId} began when nothing was verified, or another verdict", _TRY_AGAIN),
    "WindowTooShort": ("the receipts are less than an hour apart", "name receipts of a longer time"),
    "PairOutOfOrder": ("the older receipt of lease {leaseId} is not older", _TRY_AGAIN),
    "LeasesNotAscending": ("lease {leaseId} is out of order", _TRY_AGAIN),
    "UsageFalls": ("usage falls within lease {leaseId}", "leave that lease out"),
    "OutsideOfVerdict": ("the receipts are not within the time of one verdict", "name those that are"),
    "WithinCapacity": ("verified capacity can have served all of it", ""),
    "NoSuchVerdict": ("there is no verdict {index} on {provider}", ""),
    "NotTheDevice": ("the challenge has no such device {device} of this provider", ""),
    "LeafOutOfTree": ("leaf {index} is beyond the {leaves} of the answer", ""),
    "LeafLength": ("the leaf has {length} bytes instead of {expected}", ""),
    "PathLength": ("the path has {length} steps instead of {expected}", ""),
    "NotInAnswer": ("the element is not under the root that was signed", ""),
    "ElementIsRight": ("the element is right", ""),
    "VerdictDidNotPass": ("the verdict did not pass the answer", ""),
    "RootsNotOfVerdict": ("the roots are not those of the verdict", ""),
    "RowNotOpened": ("the verifier did not open row {row}", ""),
    "NothingPromised": ("the terms of lease {leaseId} promise no availability", ""),
    "NotTheLease": ("the receipt is of lease {receiptsLease}", "name the documents of one lease"),
    "NotTheEscrow": ("the terms are of another escrow", "name the documents of one lease"),
    "NotTheLast": ("receipt {number} is not the last one", "wait until the lease has ended"),
    "PromiseKept": ("the provider kept its promise", ""),
    "NothingToRefund": ("nothing is left to refund for lease {leaseId}", "it was refunded, or the reserve is empty"),
    "LeaseIsOver": ("lease {leaseId} has shown its last receipt", "get it by `xnode fault shown`, and name it too"),
    "NotTheNewest": (
        "lease {leaseId} was answered for with a newer receipt",
        "get it by `xnode fault shown`, and name it too",
    ),
    "NotAnAnswer": ("receipt {number} answers no claim of silence", "show the newest one, or the last"),
    "NotSilentYet": ("the provider is not silent before {claimableAt:date}", "wait"),
    "SilenceTooOld": (
        "a silence after that receipt could be claimed until {claimableUntil:date}",
        "name newer receipts",
    ),
    "SilenceClaimedAlready": (
        "the provider may answer until {answerUntil:date}, and no more is due by this receipt",
        "run it again then",
    ),
    "NoSilence": ("no silence of lease {leaseId} is claimed, or it was answered", ""),
    "AnswerStillDue": ("the provider may answer until {answerUntil:date}", "run it again then"),
    "NotPayableAnyMore": (
        "stake made up for it until {payableUntil:date}",
        "prove it again with the last receipt: it waits anew",
    ),
    "NotPayableYet": ("stake makes up for it from {payableAt:date} on", "run it again then"),
    # Splits
    "NoShares": ("the split names no recipient", "name a recipient"),
    "TooManyShares": ("{shares} recipients are more than {maxShares}", "name fewer"),
    "ZeroShare": ("{recipient} would get nothing", "leave it out"),
    "SharesNotAscending": ("{recipient} is out of order", _TRY_AGAIN),
    "SharesAboveWhole": ("the shares come to {totalPpm} millionths, more than all", "lower them"),
    # Governance
    "OwnableUnauthorizedAccount": ("only the timelock may do this, not {account}", _OWNER_ONLY),
    "OwnedForGood": ("{owner} owns this contract for good", "change the roles of the timelock instead"),
    "DelayTooShort": ("a delay of {delay} s is shorter than {leastDelay} s, which it began with", "name a longer one"),
    "NotGuardian": ("only the guardian or the timelock may do this, not {caller}", _OWNER_ONLY),
    "FeeOutOfBounds": ("a fee of {feePpm} millionths is above {maxFeePpm}", "lower it"),
    "AccessControlUnauthorizedAccount": ("{account} may not do this at the timelock", "use a proposer's wallet"),
    "TimelockInsufficientDelay": ("a delay of {delay} s is shorter than {minDelay} s", "wait longer"),
    "TimelockUnexpectedOperationState": ("the operation is at another stage", "see `xnode chain governance`"),
    "TimelockUnexecutedPredecessor": ("another operation comes first", "execute that one"),
    "TimelockUnauthorizedCaller": ("only the timelock may change itself", _OWNER_ONLY),
}


def explain(revert: Revert) -> UserError:
    """What a person sees of a refusal: one line, with what to do."""
    known = MEANINGS.get(revert.name)
    if known is None:
        return UserError(f"the contract refused it: {revert}", hint=_TRY_AGAIN, code=ExitCode.REFUSED)
    try:
        what, hint = (_WORDS.vformat(text, (), revert.values) for text in known)
    except (KeyError, ValueError):
        return UserError(f"the contract refused it: {revert}", hint=known[1], code=ExitCode.REFUSED)
    return UserError(what, hint=hint, code=ExitCode.REFUSED)


class _Words(string.Formatter):
    """Values as people read them: addresses with checksum, amounts in whole units, times as dates."""

    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec, value:
            case "18", int():
                return format_amount(value, OPENX_DECIMALS)
            case "date", int():
                return brief_date(min(value, 1 << 33) * 10**9)
            case "text", bytes():
                return value.rstrip(b"\0").decode(errors="replace")
            case _, bytes():
                return checksum_address(value) if len(value) == 20 else to_hex(value)  # type: ignore[arg-type]
        return str(value)

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[str(key)]


_WORDS = _Words()
