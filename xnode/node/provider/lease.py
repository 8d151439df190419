"""The provider's side of a lease, from the request to the empty host."""

from __future__ import annotations

from metering.receipt import make_first
from metering.refusal import Refusal
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND
from metering.usage import Counters
from scheduler.job import OutputFile
from xnode.node import changes, effects
from xnode.node.lease import EndReason, follow, next_status
from xnode.node.provider.money import (
    RETAIN_NS,
    accept_funding,
    is_overexposed,
    issue_receipt,
    lane_of,
    push_receipts,
    settle_if_paid,
    short_id_of,
    unpaid_at,
)
from xnode.node.provider.quote import refresh_offer
from xnode.node.provider.terms import check_request
from xnode.node.records import HeldQuote, ProviderLease
from xnode.node.state import Turn

FUNDING_WAIT_NS = 10 * NANOS_PER_SECOND
"""How long a lease request waits for the chain: the submitter has other quotes, which expire meanwhile."""

FETCH_WAIT_NS = 1800 * NANOS_PER_SECOND
"""How long image and inputs may take: 30 GB at 17 MB/s; capacity is held unpaid meanwhile."""

LAUNCH_WAIT_NS = 120 * NANOS_PER_SECOND
"""How long a container may take to start once its image is here."""

OPENING_SLACK_NS = 120 * NANOS_PER_SECOND
"""How long after its own deadline an opening is still waited for: the chain's clock and its blocks may be that late."""

STOP_AGAIN_NS = 10 * NANOS_PER_SECOND
"""Pause before a workload that could not be stopped is stopped again."""

NEWS_WAIT_NS = 24 * 3600 * NANOS_PER_SECOND
"""How long we try to tell a sleeping submitter how its lease ended."""


# ------------------------------------------------------------------------------------------------------------- request


def on_lease_requested(turn: Turn, change: changes.LeaseRequested) -> None:
    """Check the terms against our quote; ask the chain before we sign. The same terms always get the same answer."""
    separator = turn.state.settings.separator
    lease_id = lease_id_of(separator, change.terms)
    known = turn.get(ProviderLease, lease_id)
    if known is not None and known.terms.submitter != change.caller:
        # Terms are no secret: only who signed them is answered, or strangers could crowd its requests out.
        return turn.refuse(change.reply_to, "lease_wrong_submitter", "the lease is for another submitter than who asks")
    if known is not None:
        return _answer_again(turn, known, change)
    refusal = check_request(turn, change, lease_id)
    if refusal is not None:
        return turn.refuse(change.reply_to, refusal.code, refusal.detail)
    held = turn.get(HeldQuote, change.terms.quote_hash)
    assert held is not None
    turn.archive(held)
    first = make_first(lease_id, turn.at_ns)
    turn.put(
        ProviderLease(
            lease_id=lease_id,
            terms=change.terms,
            job=held.job,
            submitter_addrs=change.caller_addrs,
            terms_signature=change.signature,
            escrow=change.escrow,
            opening=change.opening,
            opening_signature=change.opening_signature,
            requested_at_ns=turn.at_ns,
            last=first,
            covered=first,
            covered_at_ns=turn.at_ns,
            reply_to=(change.reply_to,),
        )
    )
    turn.emit(
        effects.ReadFunding(
            lease_id,
            change.terms.escrow_id,
            change.escrow,
            id=short_id_of("funding", lease_id),
            lane=lane_of("funding", lease_id),
            deadline_ns=turn.at_ns + FUNDING_WAIT_NS,
        )
    )
    return None


def _answer_again(turn: Turn, lease: ProviderLease, change: changes.LeaseRequested) -> None:
    if lease.status == "requested":
        turn.put(lease, reply_to=(*lease.reply_to, change.reply_to)[-4:])
    elif lease.refusal is not None:
        turn.emit(effects.ReplyRefusal(change.reply_to, lease.refusal))
    else:
        turn.emit(effects.ReplyLease(change.reply_to, lease.terms))


