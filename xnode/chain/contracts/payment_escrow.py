"""PaymentEscrow: calldata, views and events of the contract that holds submitters' money and pays vouchers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.eip712 import Domain
from metering.terms import Escrow, Opening
from metering.units import Address, Amount
from xnode.chain.abi.codec import Event, Function
from xnode.ports.chain import ClaimRow

MAX_ROWS = 200
"""The contract's own limit for one claim; we keep a whole transaction to it."""

ROW_BYTES = 164

TERMS = "(address,address,address,address,bytes32,uint32,uint96)"
"""Escrow, as the ABI spells it."""

_OPENING = "(bytes32,uint128,uint256,uint64)"
_RELEASE = "(bytes32,uint128,uint256,uint64)"

ADD_ASSET = Function("addAsset(address,bool)")
SET_FEE = Function("setFee(address,uint16)")
STOP_DEPOSITS = Function("stopDeposits(address)")
RESUME_DEPOSITS = Function("resumeDeposits(address)")
DEPOSIT = Function("deposit(address,address,uint256)")
DEPOSIT_WITH_PERMIT = Function("depositWithPermit(address,address,uint256,uint256,uint8,bytes32,bytes32)")
DEPOSIT_WITH_AUTHORIZATION = Function(
    "depositWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
)
WITHDRAW = Function("withdraw(address,uint256,address)")
APPROVE_OPENER = Function("approveOpener(address,address,uint256)")
OPEN = Function(f"open({TERMS},uint128)")
OPEN_BY_SIG = Function(f"openBySig({TERMS},{_OPENING},address,bytes)")
START_THAW = Function(f"startThaw({TERMS})")
CANCEL_THAW = Function(f"cancelThaw({TERMS})")
CLOSE = Function(f"close({TERMS})")
RELEASE = Function(f"release({TERMS},uint128)")
RELEASE_BY_SIG = Function(f"releaseBySig({TERMS},{_RELEASE},address,bytes)")
CLAIM = Function("claim(address,address,bytes32,uint32,bytes)", "uint256")
CLAIM_ONE = Function(f"claimOne({TERMS},uint128,bytes32,bytes)", "uint256")
WITHDRAW_OWED = Function("withdrawOwed(address,address)", "uint256")
PAY_SPLIT = Function("paySplit(bytes32,address)", "uint256")
WITHDRAW_FEES = Function("withdrawFees(address)", "uint256")
MULTICALL = Function("multicall(bytes[])", "bytes[]")

IS_ACCEPTED = Function("isAccepted(address)", "bool")
ASSET_OF = Function("assetOf(address)", "(uint128,uint88,uint16,bool,bool,bool)")
FREE = Function("free(address,address)", "uint256")
OPENER_CAP = Function("openerCap(address,address,address)", "uint256")
IS_NONCE_USED = Function("isNonceUsed(address,uint256)", "bool")
OWED = Function("owed(address,address)", "uint256")
OWED_TO_SPLIT = Function("owedToSplit(bytes32,address)", "uint256")
ACCOUNT_OF = Function("accountOf(address,address)", "uint256,uint256,uint256")
ESCROW_ID = Function(f"escrowId({TERMS})", "bytes32")
ESCROW_STATES = Function("escrowStates(bytes32[])", "(uint128,uint128,uint64)[]")
LIABILITIES = Function("liabilities(address)", "uint256")
REGISTRY = Function("registry()", "address")
SPLITS = Function("splits()", "address")
GUARDIAN = Function("guardian()", "address")
FEE_RECIPIENT = Function("feeRecipient()", "address")
MIN_THAW = Function("minThaw()", "uint32")
OWNER = Function("owner()", "address")
DOMAIN_SEPARATOR = Function("domainSeparator()", "bytes32")

