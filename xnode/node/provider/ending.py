"""The provider's side of a lease's end: the final receipt, what the workload left, the empty host, and the news of it."""

from __future__ import annotations

from metering.bounds import MAX_DETAIL_CHARS, cut
from metering.refusal import Refusal
from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND
from metering.usage import Counters
from scheduler.outputs import MAX_REASON_CHARS, NOTHING, LeftOut, OutputSummary
from xnode.node import changes, effects
from xnode.node.late_start import LATE_START, start_until_of
from xnode.node.lease import EndReason, follow, next_status
from xnode.node.provider.money import issue_receipt, push_receipts
from xnode.node.provider.offer import refresh_offer
from xnode.node.records import ProviderLease
from xnode.node.registry import handles, ignore_failure, on_failure
from xnode.node.state import Turn
from xnode.text.size import show_size

NEWS_WAIT_NS = 24 * 3600 * NANOS_PER_SECOND
"""How long we try to tell a sleeping submitter how its lease ended."""


@handles(changes.WorkloadExited)
def on_workload_exited(turn: Turn, change: changes.WorkloadExited) -> None:
    """It is over: the final receipt, the outputs, and why."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or next_status(lease.status, "exited") is None:
        return
    reason, detail = _end_reason_of(lease, change)
    if change.network_spent:
        detail = "; ".join(filter(None, (detail, _say_network_spent(lease))))
    counters = None if change.vanished else change.counters
    end_lease(turn, lease, reason, detail, change.exit_code, counters)


def _say_network_spent(lease: ProviderLease) -> str:
    return f"it used all of its {lease.job.network_bytes} bytes of network, and what came after was dropped"


def _end_reason_of(lease: ProviderLease, change: changes.WorkloadExited) -> tuple[EndReason, str]:
    if lease.end_code == LATE_START and lease.stop_reason is not None:
        return lease.stop_reason, lease.end_detail
    if change.out_of_memory:
        return (
            "out_of_memory",
            f"the workload used more than its {show_size(lease.terms.resources.memory_bytes)} of memory",
        )
    if change.timed_out:
        return "time_limit", f"the workload ran for its whole {say_duration(lease.terms.duration_limit_ns)}"
    if lease.stop_reason is not None:
        return lease.stop_reason, lease.end_detail
    if change.vanished:
        return "workload_vanished", "the container is gone and left no exit status"
    if change.exit_code == 0:
        return "completed", ""
    if change.gpu_lost:
        return "gpu_lost", change.gpu_lost
    if change.fault:
        return "launch_failed", change.fault
    return "exit_code", f"the workload exited with status {change.exit_code}"


def end_lease(
    turn: Turn, lease: ProviderLease, reason: EndReason, detail: str, exit_code: int | None, counters: Counters | None
) -> None:
    """Final receipt first, so that what was served is stated before anything else can go wrong; then the outputs."""
    ran = lease.started_at_ns is not None
    if not ran and start_until_of(lease.terms) is not None:
        # Nobody knows that it started in time: what it may have run all the same is not charged, and so breaks no promise.
        counters = None
    lease = turn.put(
        lease,
        status=follow(lease.status, "exited", "failed"),
        end_reason=reason,
        end_detail=detail,
        exit_code=exit_code,
        ended_at_ns=turn.at_ns,
        left=None if ran else NOTHING,
        wake_at_ns=turn.at_ns + grace_ns_of(turn),
    )
    # Without a reading nothing more is charged than what the last receipt said; issue_receipt never goes below it.
    ended_at_ns = lease.started_at_ns + counters.running_ns if lease.started_at_ns and counters else None
    lease = issue_receipt(turn, lease, counters or Counters(0, 0), final=True, read_at_ns=ended_at_ns)
    push_receipts(turn, lease)
    if ran:
        slot = turn.slot("outputs", lease.lease_id, lane=workload_lane_of(lease))
        turn.emit(effects.CollectOutputs(lease.lease_id, *slot))
    else:
        _remove_workload(turn, lease)
    push_news(turn, lease)
    refresh_offer(turn)


def grace_ns_of(turn: Turn) -> int:
    provider = turn.state.settings.provider
    return provider.final_voucher_ns if provider else 60 * NANOS_PER_SECOND


@handles(changes.OutputsCollected)
def on_outputs_collected(turn: Turn, change: changes.OutputsCollected) -> None:
    """The outputs are safe as blobs: the host can be emptied, and the submitter may come for them."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.left is not None or lease.outputs is not None:
        return
    keep_outputs(turn, lease, change.left)


@on_failure(effects.CollectOutputs)
def on_collect_failed(turn: Turn, effect: effects.CollectOutputs, refusal: Refusal) -> None:
    """The lease ends as one whose outputs were all left out, and says why."""
    lease = turn.get(ProviderLease, effect.lease_id)
    if lease is not None and lease.left is None and lease.outputs is None:
        why = "not in time" if refusal.code == "deadline" else refusal.detail
        whole = LeftOut(b".", f"the outputs could not be collected: {why}"[:MAX_REASON_CHARS])
        keep_outputs(turn, turn.put(lease, end_detail=f"outputs: {why}"), OutputSummary(left_out=1, first=(whole,)))


def keep_outputs(turn: Turn, lease: ProviderLease, left: OutputSummary) -> None:
    """Note what the workload left, take it off the host, tell the submitter."""
    lease = turn.put(lease, left=left)
    _remove_workload(turn, lease)
    push_news(turn, lease)


def _remove_workload(turn: Turn, lease: ProviderLease) -> None:
    slot = turn.slot("remove", lease.lease_id, lane=workload_lane_of(lease))
    turn.emit(effects.RemoveWorkload(lease.lease_id, *slot))


def keep_emptying(turn: Turn, lease: ProviderLease) -> None:
    """Take the workload off the host once more, unless what it left is still being collected."""
    if lease.left is not None or lease.outputs is not None:
        _remove_workload(turn, lease)


def workload_lane_of(lease: ProviderLease) -> str:
    """Start, stop, outputs and removal of one workload come one after the other."""
    return effects.slot_id_of("workload", lease.lease_id)


@handles(changes.WorkloadRemoved)
def on_workload_removed(turn: Turn, change: changes.WorkloadRemoved) -> None:
    """The host is empty again."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is not None:
        turn.put(lease, removed=True)
        refresh_offer(turn)


def make_report(lease: ProviderLease) -> effects.LeaseReport:
    """How the lease is, for its submitter."""
    return effects.LeaseReport(
        lease.lease_id,
        lease.status,
        lease.end_reason,
        cut(lease.end_detail, MAX_DETAIL_CHARS),
        lease.exit_code,
        lease.outputs,
        lease.end_code,
        lease.left,
    )


def push_news(turn: Turn, lease: ProviderLease) -> None:
    """Report to the submitter; a newer report takes the place of one not yet delivered."""
    slot = turn.slot("news", lease.lease_id, wait_ns=NEWS_WAIT_NS)
    turn.emit(effects.PushNews(lease.terms.submitter, lease.submitter_addrs, make_report(lease), *slot))


ignore_failure(effects.RemoveWorkload, "the lease tries again while it is at hand, and every start of the node")
ignore_failure(effects.PushNews, "a submitter that hears nothing asks")
