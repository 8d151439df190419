"""Experience: what our own leases say of the nodes that served them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from metering.units import Address
from scheduler.reputation import NO_REPUTATION, Reputation, next_reputation
from xnode.node.lease import HOLDING, EndReason
from xnode.node.records import SubmitterJob, SubmitterLease
from xnode.node.state import State, Turn
from xnode.node.sums import Dealings

KEPT: frozenset[EndReason] = frozenset(
    {"completed", "exit_code", "out_of_memory", "time_limit", "cost_limit", "stopped_by_submitter"}
)
"""The workload had the node until its own end, whatever that was: the node did what it quoted."""

BROKEN: frozenset[EndReason] = frozenset(
    {"launch_failed", "workload_vanished", "gpu_lost", "receipt_refused", "provider_lost", "provider_late"}
)
"""The node did not. What is in neither set may as well be our own fault: an image or a payment that was not there."""


LOAD = 720_720
"""Of one lease: divided by as many as are ever asked at once it leaves nothing over."""


def outcome_of(lease: SubmitterLease) -> bool | None:
    """True when the node did what it quoted, False when it did not; None while that is open, or says nothing of it."""
    if lease.status == "refused":
        # It quoted, and then left us waiting for its signature, or could not be reached.
        return False if lease.refusal is not None and lease.refusal.code == "deadline" else None
    if lease.status not in ("settling", "settled") or lease.end_reason is None:
        return None
    return True if lease.end_reason in KEPT else False if lease.end_reason in BROKEN else None


def has_launched(lease: SubmitterLease) -> bool:
    """True when the workload has run: then the node holds the job's image."""
    return lease.status in ("running", "stopping") or lease.last.running_ns > 0 or lease.exit_code is not None


def load_of(state: State) -> Counter[Address]:
    """By node, what it has to do for us already: the leases that it serves us, and of each job that has asked for quotes its
    part, for only one of those asked will get it. In LOADs a lease."""
    load: Counter[Address] = Counter()
    for lease in state.all(SubmitterLease):
        if lease.status in HOLDING:
            load[lease.terms.node] += LOAD
    for job in state.all(SubmitterJob):
        if job.status == "quoting":
            left = [one.node for one in job.asked if one.refusal is None]
            for node in left:
                load[node] += LOAD // len(left)
    return load


MAX_DEALINGS = 4_096
"""Nodes whose past leases are remembered, those heard of last: some hundred bytes each."""

MAX_IMAGES = 16
"""Images remembered of each: the last are those that a host still has."""


def put_away_lease(turn: Turn, lease: SubmitterLease) -> None:
    """Archive the lease; what it says of its node stays."""
    turn.archive(lease, wake_at_ns=None)
    node = lease.terms.node
    before = turn.get(Dealings, node) or Dealings(node)
    after = next_dealings(before, lease)
    if after == before:
        return
    turn.put(after)
    if turn.state.count(Dealings) > MAX_DEALINGS:
        turn.archive(min(turn.state.all(Dealings), key=lambda one: (one.at_ns, one.node)))


def next_dealings(known: Dealings, lease: SubmitterLease) -> Dealings:
    """What is known of the node after one more lease, which must be given once only."""
    outcome = outcome_of(lease)
    image = lease.image if has_launched(lease) else ""
    if outcome is None and not image:
        return known
    reputation, images = known.reputation, known.images
    if outcome is not None:
        reputation = next_reputation(reputation, outcome, lease.heard_at_ns)
    if image:
        images = (*(one for one in images if one != image), image)[-MAX_IMAGES:]
    return Dealings(known.node, reputation, images, max(known.at_ns, lease.heard_at_ns))


def fold_outcomes(
    reputations: dict[Address, Reputation], leases: Iterable[SubmitterLease]
) -> dict[Address, Reputation]:
    """The reputations by node after these leases too, oldest first; a lease must be given once only."""
    folded = dict(reputations)
    for lease in sorted(leases, key=lambda one: one.heard_at_ns):
        outcome = outcome_of(lease)
        if outcome is not None:
            node = lease.terms.node
            folded[node] = next_reputation(folded.get(node, NO_REPUTATION), outcome, lease.heard_at_ns)
    return folded
