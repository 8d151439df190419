"""Events: what the contracts tell, as plain frozen values."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from metering.units import U128_MAX, Address, Amount, Hash32
from xnode.chain.abi.codec import Event, parse_hex
from xnode.chain.contracts import payment_escrow as escrow
from xnode.chain.contracts import provider_registry as registry


class EscrowOpened(msgspec.Struct, frozen=True, tag=True):
    """An escrow holds money for the first time, or again after all of it was given back unclaimed. thaw: seconds."""

    escrow_id: Hash32
    payer: Address
    provider: Address
    signer: Address
    asset: Address
    split: Hash32
    thaw: int
    nonce: int
    deposited: Amount


class EscrowToppedUp(msgspec.Struct, frozen=True, tag=True):
    """deposited: the sum after it."""

    escrow_id: Hash32
    deposited: Amount


class ThawStarted(msgspec.Struct, frozen=True, tag=True):
    """end: seconds UTC."""

    escrow_id: Hash32
    end: int


class ThawCancelled(msgspec.Struct, frozen=True, tag=True):
    escrow_id: Hash32


class EscrowClosed(msgspec.Struct, frozen=True, tag=True):
    """The rest went back to the payer's free balance after the thaw."""

    escrow_id: Hash32
    refunded: Amount


class Released(msgspec.Struct, frozen=True, tag=True):
    """The provider gave `refunded` back; deposited: the sum after it."""

    escrow_id: Hash32
    refunded: Amount
    deposited: Amount


class Refunded(msgspec.Struct, frozen=True, tag=True):
    """A proved breach gave `refunded` back to the payer; claimed: the sum paid and refunded so far."""

    escrow_id: Hash32
    refunded: Amount
    claimed: Amount


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """claimed: the sum paid from this escrow so far."""

    escrow_id: Hash32
    claimed: Amount
    receipts_hash: Hash32


class ClaimSkipped(msgspec.Struct, frozen=True, tag=True):
    """reason: 1 nothing new, 2 bad signature, 3 unfunded. Anyone can cause it for an id that was never opened."""

    escrow_id: Hash32
    reason: int


class ProviderPaid(msgspec.Struct, frozen=True, tag=True):
    """The sum of one claim's rows, less fee and split. payout: zero when the amount was burned as credits."""

    provider: Address
    asset: Address
    payout: Address
    amount: Amount


class PayoutDeferred(msgspec.Struct, frozen=True, tag=True):
    """The asset refused the payout, so the contract owes it."""

    provider: Address
    asset: Address
    amount: Amount


class Deposited(msgspec.Struct, frozen=True, tag=True):
    payer: Address
    asset: Address
    amount: Amount


class Withdrawn(msgspec.Struct, frozen=True, tag=True):
    payer: Address
    asset: Address
    to: Address
    amount: Amount


class OpenerApproved(msgspec.Struct, frozen=True, tag=True):
    """cap: what the opener may still reserve from now on."""

    payer: Address
    opener: Address
    asset: Address
    cap: Amount


class ProviderRegistered(msgspec.Struct, frozen=True, tag=True):
    provider: Address
    node_key: Address
    payout: Address


class NodeKeyRotated(msgspec.Struct, frozen=True, tag=True):
    provider: Address
    old_node_key: Address
    new_node_key: Address


class PayoutSet(msgspec.Struct, frozen=True, tag=True):
    provider: Address
    payout: Address


class ProviderDeactivated(msgspec.Struct, frozen=True, tag=True):
    provider: Address
    node_key: Address


ChainEvent = (
    EscrowOpened
    | EscrowToppedUp
    | ThawStarted
    | ThawCancelled
    | EscrowClosed
    | Released
    | Refunded
    | Claimed
    | ClaimSkipped
    | ProviderPaid
    | PayoutDeferred
    | Deposited
    | Withdrawn
    | OpenerApproved
    | ProviderRegistered
    | NodeKeyRotated
    | PayoutSet
    | ProviderDeactivated
)

KINDS: dict[Event, type[Any]] = {
    escrow.ESCROW_OPENED: EscrowOpened,
    escrow.ESCROW_TOPPED_UP: EscrowToppedUp,
    escrow.THAW_STARTED: ThawStarted,
    escrow.THAW_CANCELLED: ThawCancelled,
    escrow.ESCROW_CLOSED: EscrowClosed,
    escrow.RELEASED: Released,
    escrow.REFUNDED: Refunded,
    escrow.CLAIMED: Claimed,
    escrow.CLAIM_SKIPPED: ClaimSkipped,
    escrow.PROVIDER_PAID: ProviderPaid,
    escrow.PAYOUT_DEFERRED: PayoutDeferred,
    escrow.DEPOSITED: Deposited,
    escrow.WITHDRAWN: Withdrawn,
    escrow.OPENER_APPROVED: OpenerApproved,
    registry.PROVIDER_REGISTERED: ProviderRegistered,
    registry.NODE_KEY_ROTATED: NodeKeyRotated,
    registry.PAYOUT_SET: PayoutSet,
    registry.PROVIDER_DEACTIVATED: ProviderDeactivated,
}

_BY_TOPIC = {event.topic: (event, kind) for event, kind in KINDS.items()}

TOPICS = tuple(_BY_TOPIC)
"""Every event's first topic, for a log filter."""


class ChainLog(msgspec.Struct, frozen=True):
    """An event and where it stands. (block_hash, log_index) names it uniquely."""

    block_number: int
    block_hash: Hash32
    tx_hash: Hash32
    log_index: int
    event: ChainEvent


def decode_log(raw: dict[str, Any]) -> ChainLog | None:
    """The event of a log as JSON-RPC gives it; None when it is none of ours. ValueError when it is malformed."""
    topics = [Hash32(parse_hex(topic)) for topic in raw["topics"]]
    known = _BY_TOPIC.get(topics[0]) if topics else None
    if known is None:
        return None
    event, kind = known
    values = event.decode(topics[1:], parse_hex(raw["data"]))
    fields = {_snake(name): _convert(value, _type_of(event, name)) for name, value in values.items()}
    return ChainLog(
        int(raw["blockNumber"], 16),
        Hash32(parse_hex(raw["blockHash"])),
        Hash32(parse_hex(raw["transactionHash"])),
        int(raw["logIndex"], 16),
        kind(**fields),
    )


def _type_of(event: Event, name: str) -> str:
    return dict((*event.indexed_fields, *event.data_fields))[name]


def _convert(value: Any, kind: str) -> Any:
    # Amounts of 256 bits only come as "without limit" (an approval's cap), or from an asset nobody should accept.
    return Amount(min(value, U128_MAX)) if kind in ("uint128", "uint256") else value


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()
