// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IProviderRegistry} from "./IProviderRegistry.sol";
import {ISplitRegistry} from "./ISplitRegistry.sol";

/// @title Where submitters' money waits and providers' vouchers are paid
/// @notice A payer deposits once into a pooled *free* balance for each asset. An *escrow* reserves part of it for one
/// provider under terms that never change; their EIP-712 digest is its id. *Vouchers* are signed off chain, cumulative
/// for each escrow, and claimed in batches. What is not claimed returns to the payer's free balance.
///
/// Promises
/// - Money is conserved: for each asset the balance here is never less than {liabilities}, the sum of all free balances,
///   all reserves (deposited - claimed), all that is owed to providers and splits, and the fees. For each escrow
///   claimed <= deposited, and claimed never falls.
/// - A reserve goes to the provider the terms name, by a voucher of the signer the terms name, less the protocol's fee and the
///   split's share; or back to the payer's free balance: by the provider's {release}, by {close} after the thaw, or by the
///   {refund} of a breach that was proved. There is no other way out.
/// - Anyone may submit a claim or withdraw what is owed; the money only reaches the provider's payout address. An asset that is
///   a compute credit is burned at the provider instead; what a split or the protocol takes of it is not burned.
/// - A bad row in a batch is skipped and named in {ClaimSkipped}. It never reverts the batch. Neither does a payout that cannot
///   be made, which is then {owed}, nor a split: its share waits in {owedToSplit}. A fee that does not fit is not taken.
/// - A voucher above the reserve pays what is there, and pays the rest after a top-up. A voucher never dies: an escrow
///   that was closed and opened again under the same terms honours its old vouchers, so a payer who wants none of them
///   paid takes a new nonce.
/// - A thaw the payer started ends on time; no other party can delay it. While it runs the provider may still claim.
/// - There is no proxy and no upgrade, and nothing but new deposits can ever be stopped.
///
/// Powers
/// - The owner (a timelock) adds assets permanently, sets each asset's fee up to {MAX_FEE_PPM}, the fee's recipient and the guardian.
///   A fee applies from its block on, also to vouchers signed before: the timelock's delay is a provider's time to claim, and is
///   never less than it was at the beginning ({ITimelock}). It owns this contract for good ({IGovernedForGood}).
/// - The guardian stops new deposits of one asset or of all; owner or guardian allow them again. What is here is
///   withdrawn, reserved, claimed, released, refunded and closed all the same.
/// - {IProviderRegistry-refunder} gives reserves back by {refund}. It can pay them only to their payers.
/// - Nothing can be taken off the list of assets. A bad asset can harm only those who deposit it.
///
/// Who may do what, and what a stolen key can do
/// - The payer's key: everything with the payer's money.
/// - A hot signer (terms.signer): sign vouchers to the one provider the terms name, start a thaw, cancel a thaw that it
///   started itself. As an approved opener also: reserve up to its cap for providers of its choice, in escrows it signs
///   for itself. Stolen, it can spend its escrows' reserves and its cap; never the rest, and it cannot withdraw.
/// - The provider's key and its node key: {release} and {releaseBySig}. Stolen, the node key can give a reserve back to its
///   payer; claim before you release.
///
/// Assumptions
/// - Assets are ERC-20s that move exactly the amount named and whose balances change only by transfers. One that keeps a
///   fee is refused at deposit. One that calls back meets the reentrancy guard. One that returns false or nothing is
///   handled. The owner of the list must keep out assets that rebase, or that pretend to pay. Of one asset there are never more
///   than 2^128 - 1 base units here.
/// - An asset added as a credit is an {IComputeCredit} of our own: burnAt burns exactly the amount, from this contract.
/// - The registries are our own contracts, do not change and do not call back. The registry's refunder is the {IFaultProver}, which asks
///   for a refund only when payer's side and provider have both signed the promise and the provider has signed its breach.
/// - Signatures are 65 bytes r, s, v with s in the lower half and v 27 or 28; in the packed rows of {claim} alone, r and
///   vs as in ERC-2098. Vouchers are signed by ordinary keys: what a contract (ERC-1271) says of a signature can change after
///   the provider relied on it. An opening by the payer or a release by the provider may be signed by a contract. Signature bytes
///   are never used as an id.
/// - Events about an escrow that was never opened can be caused by anyone ({ClaimSkipped}), so followers ignore ids they do
///   not know. {funds} and {escrowStates} answer anything for a number that is no escrow's id: an id is itself the place where
///   the escrow's numbers are stored.
/// - A signed opening or release can be submitted by anyone until its deadline; sign short deadlines.
/// - Fees and shares are rounded down once for each claim. A provider that claims in dust saves the fee's last unit and pays the gas.
/// - A refund gives back what is reserved; what was paid is paid. A promise is worth the reserve that stands behind it.
/// - Settled work can be had by paying oneself, at the price of gas and fee. A reader of {accountOf} should look at who paid.
///
/// EIP-712 domain: name "xnode", version "1", this chain, this contract.
interface IPaymentEscrow {
    /// @notice The terms of an escrow. Signed type:
    /// `Escrow(address payer,address signer,address provider,address asset,bytes32 split,uint32 thaw,uint96 nonce)`.
    /// @param payer whose free balance is reserved and gets the rest back
    /// @param signer whose vouchers count: an ordinary key, hot; may be the payer
    /// @param provider whose payout address is paid
    /// @param split the {ISplitRegistry} list that shares in every claim; zero gives all to the provider
    /// @param thaw seconds from {startThaw} to {close}: the time the provider has to claim
    /// @param nonce distinguishes escrows with otherwise equal terms
    struct Escrow {
        address payer;
        address signer;
        address provider;
        address asset;
        bytes32 split;
        uint32 thaw;
        uint96 nonce;
    }

