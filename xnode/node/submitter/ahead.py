"""Ahead: the vouchers that a submitter signs ahead, so that it may be away for as long as its job says."""

from __future__ import annotations

import msgspec

from metering.prepay import STEPS, cost_ahead_of
from metering.units import Amount
from metering.voucher import Voucher, fold_receipts
from xnode.node.lease import OPEN
from xnode.node.records import PaidLine, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.state import State, Turn

RENEWALS = 8
"""They are signed anew when this part of the time has passed: what is left is most of what the job asks for."""


def sign_ahead(turn: Turn, escrow: SubmitterEscrow) -> tuple[Voucher, ...]:
    """The vouchers that go with the next one, rising; none when no lease of the escrow prepays, or they are fresh."""
    prepaid_ns = {
        line.lease_id: _prepay_ns_of(turn.state, turn.get(SubmitterLease, line.lease_id)) for line in escrow.lines
    }
    times_ns = [ns for ns in prepaid_ns.values() if ns]
    if not times_ns or turn.at_ns < escrow.ahead_at_ns + min(times_ns) // RENEWALS:
        return ()
    receipts_hash = fold_receipts(escrow.coverage.prefix, escrow.coverage.digests)
    last, ahead = escrow.cumulative, []
    for step in range(1, STEPS + 1):
        costs = [_cost_at(turn, line, prepaid_ns[line.lease_id], step) for line in escrow.lines]
        cumulative = Amount(escrow.closed_cost + sum(costs))
        if cumulative > last:
            last = cumulative
            ahead.append(Voucher(escrow.escrow_id, cumulative, receipts_hash))
    lines = tuple(
        msgspec.structs.replace(line, ahead=max(line.ahead, Amount(cost))) if prepaid_ns[line.lease_id] else line
        for line, cost in zip(escrow.lines, costs, strict=True)
    )
    escrow = turn.put(escrow, lines=lines)
    if last >= escrow.ahead:
        escrow = turn.put(escrow, ahead=last, ahead_coverage=escrow.coverage)
    turn.put(escrow, ahead_at_ns=turn.at_ns)
    return tuple(ahead)


def paid_until(state: State, lease: SubmitterLease) -> tuple[int, bool]:
    """Until when the lease's provider goes on without another word of ours, in nanoseconds UTC, and whether that is because
    of vouchers signed ahead."""
    terms = lease.terms
    unpaid_ns = max(1, terms.exposure_intervals) * terms.interval_ns
    until_ns = (lease.last.at_ns if lease.last.number else lease.heard_at_ns) + unpaid_ns
    escrow = state.get(SubmitterEscrow, terms.escrow_id)
    prepay_ns = _prepay_ns_of(state, lease)
    ahead_ns = escrow.ahead_at_ns + prepay_ns + unpaid_ns if escrow and escrow.ahead_at_ns and prepay_ns else 0
    return max(until_ns, ahead_ns), ahead_ns > until_ns


def _prepay_ns_of(state: State, lease: SubmitterLease | None) -> int:
    job = state.get(SubmitterJob, lease.job_hash) if lease else None
    settings = state.settings.submitter
    if lease is None or job is None or settings is None or lease.status not in OPEN or lease.stop_asked_at_ns:
        return 0
    return 0 if lease.last.final or lease.end_reason else min(job.job.prepay_ns, settings.max_prepay_ns)


def _cost_at(turn: Turn, line: PaidLine, prepay_ns: int, step: int) -> int:
    lease = turn.get(SubmitterLease, line.lease_id)
    job = turn.get(SubmitterJob, lease.job_hash) if lease and prepay_ns else None
    if lease is None or job is None:
        return line.cost
    network_bytes = job.job.network_bytes * step // STEPS
    return cost_ahead_of(lease.terms, lease.last, prepay_ns * step // STEPS, network_bytes)
