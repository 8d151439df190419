"""Drain: nothing new is taken while what runs goes on to its end, until the operator says otherwise."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND
from scheduler.policy import DRAINING
from xnode.node.changes import DrainSet
from xnode.node.effects import ReplyOk
from xnode.node.lease import OPEN
from xnode.node.provider.lease import refuse_lease
from xnode.node.provider.offer import refresh_offer
from xnode.node.records import HeldQuote, ProviderLease
from xnode.node.registry import handles
from xnode.node.state import State, Turn

START_NS = 120 * NANOS_PER_SECOND
"""How much later than now a workload that does not run yet may start, for a view of when it ends."""


@handles(DrainSet)
def on_drain_set(turn: Turn, change: DrainSet) -> None:
    """Let go of every quote and every lease that is not signed, and take the offer back; or offer again."""
    settings = turn.state.settings
    if settings.provider is None:
        return turn.refuse(change.reply_to, "not_a_provider", "this node offers no capacity")
    turn.emit(ReplyOk(change.reply_to))
    if bool(settings.drained_at_ns) == change.is_on:
        return None
    turn.put(settings, drained_at_ns=turn.at_ns if change.is_on else 0)
    if change.is_on:
        for quote in tuple(turn.state.all(HeldQuote)):
            turn.archive(quote)
        for lease in tuple(turn.state.all(ProviderLease)):
            if lease.status == "requested":
                refuse_lease(turn, lease, DRAINING)
    refresh_offer(turn, anew=True)
    return None


def list_running(state: State) -> tuple[ProviderLease, ...]:
    """The leases that stand in the way of maintenance: those whose workload, outputs or last voucher are still to come."""
    return tuple(lease for lease in state.all(ProviderLease) if lease.status in OPEN)


def ends_by(lease: ProviderLease, now_ns: int) -> int:
    """When the lease's workload has ended at the latest; 0 when it has."""
    if lease.ended_at_ns is not None:
        return 0
    return (lease.started_at_ns or now_ns + START_NS) + lease.terms.duration_limit_ns