    /// @notice A signed order to reserve amount more for an escrow, first time or top-up. Signed type:
    /// `Opening(bytes32 escrowId,uint128 amount,uint256 nonce,uint64 deadline)`.
    /// @param nonce any number that the signer has not used before, in any order
    /// @param deadline last second at which it is good
    struct Opening {
        bytes32 escrowId;
        uint128 amount;
        uint256 nonce;
        uint64 deadline;
    }

    /// @notice A signed order to shrink a reserve, by the provider or its node key. Signed type:
    /// `Release(bytes32 escrowId,uint128 newDeposited,uint256 nonce,uint64 deadline)`.
    /// @param nonce any number that the signer has not used before, for releases or openings
    /// @param deadline last second at which it is good
    struct Release {
        bytes32 escrowId;
        uint128 newDeposited;
        uint256 nonce;
        uint64 deadline;
    }

    /// @notice The constructor's arguments.
    struct AssetSetup {
        address asset;
        bool isCredit;
    }

    /// @param liabilities what is owed in this asset to everyone together, fees included
    /// @param fees taken and not yet withdrawn
    /// @param feePpm of each claim, in millionths
    /// @param isCredit claims burn it at the provider
    /// @param isStopped takes no new deposits
    struct Asset {
        uint128 liabilities;
        uint88 fees;
        uint16 feePpm;
        bool isAccepted;
        bool isCredit;
        bool isStopped;
    }

    /// @param deposited all that was reserved, less what {close} and {release} gave back
    /// @param claimed all that vouchers paid and breaches refunded
    struct Funds {
        uint128 deposited;
        uint128 claimed;
    }

    /// @param thawEnd zero when no thaw runs
    struct EscrowState {
        uint128 deposited;
        uint128 claimed;
        uint64 thawEnd;
    }

