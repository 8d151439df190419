"""The provider's side of a lease, from the request until it stops; see ending for what follows."""

from __future__ import annotations

from metering.receipt import make_first
from metering.refusal import Refusal
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND, Hash32
from xnode.node import changes, effects
from xnode.node.blame import IMAGE_CODES
from xnode.node.late_start import LATE_START, describe_late_start, is_too_late, start_until_of
from xnode.node.lease import OPEN, EndReason, follow, next_status
from xnode.node.leaving import leaves
from xnode.node.opening import opening_until_of
from xnode.node.provider.earned import see_paid
from xnode.node.provider.ending import end_lease, grace_ns_of, keep_emptying, make_report, push_news, workload_lane_of
from xnode.node.provider.money import (
    RETAIN_NS,
    accept_funding,
    claim_escrow,
    cover_ahead,
    exposure_ns_of,
    is_overexposed,
    issue_receipt,
    note_payer,
    pace_ns_of,
    push_receipts,
    settle_if_paid,
    unpaid_at,
)
from xnode.node.provider.offer import refresh_offer
from xnode.node.provider.terms import check_request, check_room
from xnode.node.records import HeldQuote, ProviderEscrow, ProviderLease
from xnode.node.registry import handles, ignore_failure, on_failure, resumes, wakes
from xnode.node.state import State, Turn

FUNDING_WAIT_NS = 10 * NANOS_PER_SECOND
"""How long a lease request waits for the chain: the submitter has other quotes, which expire meanwhile."""

FETCH_WAIT_NS = 1800 * NANOS_PER_SECOND
"""How long image and inputs may take: 30 GB at 17 MB/s; capacity is held unpaid meanwhile."""

LAUNCH_WAIT_NS = 120 * NANOS_PER_SECOND
"""How long a container may take to start once its image is here."""

STOP_AGAIN_NS = 10 * NANOS_PER_SECOND
"""Pause before a workload that could not be stopped is stopped again."""

ON_HOST_NS = 3600 * NANOS_PER_SECOND
"""Between two tries to take the workload of a lease that was settled long ago off the host."""

SHORT_ABSENCE = 6
"""An absence below this part of the time that work may go unpaid shifts that time; a longer one begins it anew."""


# ------------------------------------------------------------------------------------------------------------- request


@handles(changes.LeaseRequested)
def on_lease_requested(turn: Turn, change: changes.LeaseRequested) -> None:
    """Check the terms against our quote; ask the chain before we sign. The same terms always get the same answer."""
    separator = turn.state.settings.separator
    lease_id = lease_id_of(separator, change.terms)
    known = turn.get(ProviderLease, lease_id)
    if known is not None and known.terms.submitter != change.caller:
        # Terms are not secret: only the submitter that signed them is answered, or strangers could crowd its requests out.
        return turn.refuse(change.reply_to, "lease_wrong_submitter", "the lease is for another submitter than who asks")
    if known is not None:
        return _answer_again(turn, known, change)
    refusal = check_request(turn, change, lease_id)
    if refusal is not None:
        return turn.refuse(change.reply_to, refusal.code, refusal.detail)
    held = turn.get(HeldQuote, change.terms.quote_hash)
    assert held is not None
    outrun = check_room(turn, held)
    if outrun is not None:
        return turn.refuse(change.reply_to, outrun.code, outrun.detail)
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
    until_ns = min(turn.at_ns + FUNDING_WAIT_NS, change.terms.open_until_ns)
    slot = turn.slot("funding", lease_id, until_ns=until_ns)
    turn.emit(effects.ReadFunding(lease_id, change.terms.escrow_id, change.escrow, *slot))
    refresh_offer(turn)
    return None


def _answer_again(turn: Turn, lease: ProviderLease, change: changes.LeaseRequested) -> None:
    if lease.status == "requested":
        turn.put(lease, reply_to=(*lease.reply_to, change.reply_to)[-4:])
    elif lease.refusal is not None:
        turn.emit(effects.ReplyRefusal(change.reply_to, lease.refusal))
    else:
        turn.emit(effects.ReplyLease(change.reply_to, lease.terms))


@handles(changes.FundingRead)
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
        slot = turn.slot(
            "open", lease.lease_id, lane=_opening_lane_of(turn, lease), until_ns=opening_until_of(lease.opening)
        )
        turn.emit(effects.OpenEscrow(lease.lease_id, lease.escrow, lease.opening, lease.opening_signature, *slot))
    slot = turn.slot("fetch", lease.lease_id, until_ns=_until(turn, lease, FETCH_WAIT_NS))
    turn.emit(effects.FetchInputs(lease.lease_id, lease.terms.submitter, lease.submitter_addrs, lease.job, *slot))