def on_funding_read(turn: Turn, change: changes.FundingRead) -> None:
    """Countersign when the escrow holds, or can be given, all that the lease may cost."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.status != "requested":
        return None
    late = Refusal("terms_expired", "the chain answered too late: these terms were to be countersigned earlier")
    refusal = late if lease.terms.open_until_ns <= turn.at_ns else accept_funding(turn, lease, change)
    if refusal is not None:
        return refuse_lease(turn, lease, refusal)
    for reply_to in lease.reply_to:
        turn.emit(effects.ReplyLease(reply_to, lease.terms))
    turn.put(lease, status=follow(lease.status, "funded"), funded=lease.opening is None, reply_to=())
    if lease.opening is not None:
        turn.emit(
            effects.OpenEscrow(
                lease.lease_id,
                lease.escrow,
                lease.opening,
                lease.opening_signature,
                id=short_id_of("open", lease.lease_id),
                lane=lane_of("chain", lease.terms.escrow_id),
                deadline_ns=lease.opening.deadline * NANOS_PER_SECOND + OPENING_SLACK_NS,
            )
        )
    turn.emit(
        effects.FetchInputs(
            lease.lease_id,
            lease.terms.submitter,
            lease.submitter_addrs,
            lease.job,
            id=short_id_of("fetch", lease.lease_id),
            lane=lane_of("fetch", lease.lease_id),
            deadline_ns=turn.at_ns + FETCH_WAIT_NS,
        )
    )


def refuse_lease(turn: Turn, lease: ProviderLease, refusal: Refusal) -> None:
    """Say no before anything was signed; remembered for a while, so that the same request gets the same answer."""
    for reply_to in lease.reply_to:
        turn.emit(effects.ReplyRefusal(reply_to, refusal))
    status = follow(lease.status, "refuse")
    turn.put(lease, status=status, reply_to=(), refusal=refusal, wake_at_ns=turn.at_ns + RETAIN_NS)
    refresh_offer(turn)


# -------------------------------------------------------------------------------------------------------------- launch


def on_inputs_ready(turn: Turn, change: changes.InputsReady) -> None:
    """Everything is here: start."""
    lease = turn.get(ProviderLease, change.lease_id)
    status = next_status(lease.status, "prepared") if lease else None
    if lease is None or status is None:
        return
    turn.put(lease, status=status)
    turn.emit(
        effects.StartWorkload(
            lease.lease_id,
            lease.job,
            lease.terms.duration_limit_ns,
            id=short_id_of("start", lease.lease_id),
            lane=lane_of("workload", lease.lease_id),
            deadline_ns=turn.at_ns + LAUNCH_WAIT_NS,
        )
    )


def on_workload_started(turn: Turn, change: changes.WorkloadStarted) -> None:
    """It runs: watch it, say so, and begin to meter."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.started_at_ns is not None:
        return
    status = next_status(lease.status, "started")
    lease = turn.put(
        lease,
        started_at_ns=change.started_at_ns,
        covered_at_ns=change.started_at_ns,
        status=status or lease.status,
        wake_at_ns=turn.at_ns + lease.terms.interval_ns if status else None,
    )
    turn.emit(
        effects.WatchWorkload(
            lease.lease_id,
            id=short_id_of("watch", lease.lease_id),
            lane=lane_of("watch", lease.lease_id),
        )
    )
    if status:
        push_news(turn, lease)


def on_launch_failed(turn: Turn, lease: ProviderLease, reason: EndReason, detail: str) -> None:
    """Nothing ran, so nothing is owed; the final receipt says so."""
    if next_status(lease.status, "failed") is None:
        return
    end_lease(turn, lease, reason, detail, exit_code=None, counters=None)


# ------------------------------------------------------------------------------------------------------------- running