    event AssetAdded(address indexed asset, bool isCredit);
    event FeeSet(address indexed asset, uint16 feePpm);
    event FeeRecipientSet(address indexed recipient);
    event GuardianSet(address indexed guardian);
    /// @param asset zero for all
    event DepositsStopped(address indexed asset, address by);
    /// @param asset zero for all; those stopped one by one stay so
    event DepositsResumed(address indexed asset, address by);
    event Deposited(address indexed payer, address indexed asset, uint256 amount);
    event Withdrawn(address indexed payer, address indexed asset, address to, uint256 amount);
    /// @param cap what the opener may still reserve, from now on
    event OpenerApproved(address indexed payer, address indexed opener, address indexed asset, uint256 cap);
    /// @notice An escrow holds money for the first time, or again after all of it was given back with nothing claimed.
    event EscrowOpened(
        bytes32 indexed escrowId,
        address indexed payer,
        address indexed provider,
        address signer,
        address asset,
        bytes32 split,
        uint32 thaw,
        uint96 nonce,
        uint128 deposited
    );
    /// @param deposited the sum after the top-up
    event EscrowToppedUp(bytes32 indexed escrowId, uint128 deposited);
    /// @notice A thaw runs until end. Comes a second time, with the same end, when the payer takes over its signer's thaw.
    event ThawStarted(bytes32 indexed escrowId, uint64 end);
    event ThawCancelled(bytes32 indexed escrowId);
    event EscrowClosed(bytes32 indexed escrowId, uint128 refunded);
    event Released(bytes32 indexed escrowId, uint128 refunded, uint128 deposited);
    /// @notice A proved breach gave this much of the reserve back to the payer's free balance.
    /// @param claimed the sum paid and refunded so far: as much as this rose, vouchers pay less
    event Refunded(bytes32 indexed escrowId, uint128 refunded, uint128 claimed);
    /// @param claimed the sum paid from this escrow so far, refunds included
    /// @param receiptsHash what the voucher commits to
    event Claimed(bytes32 indexed escrowId, uint128 claimed, bytes32 receiptsHash);
    /// @param reason 1 nothing new: cumulative is not above claimed; 2 bad signature; 3 unfunded: all deposited is claimed.
    /// The first that holds of 1, 3, 2.
    event ClaimSkipped(bytes32 indexed escrowId, uint8 reason);
    /// @notice What a claim of at least one good row took for the protocol and a split; not emitted when both are zero.
    event ClaimShared(
        address indexed provider, address indexed asset, bytes32 indexed split, uint256 fee, uint256 share
    );
    /// @notice The end of a claim that took something: the sum of its rows, less fee and share. Providers find their claims by
    /// this one, for a provider in every {Claimed} would cost 375 gas a row.
    /// @param payout who was paid; zero when the amount was burned as credits
    event ProviderPaid(address indexed provider, address indexed asset, address payout, uint256 amount);
    /// @notice In place of {ProviderPaid}: the payout failed, so the amount waits in {owed}.
    event PayoutDeferred(address indexed provider, address indexed asset, uint256 amount);
    event OwedWithdrawn(address indexed provider, address indexed asset, address payout, uint256 amount);
    event SplitPaid(bytes32 indexed split, address indexed asset, uint256 amount);
    event FeesWithdrawn(address indexed asset, address recipient, uint256 amount);

    error ZeroAddress();
    error ZeroAmount();
    error MinThawOutOfBounds(uint32 minThaw, uint32 maxThaw);
    error AssetNotAccepted(address asset);
    error AssetAlreadyAdded(address asset);
    error AssetWithoutCode(address asset);
    error AmountTooLarge(address asset, uint256 amount, uint256 room);
    error DepositsAreStopped(address asset);
    error NotGuardian(address caller);
    error FeeOutOfBounds(uint16 feePpm, uint16 maxFeePpm);
    error WrongAmountReceived(address asset, uint256 expected, uint256 received);
    error NotEnoughFree(address payer, address asset, uint256 asked, uint256 free);
    error BadRecipient(address to);
    error NotPayer(address caller, address payer);
    error NotPayerOrSigner(address caller, address payer, address signer);
    error NotProvider(address caller, address provider);
    error NotRefunder(address caller, address refunder);
    error OpenerIsNotSigner(address opener, address signer);
    error OpenerCapExceeded(address opener, uint256 asked, uint256 cap);
    error WrongEscrow(bytes32 signed, bytes32 escrowId);
    error WrongOpeningSignature(address opener);
    error WrongReleaseSignature(address signer);
    error SignatureExpired(uint64 deadline, uint256 time);
    error NonceAlreadyUsed(address signer, uint256 nonce);
    error SplitNotRegistered(bytes32 split);
    error ThawOutOfBounds(uint32 thaw, uint32 minThaw, uint32 maxThaw);
    error EscrowEmpty(bytes32 escrowId);
    error AlreadyThawing(bytes32 escrowId, uint64 thawEnd);
    error NotThawing(bytes32 escrowId);
    error StillThawing(bytes32 escrowId, uint64 thawEnd, uint256 time);
    error ThawStartedByPayer(bytes32 escrowId);
    error ReleaseBelowClaimed(bytes32 escrowId, uint128 newDeposited, uint128 claimed);
    error RowsLengthNotWhole(uint256 length, uint256 rowLength);
    error TooManyRows(uint256 rows, uint256 maxRows);

