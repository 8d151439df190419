"""Events: what the node follows of the contracts' events, as plain frozen values."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import Event
from xnode.chain.abi.log import Log


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

CLAIMED = Event("PaymentEscrow", Claimed)

EVENTS: tuple[Event[Any], ...] = (
    CLAIMED,
    Event("PaymentEscrow", EscrowOpened),
    Event("PaymentEscrow", EscrowToppedUp),
    Event("PaymentEscrow", ThawStarted),
    Event("PaymentEscrow", ThawCancelled),
    Event("PaymentEscrow", EscrowClosed),
    Event("PaymentEscrow", Released),
    Event("PaymentEscrow", Refunded),
    Event("PaymentEscrow", ClaimSkipped),
    Event("PaymentEscrow", ProviderPaid),
    Event("PaymentEscrow", PayoutDeferred),
    Event("PaymentEscrow", Deposited),
    Event("PaymentEscrow", Withdrawn),
    Event("PaymentEscrow", OpenerApproved),
    Event("ProviderRegistry", ProviderRegistered),
    Event("ProviderRegistry", NodeKeyRotated),
    Event("ProviderRegistry", PayoutSet),
    Event("ProviderRegistry", ProviderDeactivated),
)


@lru_cache(maxsize=1)
def events_by_topic() -> dict[Hash32, Event[Any]]:
    """Every event that is followed; the keys are what a log filter asks for."""
    return {event.topic: event for event in EVENTS}


class ChainLog(msgspec.Struct, frozen=True):
    """An event and where it stands. (block_hash, log_index) names it uniquely."""

    block_number: int
    block_hash: Hash32
    tx_hash: Hash32
    log_index: int
    event: ChainEvent


def decode_log(log: Log) -> ChainLog | None:
    """The event of a log; None when it is none of ours. ValueError or eth_abi's DecodingError when it is malformed."""
    event = events_by_topic().get(log.topics[0]) if log.topics else None
    if event is None:
        return None
    return ChainLog(log.block_number, log.block_hash, log.tx_hash, log.log_index, event.decode(log))