def on_lease_woke(turn: Turn, lease: ProviderLease) -> None:
    """An interval is over, unpaid work has reached its limit, or a deadline of the end has come."""
    if lease.status == "running":
        if turn.at_ns >= unpaid_at(turn, lease):
            stop_lease(turn, lease, "unpaid" if lease.funded else "escrow_unconfirmed")
            return
        next_ns = min(turn.at_ns + lease.terms.interval_ns, unpaid_at(turn, lease))
        turn.put(lease, wake_at_ns=next_ns)
        turn.emit(
            effects.ReadUsage(
                lease.lease_id,
                id=short_id_of("usage", lease.lease_id),
                lane=lane_of("usage", lease.lease_id),
            )
        )
    elif lease.status == "stopping":
        _stop_workload(turn, turn.put(lease, wake_at_ns=None))
    elif lease.status == "ending":
        settle_if_paid(turn, lease, gave_up=True)
    elif lease.status in ("settled", "refused"):
        turn.archive(lease, wake_at_ns=None)
    else:
        turn.put(lease, wake_at_ns=None)


def on_usage_read(turn: Turn, change: changes.UsageRead) -> None:
    """The next receipt; at its limit the lease ends."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.status != "running":
        return
    # What the receipts before this one left unpaid: this one nobody could have paid yet.
    overexposed = is_overexposed(lease)
    lease = issue_receipt(turn, lease, change.counters, final=False)
    push_receipts(turn, lease)
    if lease.last.cost >= lease.terms.cost_limit:
        stop_lease(turn, lease, "cost_limit")
    elif overexposed:
        stop_lease(turn, lease, "unpaid" if lease.funded else "escrow_unconfirmed")


def stop_lease(turn: Turn, lease: ProviderLease, reason: EndReason, detail: str = "") -> None:
    """End the workload for this reason, wherever it is in its life."""
    status = next_status(lease.status, "stop")
    if status is None:
        return
    if status == "ending":
        end_lease(turn, lease, reason, detail, exit_code=None, counters=None)
        return
    _stop_workload(turn, turn.put(lease, status=status, stop_reason=reason, end_detail=detail, wake_at_ns=None))


def _stop_workload(turn: Turn, lease: ProviderLease) -> None:
    turn.emit(
        effects.StopWorkload(
            lease.lease_id,
            id=short_id_of("stop", lease.lease_id),
            lane=lane_of("workload", lease.lease_id),
        )
    )


def on_stop_failed(turn: Turn, lease: ProviderLease) -> None:
    """Never given up: what cannot be stopped goes on using the host for nothing."""
    if lease.status == "stopping":
        turn.put(lease, wake_at_ns=turn.at_ns + STOP_AGAIN_NS)


def resume_lease(turn: Turn, lease: ProviderLease) -> None:
    """We were away ourselves: nobody could pay us, so unpaid time and the wait for the last voucher begin anew."""
    if lease.status == "running":
        turn.put(lease, covered_at_ns=turn.at_ns, wake_at_ns=turn.at_ns)
    elif lease.status == "ending":
        push_receipts(turn, turn.put(lease, wake_at_ns=turn.at_ns + _make_grace_ns(turn)))


def on_lease_stop_requested(turn: Turn, change: changes.LeaseStopRequested) -> None:
    """The submitter may stop its own lease at any time."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.terms.submitter != change.caller:
        return turn.refuse(change.reply_to, "lease_unknown", f"no lease {change.lease_id.hex()[:16]} of yours here")
    stop_lease(turn, lease, "stopped_by_submitter")
    lease = turn.get(ProviderLease, change.lease_id) or lease
    turn.emit(effects.ReplyReport(change.reply_to, make_report(lease)))
    return None


def on_lease_asked(turn: Turn, change: changes.LeaseAsked) -> None:
    """Say how the lease is, to its submitter only."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.terms.submitter != change.caller:
        return turn.refuse(change.reply_to, "lease_unknown", f"no lease {change.lease_id.hex()[:16]} of yours here")
    turn.emit(effects.ReplyReport(change.reply_to, make_report(lease)))
    return None


# -------------------------------------------------------------------------------------------------------------- ending


def on_workload_exited(turn: Turn, change: changes.WorkloadExited) -> None:
    """It is over: the final receipt, the outputs, and why."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or next_status(lease.status, "exited") is None:
        return
    reason, detail = _make_end_reason(lease, change)
    counters = None if change.vanished else change.counters
    end_lease(turn, lease, reason, detail, change.exit_code, counters)