    // ---- Assets

    /// @notice Accepts an asset for deposits, permanently. Only the owner.
    function addAsset(address asset, bool isCredit) external;

    function isAccepted(address asset) external view returns (bool);

    function assetOf(address asset) external view returns (Asset memory);

    /// @notice What this contract owes in an asset, to everyone together.
    function liabilities(address asset) external view returns (uint256);

    // ---- The fee

    /// @notice Sets what claims in an asset pay to the protocol, at most {MAX_FEE_PPM}. Only the owner.
    function setFee(address asset, uint16 feePpm) external;

    /// @notice Sets where {withdrawFees} pays; zero, as at first, leaves the fees here. Only the owner.
    function setFeeRecipient(address recipient) external;

    /// @notice Pays the fees taken in an asset to the fee's recipient. By anyone. Does nothing when there are none.
    function withdrawFees(address asset) external returns (uint256 amount);

    function feeRecipient() external view returns (address);

    // ---- The emergency stop

    /// @notice Stops new deposits of one asset; of all, and of those added later, with asset zero. Only guardian and owner.
    function stopDeposits(address asset) external;

    /// @notice Undoes {stopDeposits} with the same argument. Only guardian and owner.
    function resumeDeposits(address asset) external;

    /// @notice Names the account besides the owner that can stop deposits; zero for none. Only the owner.
    function setGuardian(address guardian_) external;

    function guardian() external view returns (address);

    // ---- The free balance

    /// @notice Moves amount from the caller, who approved this contract, to the free balance of any payer.
    function deposit(address payer, address asset, uint256 amount) external;