DEPOSITED = Event("Deposited(address indexed payer, address indexed asset, uint256 amount)")
WITHDRAWN = Event("Withdrawn(address indexed payer, address indexed asset, address to, uint256 amount)")
OPENER_APPROVED = Event(
    "OpenerApproved(address indexed payer, address indexed opener, address indexed asset, uint256 cap)"
)
ESCROW_OPENED = Event(
    "EscrowOpened(bytes32 indexed escrowId, address indexed payer, address indexed provider, address signer,"
    " address asset, bytes32 split, uint32 thaw, uint96 nonce, uint128 deposited)"
)
ESCROW_TOPPED_UP = Event("EscrowToppedUp(bytes32 indexed escrowId, uint128 deposited)")
THAW_STARTED = Event("ThawStarted(bytes32 indexed escrowId, uint64 end)")
THAW_CANCELLED = Event("ThawCancelled(bytes32 indexed escrowId)")
ESCROW_CLOSED = Event("EscrowClosed(bytes32 indexed escrowId, uint128 refunded)")
RELEASED = Event("Released(bytes32 indexed escrowId, uint128 refunded, uint128 deposited)")
REFUNDED = Event("Refunded(bytes32 indexed escrowId, uint128 refunded, uint128 claimed)")
CLAIMED = Event("Claimed(bytes32 indexed escrowId, uint128 claimed, bytes32 receiptsHash)")
PROVIDER_PAID = Event("ProviderPaid(address indexed provider, address indexed asset, address payout, uint256 amount)")
CLAIM_SHARED = Event(
    "ClaimShared(address indexed provider, address indexed asset, bytes32 indexed split, uint256 fee, uint256 share)"
)
CLAIM_SKIPPED = Event("ClaimSkipped(bytes32 indexed escrowId, uint8 reason)")
PAYOUT_DEFERRED = Event("PayoutDeferred(address indexed provider, address indexed asset, uint256 amount)")
OWED_WITHDRAWN = Event("OwedWithdrawn(address indexed provider, address indexed asset, address payout, uint256 amount)")


def make_domain(chain_id: int, escrow_contract: Address) -> Domain:
    """Where escrow ids, vouchers, receipts and all else that two sides sign count."""
    return Domain(chain_id, escrow_contract)


def make_terms_values(escrow: Escrow) -> tuple[object, ...]:
    """The terms as the contract's tuple."""
    return (escrow.payer, escrow.signer, escrow.provider, escrow.asset, escrow.split, escrow.thaw, escrow.nonce)


def make_open_by_sig(escrow: Escrow, opening: Opening, opener: Address, signature: bytes) -> bytes:
    """Calldata that opens or tops up an escrow by the opener's signature."""
    values = (opening.escrow_id, opening.amount, int.from_bytes(opening.nonce, "big"), opening.deadline)
    return OPEN_BY_SIG.encode(make_terms_values(escrow), values, opener, signature)


def encode_claim_rows(rows: Sequence[ClaimRow]) -> bytes:
    """The packed rows of one claim, 164 bytes each, without the provider, asset, split and thaw that they share."""
    return b"".join(_pack(row) for row in rows)


def _pack(row: ClaimRow) -> bytes:
    escrow, voucher, signature = row.escrow, row.voucher, row.signature
    assert voucher is not None, "a row without a voucher has nothing to claim"
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise ValueError("a voucher's signature has 65 bytes and ends in 27 or 28")
    # ERC-2098: s is in the lower half, so its top bit is free to carry v.
    vs = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return b"".join(
        (
            escrow.payer,
            escrow.signer,
            escrow.nonce.to_bytes(12, "big"),
            voucher.cumulative.to_bytes(16, "big"),
            voucher.receipts_hash,
            signature[:32],
            vs.to_bytes(32, "big"),
        )
    )


def make_claims(rows: Sequence[ClaimRow]) -> list[bytes]:
    """Calldata of the claims that settle all rows: one for each provider, asset, split and thaw."""
    groups: dict[tuple[Address, Address, bytes, int], list[ClaimRow]] = {}
    for row in rows:
        escrow = row.escrow
        groups.setdefault((escrow.provider, escrow.asset, escrow.split, escrow.thaw), []).append(row)
    return [CLAIM.encode(*shared, encode_claim_rows(group)) for shared, group in groups.items()]


def make_release(escrow: Escrow, new_deposited: Amount) -> bytes:
    """Calldata by which the provider gives back what is above `new_deposited`."""
    return RELEASE.encode(make_terms_values(escrow), new_deposited)


class AssetState(msgspec.Struct, frozen=True):
    """How the escrow holds an asset, in base units. fee_ppm: of each claim; is_stopped: takes no new deposits."""

    liabilities: int
    fees: int
    fee_ppm: int
    is_accepted: bool
    is_credit: bool
    is_stopped: bool
