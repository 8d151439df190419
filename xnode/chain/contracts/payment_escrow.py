"""PaymentEscrow: calls and views of the contract that holds submitters' money and pays vouchers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.eip712 import Domain
from metering.terms import Escrow, Opening
from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Call, View, amount_of, list_of
from xnode.ports.chain import ClaimRow, EscrowState

MAX_ROWS = 200
"""The contract's own limit for one claim; we keep a whole transaction to it."""


class AssetState(msgspec.Struct, frozen=True):
    """How the escrow holds an asset, in base units. fee_ppm: of each claim; is_stopped: takes no new deposits."""

    liabilities: int
    fees: int
    fee_ppm: int
    is_accepted: bool
    is_credit: bool
    is_stopped: bool


class AssetAccount(msgspec.Struct, frozen=True):
    """One asset of a provider, in base units: what claims settled, what breaches refunded, what is still owed."""

    settled: Amount
    refunded: Amount
    owed: Amount


def _state_of(deposited: int, claimed: int, thaw_end: int) -> EscrowState:
    return EscrowState(Amount(deposited), Amount(claimed), thaw_end)


SET_FEE = Call("PaymentEscrow", "setFee")
DEPOSIT = Call("PaymentEscrow", "deposit")
DEPOSIT_WITH_PERMIT = Call("PaymentEscrow", "depositWithPermit")
WITHDRAW = Call("PaymentEscrow", "withdraw")
APPROVE_OPENER = Call("PaymentEscrow", "approveOpener")
OPEN = Call("PaymentEscrow", "open")
OPEN_BY_SIG = Call("PaymentEscrow", "openBySig")
START_THAW = Call("PaymentEscrow", "startThaw")
CLOSE = Call("PaymentEscrow", "close")
RELEASE = Call("PaymentEscrow", "release")
CLAIM = Call("PaymentEscrow", "claim")
WITHDRAW_OWED = Call("PaymentEscrow", "withdrawOwed")
MULTICALL = Call("PaymentEscrow", "multicall")

ASSET_OF = View("PaymentEscrow", "assetOf", AssetState)
FREE = View("PaymentEscrow", "free", amount_of)
OPENER_CAP = View("PaymentEscrow", "openerCap", amount_of)
IS_NONCE_USED = View("PaymentEscrow", "isNonceUsed", bool)
OWED = View("PaymentEscrow", "owed", amount_of)
ACCOUNT_OF = View("PaymentEscrow", "accountOf", AssetAccount)
ESCROW_ID = View("PaymentEscrow", "escrowId", Hash32)
ESCROW_STATES = View("PaymentEscrow", "escrowStates", list_of(_state_of))
LIABILITIES = View("PaymentEscrow", "liabilities", int)


def make_domain(chain_id: int, escrow_contract: Address) -> Domain:
    """Where escrow ids, vouchers, receipts and all else that two sides sign count."""
    return Domain(chain_id, escrow_contract)


def make_open_by_sig(escrow: Escrow, opening: Opening, opener: Address, signature: bytes) -> bytes:
    """Calldata that opens or tops up an escrow by the opener's signature."""
    return OPEN_BY_SIG.encode(escrow, opening, opener, signature)


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
    return RELEASE.encode(escrow, new_deposited)