    /// @notice {deposit} with the caller's ERC-2612 approval in the same transaction. If someone else used the permit
    /// first, the approval it gave is used.
    function depositWithPermit(
        address payer,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice {deposit} by the ERC-3009 authorization of `from`, who is credited. Submitted by anyone; only this contract can use
    /// a `ReceiveWithAuthorization` that names it as receiver.
    function depositWithAuthorization(
        address from,
        address asset,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Pays amount of the caller's free balance to any address but this contract.
    function withdraw(address asset, uint256 amount, address to) external;

    function free(address payer, address asset) external view returns (uint256);

    // ---- Opening

    /// @notice Sets what opener may still reserve of the caller's free balance by openings it signs. The cap falls with each
    /// of them and does not rise when money comes back. To change a cap safely, set zero first and look what was used.
    function approveOpener(address opener, address asset, uint256 cap) external;

    function openerCap(address payer, address opener, address asset) external view returns (uint256);

    /// @notice Reserves amount of the caller's free balance: opens the escrow or tops it up. Refused while it thaws.
    function open(Escrow calldata terms, uint128 amount) external;

    /// @notice {open} by signature, submitted by anyone.
    /// @param opener who signed: the payer, or the escrow's signer with a cap the payer approved. No other opener can be
    /// named, so an opener can open only escrows that it signs the vouchers of.
    function openBySig(Escrow calldata terms, Opening calldata opening, address opener, bytes calldata sig) external;

    function isNonceUsed(address signer, uint256 nonce) external view returns (bool);

    // ---- Giving back

    /// @notice Starts the time after which the rest goes back. By the payer, or by the escrow's signer, because a
    /// submitter's daemon holds only that key; it is safe, for money only returns to the payer's free balance. A thaw cannot be
    /// started again to move its end. The payer may take over a thaw its signer started: the end stays, and only the
    /// payer can cancel it then.
    function startThaw(Escrow calldata terms) external;

    /// @notice Ends a thaw without giving back. By the payer; or by the signer if it was the signer who started it, so that
    /// a stolen signer cannot hold up the payer's own thaw.
    function cancelThaw(Escrow calldata terms) external;

    /// @notice Gives the rest back to the payer's free balance after the thaw. By anyone. The escrow can be opened again.
    function close(Escrow calldata terms) external;

    /// @notice The provider agrees to shrink the reserve: the rest returns to the payer's free balance at once. By the provider
    /// or its node key. Safe to repeat: does nothing if deposited is at or below newDeposited already.
    function release(Escrow calldata terms, uint128 newDeposited) external;

    /// @notice {release} by signature, submitted by anyone.
    /// @param signer who signed: the provider or its node key
    function releaseBySig(Escrow calldata terms, Release calldata order, address signer, bytes calldata sig) external;

    /// @notice Gives amount of the reserve, or what there is, back to the payer's free balance at once and raises claimed by as
    /// much. Only the registry's refunder, after a breach both sides had signed a price for was proved.
    /// @return refunded what was given back; nothing when all is claimed
    function refund(Escrow calldata terms, uint128 amount) external returns (uint128 refunded);

    // ---- Claiming

    /// @notice Pays the vouchers in rows, all of escrows with the same provider, asset, split and thaw. By anyone.
    /// @param rows at most {MAX_ROWS} rows of 164 bytes, big-endian, without padding:
    /// payer 20, signer 20, nonce 12, cumulative 16, receiptsHash 32, r 32, vs 32 (ERC-2098)
    /// @return paid what the reserves paid, fee and share included
    function claim(address provider, address asset, bytes32 split, uint32 thaw, bytes calldata rows)
        external
        returns (uint256 paid);

    /// @notice The same for one voucher, written to be read: {claim} with that one row has the same outcome.
    /// @param sig over `Voucher(bytes32 escrowId,uint128 cumulative,bytes32 receiptsHash)` by terms.signer
    function claimOne(Escrow calldata terms, uint128 cumulative, bytes32 receiptsHash, bytes calldata sig)
        external
        returns (uint256 paid);

    /// @notice Pays what is owed to the provider's payout address, or burns it there. By anyone. Does nothing when nothing is owed.
    function withdrawOwed(address provider, address asset) external returns (uint256 amount);

    function owed(address provider, address asset) external view returns (uint256);

    /// @notice Pays a split's shares into {ISplitRegistry-accrue}. By anyone. Does nothing when there are none. Apart from
    /// {claim}, so that no asset, split or lack of gas can make a share fail a claim or go elsewhere.
    function paySplit(bytes32 split, address asset) external returns (uint256 amount);

    function owedToSplit(bytes32 split, address asset) external view returns (uint256);

    /// @notice What a provider did in an asset, ever: the part of its reputation that is money.
    /// @param settled_ paid by vouchers, fees and shares included; stops at 2^128 - 1
    /// @param refunded_ given back for proved breaches
    /// @param owed_ see {owed}
    function accountOf(address provider, address asset)
        external
        view
        returns (uint256 settled_, uint256 refunded_, uint256 owed_);

    // ---- Views

    function escrowId(Escrow calldata terms) external view returns (bytes32);

    function funds(bytes32 escrowId_) external view returns (uint128 deposited, uint128 claimed);

    /// @notice When a running thaw ends, in seconds since 1970; zero when none runs.
    function thawEnd(bytes32 escrowId_) external view returns (uint64);

    function escrowStates(bytes32[] calldata escrowIds) external view returns (EscrowState[] memory);

    function registry() external view returns (IProviderRegistry);

    function splits() external view returns (ISplitRegistry);

    /// @notice The shortest thaw an escrow may have; a devnet takes seconds.
    function minThaw() external view returns (uint32);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_THAW() external view returns (uint32);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_ROWS() external view returns (uint256);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_FEE_PPM() external view returns (uint16);

    function domainSeparator() external view returns (bytes32);
}