def _until(turn: Turn, lease: ProviderLease, wait_ns: int) -> int:
    """So long from now, and no longer than a start can keep our promise."""
    until_ns = start_until_of(lease.terms)
    return turn.at_ns + wait_ns if until_ns is None else min(turn.at_ns + wait_ns, max(until_ns, turn.at_ns + 1))


def _opening_lane_of(turn: Turn, lease: ProviderLease) -> str:
    """Openings go side by side, also into one escrow; but none overtakes a claim, whose release would take what it brings."""
    escrow = turn.get(ProviderEscrow, lease.terms.escrow_id)
    return effects.slot_id_of("chain", lease.terms.escrow_id) if escrow is not None and escrow.claiming else ""


@on_failure(effects.ReadFunding)
def on_funding_unread(turn: Turn, effect: effects.ReadFunding, refusal: Refusal) -> None:
    """Without the chain's answer nothing is signed. Another provider's chain node may be better off than ours, and what ours
    said, and where it is, is nobody else's business."""
    lease = turn.get(ProviderLease, effect.lease_id)
    if lease is not None and lease.status == "requested":
        refuse_lease(turn, lease, Refusal("provider_chain", "our chain node did not say what the escrow holds"))


@on_failure(effects.OpenEscrow)
def on_opening_failed(turn: Turn, effect: effects.OpenEscrow, refusal: Refusal) -> None:
    """Vouchers on an escrow that does not exist are worth nothing: stop."""
    lease = turn.get(ProviderLease, effect.lease_id)
    if lease is not None and not lease.funded:
        reverted = refusal.code == "opening_reverted"
        detail = refusal.detail if reverted else "this provider could not send the escrow's opening to the chain"
        stop_lease(turn, turn.put(lease, opening=None), "escrow_unconfirmed", detail)


def refuse_lease(turn: Turn, lease: ProviderLease, refusal: Refusal) -> None:
    """Refuse before anything was signed; remembered for a while, so that the same request gets the same answer."""
    for reply_to in lease.reply_to:
        turn.emit(effects.ReplyRefusal(reply_to, refusal))
    status = follow(lease.status, "refuse")
    turn.put(lease, status=status, reply_to=(), refusal=refusal, wake_at_ns=turn.at_ns + RETAIN_NS)
    refresh_offer(turn)


# -------------------------------------------------------------------------------------------------------------- launch


@handles(changes.InputsReady)
def on_inputs_ready(turn: Turn, change: changes.InputsReady) -> None:
    """Everything is here: start."""
    lease = turn.get(ProviderLease, change.lease_id)
    status = next_status(lease.status, "prepared") if lease else None
    if lease is None or status is None:
        return
    if is_too_late(lease.terms, turn.at_ns):
        _end_late(turn, lease, "input_failed" if lease.job.inputs else "image_failed")
        return
    turn.put(lease, status=status)
    until_ns = _until(turn, lease, LAUNCH_WAIT_NS)
    slot = turn.slot("start", lease.lease_id, lane=workload_lane_of(lease), until_ns=until_ns)
    turn.emit(effects.StartWorkload(lease.lease_id, lease.job, lease.terms.duration_limit_ns, *slot))


