"""Deployment: the contracts that the records of a node's memory count on, and what becomes of them under other contracts."""

from __future__ import annotations

from metering.units import ZERO_HASH, Hash32
from xnode.node.experience import put_away_lease
from xnode.node.lease import LeaseStatus
from xnode.node.records import (
    Compensation,
    KnownPayer,
    ProviderEscrow,
    ProviderLease,
    SilenceClaim,
    StandingOffer,
    SubmitterEscrow,
    SubmitterLease,
)
from xnode.node.state import State, Turn

ENDED: frozenset[LeaseStatus] = frozenset({"settled", "refused"})
"""Lease states from which no more money moves."""


def is_moved(state: State, separator: Hash32) -> bool:
    """True when the node last ran on other contracts than those of `separator`."""
    return state.settings.separator not in (ZERO_HASH, separator)


def list_unsettled(state: State) -> tuple[Hash32, ...]:
    """Leases, and the escrows we pay from, that still have money on the contracts they were made for."""
    served = {one.lease_id for one in state.all(ProviderLease) if one.status not in ENDED}
    leased = {one.lease_id for one in state.all(SubmitterLease) if one.status not in ENDED}
    held = {one.escrow_id for one in state.all(SubmitterEscrow) if one.deposited > one.claimed}
    return tuple(sorted(served | leased | held))


def leave_deployment(turn: Turn) -> None:
    """Put away what is settled: on the new contracts its escrows do not exist, so nothing more may be opened on them, and
    what was paid is not what the new contracts say of them. Nothing is unsettled: such a node does not start."""
    for record_type in (ProviderLease, ProviderEscrow, SilenceClaim, SubmitterLease, SubmitterEscrow, Compensation):
        for record in tuple(turn.state.all(record_type)):
            if isinstance(record, SubmitterLease):
                put_away_lease(turn, record)
            else:
                turn.archive(record, wake_at_ns=None)
    for payer in tuple(turn.state.all(KnownPayer)):
        turn.archive(payer)
    # The offer that stands is signed for the contracts that were left.
    turn.put(StandingOffer())