def _make_end_reason(lease: ProviderLease, change: changes.WorkloadExited) -> tuple[EndReason, str]:
    if change.out_of_memory:
        return "out_of_memory", f"the workload used more than its {lease.terms.resources.memory_bytes} bytes of memory"
    if change.timed_out:
        return "time_limit", f"the workload ran for its whole {lease.terms.duration_limit_ns / 1e9:g} s"
    if lease.stop_reason is not None:
        return lease.stop_reason, lease.end_detail
    if change.vanished:
        return "workload_vanished", "the container is gone and left no exit status"
    if change.exit_code == 0:
        return "completed", ""
    return "exit_code", f"the workload exited with status {change.exit_code}"


def end_lease(
    turn: Turn, lease: ProviderLease, reason: EndReason, detail: str, exit_code: int | None, counters: Counters | None
) -> None:
    """Final receipt first, so that what was served is stated before anything else can go wrong; then the outputs."""
    ran = lease.started_at_ns is not None
    lease = turn.put(
        lease,
        status=follow(lease.status, "exited", "failed"),
        end_reason=reason,
        end_detail=detail,
        exit_code=exit_code,
        ended_at_ns=turn.at_ns,
        outputs=None if ran else (),
        wake_at_ns=turn.at_ns + _make_grace_ns(turn),
    )
    # Without a reading nothing more is charged than what the last receipt said; issue_receipt never goes below it.
    ended_at_ns = lease.started_at_ns + counters.running_ns if lease.started_at_ns and counters else None
    lease = issue_receipt(turn, lease, counters or Counters(0, 0), final=True, ended_at_ns=ended_at_ns)
    push_receipts(turn, lease)
    lane = lane_of("workload", lease.lease_id)
    if ran:
        turn.emit(effects.CollectOutputs(lease.lease_id, id=short_id_of("outputs", lease.lease_id), lane=lane))
    else:
        turn.emit(effects.RemoveWorkload(lease.lease_id, id=short_id_of("remove", lease.lease_id), lane=lane))
    push_news(turn, lease)
    refresh_offer(turn)


def _make_grace_ns(turn: Turn) -> int:
    provider = turn.state.settings.provider
    return provider.final_voucher_ns if provider else 60 * NANOS_PER_SECOND


def on_outputs_collected(turn: Turn, change: changes.OutputsCollected) -> None:
    """The outputs are safe as blobs: the host can be emptied, and the submitter may come for them."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.outputs is not None:
        return
    keep_outputs(turn, lease, change.outputs)


def keep_outputs(turn: Turn, lease: ProviderLease, outputs: tuple[OutputFile, ...]) -> None:
    """Note what the workload left, take it off the host, tell the submitter."""
    lease = turn.put(lease, outputs=outputs)
    turn.emit(
        effects.RemoveWorkload(
            lease.lease_id,
            id=short_id_of("remove", lease.lease_id),
            lane=lane_of("workload", lease.lease_id),
        )
    )
    push_news(turn, lease)


def on_workload_removed(turn: Turn, change: changes.WorkloadRemoved) -> None:
    """The host is empty again."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is not None:
        turn.put(lease, removed=True)


def make_report(lease: ProviderLease) -> effects.LeaseReport:
    """How the lease is, for its submitter."""
    return effects.LeaseReport(
        lease.lease_id, lease.status, lease.end_reason, lease.end_detail, lease.exit_code, lease.outputs
    )


def push_news(turn: Turn, lease: ProviderLease) -> None:
    """Tell the submitter; a newer word takes the place of one not yet delivered."""
    turn.emit(
        effects.PushNews(
            lease.terms.submitter,
            lease.submitter_addrs,
            make_report(lease),
            id=short_id_of("news", lease.lease_id),
            lane=lane_of("news", lease.lease_id),
            deadline_ns=turn.at_ns + NEWS_WAIT_NS,
        )
    )
