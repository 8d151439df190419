"""Clocks: how long a provider has for each thing that it promised, by our own clock; docs/protocol.md has them in one table."""

from __future__ import annotations

from metering.terms import LeaseTerms
from metering.units import NANOS_PER_SECOND
from scheduler.job import Job
from xnode.node.experience import has_launched
from xnode.node.records import SubmitterJob, SubmitterLease
from xnode.node.state import Turn

START_NS = 2_100 * NANOS_PER_SECOND
"""From both signatures to a workload that runs: what a provider itself takes at most to fetch (1800 s) and launch (120 s)."""

END_SLACK_NS = 300 * NANOS_PER_SECOND
"""Beyond the job's time limit and grace, until its provider must have said how it ended: a daemon that is restarted on a busy
host is back by then."""

END_SLACK_PARTS = 20
"""And this part of the time limit: the provider's host may have stood still now and then."""

STOP_NS = 180 * NANOS_PER_SECOND
"""From our order to stop, beyond the job's grace, until its provider must have said that it has ended."""

COLLECT_NS = 900 * NANOS_PER_SECOND
"""From the last receipt until its provider must have said what the workload left, beside what the size of its disk takes."""

COLLECT_BYTES = 4 << 20
"""A second: what a slow disk under load hashes."""

MAX_COLLECT_NS = 24 * 3600 * NANOS_PER_SECOND
"""As long as a settled lease stays at hand, and no longer."""


def due_to_start(turn: Turn) -> int:
    """By when the workload must run."""
    return turn.at_ns + START_NS


def note_start(turn: Turn, lease: SubmitterLease, ran_ns: int = 0) -> SubmitterLease:
    """The workload runs, and has for so long: from now on the provider owes its end."""
    if has_launched(lease):
        return lease
    return turn.put(lease, due_at_ns=_sooner(_stop_due_of(turn, lease), _due_to_end(turn, lease, ran_ns)))


def _due_to_end(turn: Turn, lease: SubmitterLease, ran_ns: int) -> int:
    limit_ns = lease.terms.duration_limit_ns
    left_ns = max(0, limit_ns - ran_ns) + limit_ns // END_SLACK_PARTS
    return turn.at_ns + left_ns + _grace_ns_of(turn, lease) + END_SLACK_NS


def shift_due(turn: Turn, lease: SubmitterLease, away_ns: int) -> SubmitterLease:
    """We were away for so long: what the provider owes it has as much longer for. A lease of an older version, which has no such
    clock, gets one."""
    if lease.due_at_ns:
        return turn.put(lease, due_at_ns=lease.due_at_ns + away_ns)
    due_ns = _due_to_end(turn, lease, lease.last.running_ns) if has_launched(lease) else due_to_start(turn)
    return turn.put(lease, due_at_ns=_sooner(_stop_due_of(turn, lease), due_ns))


def note_stop(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    """We have ordered it to stop: from now on the provider owes its end, however long it might have run. Said again, the order
    gives no more time."""
    due_ns = turn.at_ns + _grace_ns_of(turn, lease) + STOP_NS
    return turn.put(lease, due_at_ns=_sooner(lease.due_at_ns, due_ns))


def _stop_due_of(turn: Turn, lease: SubmitterLease) -> int:
    asked_ns = lease.stop_asked_at_ns
    return 0 if asked_ns is None else asked_ns + _grace_ns_of(turn, lease) + STOP_NS


def _sooner(due_ns: int, other_ns: int) -> int:
    return min(due_ns, other_ns) if due_ns else other_ns


def is_late(turn: Turn, lease: SubmitterLease) -> bool:
    """True when what the provider owes is overdue; once it has said how the workload ended, its silence is the clock."""
    return bool(lease.due_at_ns) and lease.end_reason is None and turn.at_ns >= lease.due_at_ns


def due_to_collect(turn: Turn, terms: LeaseTerms) -> int:
    """By when the provider must have said what the workload left."""
    return turn.at_ns + min(COLLECT_NS + terms.resources.disk_bytes * NANOS_PER_SECOND // COLLECT_BYTES, MAX_COLLECT_NS)


def may_collect(turn: Turn, lease: SubmitterLease) -> bool:
    """True while the provider of a lease that is paid may still collect what the workload left."""
    return turn.at_ns < (lease.due_at_ns or lease.last.at_ns + MAX_COLLECT_NS)


def describe_lateness(turn: Turn, lease: SubmitterLease) -> str:
    """What the provider owed, and for how long."""
    since_ns = turn.at_ns - lease.requested_at_ns
    if lease.stop_asked_at_ns is not None or lease.end_reason is not None:
        return "it was told to stop, and has not said that the workload has ended"
    if has_launched(lease):
        limit_s = lease.terms.duration_limit_ns // NANOS_PER_SECOND
        return f"it has not said that the workload has ended, long after its time limit of {limit_s} s"
    return f"the workload has not started within {since_ns // NANOS_PER_SECOND} s"


def _grace_ns_of(turn: Turn, lease: SubmitterLease) -> int:
    job = _job_of(turn, lease)
    return job.stop_grace_ns if job is not None else 0


def _job_of(turn: Turn, lease: SubmitterLease) -> Job | None:
    job = turn.get(SubmitterJob, lease.job_hash)
    return job.job if job is not None else None