@handles(changes.WorkloadStarted)
def on_workload_started(turn: Turn, change: changes.WorkloadStarted) -> None:
    """It runs: watch it, say so, and begin to meter."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.started_at_ns is not None:
        return
    # The engine dates by the wall clock, which may have been set: a start lies between the request and now.
    started_at_ns = max(lease.requested_at_ns, min(change.started_at_ns, turn.at_ns))
    if is_too_late(lease.terms, started_at_ns):
        _stop_late(turn, lease)
        return
    status = next_status(lease.status, "started")
    lease = turn.put(
        lease,
        started_at_ns=started_at_ns,
        covered_at_ns=turn.at_ns,
        status=status or lease.status,
        wake_at_ns=turn.at_ns + pace_ns_of(turn, lease) if status else None,
    )
    turn.emit(effects.WatchWorkload(lease.lease_id, *turn.slot("watch", lease.lease_id)))
    if status:
        push_news(turn, lease)


def _stop_late(turn: Turn, lease: ProviderLease) -> None:
    """It has just started, too late: it ends at once, and what it ran is not charged."""
    if next_status(lease.status, "started") is not None:
        lease = turn.put(lease, end_code=LATE_START)
        stop_lease(turn, lease, "launch_failed", describe_late_start(lease.terms))


def _end_late(turn: Turn, lease: ProviderLease, reason: EndReason) -> None:
    _fail_launch(turn, lease.lease_id, reason, Refusal(LATE_START, describe_late_start(lease.terms)))


def _was_cut_short(turn: Turn, lease_id: Hash32, refusal: Refusal) -> ProviderLease | None:
    """The lease whose fetch or launch was given up because its promise could not be kept any more. A timer may be early."""
    lease = turn.get(ProviderLease, lease_id)
    is_late = lease is not None and is_too_late(lease.terms, turn.at_ns + NANOS_PER_SECOND)
    return lease if refusal.code == "deadline" and is_late else None


@on_failure(effects.FetchInputs)
def on_fetch_failed(turn: Turn, effect: effects.FetchInputs, refusal: Refusal) -> None:
    """The lease ends; the code says whether the image or an input is to blame."""
    late_lease = _was_cut_short(turn, effect.lease_id, refusal)
    if late_lease is not None:
        _end_late(turn, late_lease, "input_failed" if late_lease.job.inputs else "image_failed")
        return
    of_image = refusal.code in IMAGE_CODES
    late = "the image and the inputs were not here in time"
    _fail_launch(turn, effect.lease_id, "image_failed" if of_image else "input_failed", _hide(refusal, late))


@on_failure(effects.StartWorkload)
def on_start_failed(turn: Turn, effect: effects.StartWorkload, refusal: Refusal) -> None:
    """The engine would not start it: the lease ends."""
    late_lease = _was_cut_short(turn, effect.lease_id, refusal)
    if late_lease is not None:
        _end_late(turn, late_lease, "launch_failed")
        return
    _fail_launch(turn, effect.lease_id, "launch_failed", _hide(refusal, "the container could not be started in time"))


def _hide(refusal: Refusal, late: str) -> Refusal:
    """A refusal's detail is in words for others; what the last try before a deadline met is this host's own affair."""
    return Refusal(refusal.code, late) if refusal.code == "deadline" else refusal


def _fail_launch(turn: Turn, lease_id: Hash32, reason: EndReason, refusal: Refusal) -> None:
    """Nothing ran, so nothing is owed; the final receipt says so."""
    lease = turn.get(ProviderLease, lease_id)
    if lease is not None and next_status(lease.status, "failed") is not None:
        lease = turn.put(lease, end_code=refusal.code)
        end_lease(turn, lease, reason, refusal.detail, exit_code=None, counters=None)


# ------------------------------------------------------------------------------------------------------------- running


@wakes(ProviderLease)
def on_lease_woke(turn: Turn, lease: ProviderLease) -> None:
    """An interval is over, unpaid work has reached its limit, or a deadline of the end has come."""
    if lease.status == "running":
        if turn.at_ns >= unpaid_at(turn, lease):
            stop_lease(turn, lease, "unpaid" if lease.funded else "escrow_unconfirmed")
            return
        turn.put(lease, wake_at_ns=_next_interval_of(turn, lease))
        turn.emit(effects.ReadUsage(lease.lease_id, *turn.slot("usage", lease.lease_id)))
    elif lease.status == "stopping":
        _stop_workload(turn, turn.put(lease, wake_at_ns=None))
    elif lease.status == "ending":
        settle_if_paid(turn, lease, gave_up=True)
    elif lease_is_over(turn.state, lease) is not None:
        turn.archive(lease, wake_at_ns=None)
    elif lease.status == "settled":
        keep_emptying(turn, turn.put(lease, wake_at_ns=turn.at_ns + ON_HOST_NS))
    else:
        turn.put(lease, wake_at_ns=None)


@leaves(ProviderLease)
def lease_is_over(_state: State, lease: ProviderLease) -> int | None:
    """Its money is where it belongs, and nothing of it is left on the host."""
    is_over = lease.status == "refused" or (lease.status == "settled" and lease.removed)
    return (lease.ended_at_ns or lease.requested_at_ns) if is_over else None


def _next_interval_of(turn: Turn, lease: ProviderLease) -> int:
    """On the lease's own beat since its start, so that leases that were late together do not stay together."""
    interval_ns = pace_ns_of(turn, lease)
    beat_ns = lease.started_at_ns or lease.requested_at_ns
    next_ns = beat_ns + ((turn.at_ns - beat_ns) // interval_ns + 1) * interval_ns
    due_ns = unpaid_at(turn, lease)
    return min(next_ns, due_ns) if due_ns > turn.at_ns else next_ns


@handles(changes.UsageRead)
def on_usage_read(turn: Turn, change: changes.UsageRead) -> None:
    """The next receipt; at its limit the lease ends."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.status != "running" or change.is_over:
        # Of a workload that has ended the final receipt tells: one dated now would call the time since then an outage.
        return
    # What the receipts before this one left unpaid: this one could not have been paid yet.
    overexposed = is_overexposed(turn, lease)
    lease = cover_ahead(
        turn, issue_receipt(turn, lease, change.counters, final=False, read_at_ns=change.read_at_ns or None)
    )
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
    slot = turn.slot("stop", lease.lease_id, lane=workload_lane_of(lease))
    turn.emit(effects.StopWorkload(lease.lease_id, *slot))


@on_failure(effects.StopWorkload)
def on_stop_failed(turn: Turn, effect: effects.StopWorkload, _refusal: Refusal) -> None:
    """Never given up: what cannot be stopped goes on using the host for nothing."""
    lease = turn.get(ProviderLease, effect.lease_id)
    if lease is not None and lease.status == "stopping":
        turn.put(lease, wake_at_ns=turn.at_ns + STOP_AGAIN_NS)


@on_failure(effects.PushReceipts)
def on_push_failed(turn: Turn, effect: effects.PushReceipts, refusal: Refusal) -> None:
    """A refusal is the submitter's last word; a missed deadline only means that it did not answer."""
    lease = turn.get(ProviderLease, effect.lease_id)
    if lease is None or refusal.code == "deadline" or lease.status not in OPEN:
        return
    if lease.status == "running":
        stop_lease(turn, lease, "receipt_refused", str(refusal))
    elif lease.status == "stopping" and lease.stop_reason == "stopped_by_submitter":
        # Its stop overtook its refusal, which is why it stopped us.
        turn.put(lease, stop_reason="receipt_refused", end_detail=str(refusal))
    elif lease.status == "ending":
        settle_if_paid(turn, lease, gave_up=True)


def see_escrow(turn: Turn, escrow: ProviderEscrow, seen: changes.EscrowSeen) -> None:
    """The chain moved. Everything vouchered must be claimed before a thaw ends, so nothing more is worked for."""
    thaws = bool(seen.thaw_end) and not escrow.thaw_end
    if seen.claimed > escrow.claimed:
        note_payer(turn, escrow.escrow.payer)
    escrow = see_paid(turn, escrow, seen.deposited, seen.claimed, seen.thaw_end)
    if not thaws:
        return
    for line in escrow.lines:
        lease = turn.get(ProviderLease, line.lease_id)
        if lease is not None:
            stop_lease(turn, lease, "thaw_started")
    claim_escrow(turn, turn.get(ProviderEscrow, escrow.escrow_id) or escrow, urgent=True)


@resumes(ProviderLease)
def resume_lease(turn: Turn, lease: ProviderLease, away_ns: int) -> None:
    """We could not be paid meanwhile: what we missed counts for nothing, and after more than a moment the other side has
    its whole time again, in which we state what is due."""
    if lease.status == "running":
        grace_ns = exposure_ns_of(turn, lease)
        excused_ns = lease.excused_ns + max(0, away_ns)
        if 0 <= away_ns < grace_ns // SHORT_ABSENCE and lease.wake_at_ns is not None:
            turn.put(lease, excused_ns=excused_ns)
            return
        wake_at_ns = turn.at_ns + _spread_ns_of(lease)
        turn.put(lease, excused_ns=excused_ns, grace_until_ns=turn.at_ns + grace_ns, wake_at_ns=wake_at_ns)
    elif lease.status == "ending":
        push_receipts(turn, turn.put(lease, wake_at_ns=turn.at_ns + grace_ns_of(turn)))
    elif lease.wake_at_ns is not None:
        turn.put(lease, wake_at_ns=lease.wake_at_ns + away_ns)


def _spread_ns_of(lease: ProviderLease) -> int:
    # A hundred leases that are taken up again in one moment would all be late together.
    return int.from_bytes(lease.lease_id[:4], "big") % min(lease.terms.interval_ns, NANOS_PER_SECOND)


@handles(changes.LeaseStopRequested)
def on_lease_stop_requested(turn: Turn, change: changes.LeaseStopRequested) -> None:
    """The submitter may stop its own lease at any time."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.terms.submitter != change.caller:
        return turn.refuse(change.reply_to, "lease_unknown", f"no lease {change.lease_id.hex()[:16]} of yours here")
    if lease.status == "requested":
        refuse_lease(turn, lease, Refusal("stopped_by_submitter", "the submitter does not want the lease any more"))
    stop_lease(turn, lease, "stopped_by_submitter")
    lease = turn.get(ProviderLease, change.lease_id) or lease
    turn.emit(effects.ReplyReport(change.reply_to, make_report(lease)))
    return None


@handles(changes.LeaseAsked)
def on_lease_asked(turn: Turn, change: changes.LeaseAsked) -> None:
    """Say how the lease is, to its submitter only."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is None or lease.terms.submitter != change.caller:
        return turn.refuse(change.reply_to, "lease_unknown", f"no lease {change.lease_id.hex()[:16]} of yours here")
    turn.emit(effects.ReplyReport(change.reply_to, make_report(lease)))
    return None


ignore_failure(effects.WatchWorkload, "the lease still ends at its time, cost or exposure limit")
ignore_failure(effects.ReadUsage, "the next interval reads again, and counters only grow")
