"""The submitter's side of a lease: check every receipt, sign vouchers, fetch the outputs, notice silence."""

from __future__ import annotations

from typing import Any

from metering.checks import check_receipt_count, check_receipt_time, check_receipts
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.sla import find_breach, show_percent
from metering.units import NANOS_PER_SECOND, ZERO, Hash32
from metering.voucher import Voucher, fold_receipts
from scheduler.outputs import NOTHING
from xnode.node import changes, effects
from xnode.node.experience import has_launched, put_away_lease
from xnode.node.lease import OPEN, EndReason, follow
from xnode.node.leaving import leaves
from xnode.node.records import LEASED, PaidLine, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.registry import handles, on_failure, resumes, wakes
from xnode.node.state import State, Turn
from xnode.node.submitter.ahead import sign_ahead
from xnode.node.submitter.clocks import (
    describe_lateness,
    due_to_collect,
    due_to_start,
    is_late,
    may_collect,
    note_start,
    shift_due,
)
from xnode.node.submitter.job import ask_lease, place_elsewhere, try_next
from xnode.node.submitter.money import (
    OUTPUTS_ASK_NS,
    RETAIN_NS,
    SETTLE_WAIT_NS,
    THAW_AGAIN_NS,
    fold_settled,
    is_needed,
    settle_if_claimed,
    thaw,
    waits_for_outputs,
)
from xnode.node.submitter.outputs import fetch_outputs, finish_job, miss_outputs
from xnode.node.submitter.seek import SILENT, drop_quotes
from xnode.node.submitter.timeline import note
from xnode.text.hex import to_hex

GIVEN_UP = frozenset({"provider_lost", "provider_late"})
"""Ends that we found ourselves: the job has failed or is elsewhere, and nothing more is signed for it."""

FORGOTTEN = 5
"""A lease without word for so many times the silence is lost, also when its node talks of others."""

HEARD_AGAIN_NS = NANOS_PER_SECOND
"""News that say nothing new are noted no more often."""

STOP_GRACE_NS = 60 * NANOS_PER_SECOND
"""How long after our order to stop, and the job's grace, a provider may still bill: it may be away for a moment when the
order comes."""


@handles(changes.LeaseAccepted)
def on_lease_accepted(turn: Turn, change: changes.LeaseAccepted) -> None:
    """Both have signed."""
    lease = turn.get(SubmitterLease, change.lease_id)
    if lease is None or lease.status != "requested":
        return
    if not is_signed_by(lease.terms.node, change.lease_id, change.signature):
        _leave_lease(turn, lease, Refusal("terms_signature", "the provider's signature of the terms is wrong"))
        return
    _open(turn, lease)


def _open(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is not None:
        note(
            turn, job, "lease", "both sides have signed", ("lease", to_hex(lease.lease_id)),
            ("node", to_hex(lease.terms.node)), status="running",
        )  # fmt: skip
        drop_quotes(turn, job, lease.terms.node)
    lease = heard(turn, turn.put(lease, status=follow(lease.status, "funded"), due_at_ns=due_to_start(turn)))
    if lease.stop_asked_at_ns is not None:
        # Our user's stop came before the provider knew the lease.
        ask_lease(turn, lease, stop=True)
    return turn.get(SubmitterLease, lease.lease_id) or lease


@on_failure(effects.RequestLease)
def on_lease_refused(turn: Turn, effect: effects.RequestLease, refusal: Refusal) -> None:
    """The provider refuses, or has not answered in time."""
    lease = turn.get(SubmitterLease, effect.lease_id)
    if lease is not None:
        _leave_lease(turn, lease, refusal)


def _leave_lease(turn: Turn, lease: SubmitterLease, refusal: Refusal) -> None:
    """Nothing comes of it: try the next provider."""
    if lease.status != "requested":
        return
    turn.put(lease, status=follow(lease.status, "refuse"), refusal=refusal, wake_at_ns=turn.at_ns + RETAIN_NS)
    if refusal.code in SILENT:
        # It may have signed, and its answer may be lost: then what it starts is not wanted any more.
        ask_lease(turn, lease, stop=True)
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is not None and job.lease_id == lease.lease_id:
        job = note(turn, job, "refusal", str(refusal), ("node", to_hex(lease.terms.node)))
        if lease.stop_asked_at_ns is not None:
            finish_job(turn, job, lease, "stopped_by_submitter", "stopped before any lease")
        else:
            try_next(turn, job, lease.terms.node, str(refusal), refusal.code)
    fold_settled(turn, lease.terms.escrow_id)


def heard(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    """The provider is alive as of now."""
    return turn.put(lease, **_heard_fields(turn, lease))


def _heard_fields(turn: Turn, lease: SubmitterLease) -> dict[str, Any]:
    settings = turn.state.settings.submitter
    silence_ns = settings.silence_ns if settings else 60 * NANOS_PER_SECOND
    wake_at_ns = _before_due(lease, turn.at_ns + silence_ns // 2)
    return {"heard_at_ns": turn.at_ns, "asked": False, "wake_at_ns": wake_at_ns}


def _before_due(lease: SubmitterLease, wake_at_ns: int) -> int:
    owes = lease.due_at_ns and lease.end_reason is None
    return min(wake_at_ns, lease.due_at_ns) if owes else wake_at_ns


# ------------------------------------------------------------------------------------------------------------ receipts


@handles(changes.ReceiptsReceived)
def on_receipts_received(turn: Turn, change: changes.ReceiptsReceived) -> None:
    """Accept what the lease allows and answer with a voucher; else name the line that is wrong and sign nothing."""
    lease = turn.get(SubmitterLease, change.receipts[0].receipt.lease_id) if change.receipts else None
    escrow = turn.get(SubmitterEscrow, lease.terms.escrow_id) if lease else None
    if lease is None or escrow is None or lease.terms.node != change.caller:
        return turn.refuse(change.reply_to, "lease_unknown", "no lease of yours here has these receipts")
    fresh = tuple(one for one in change.receipts if one.receipt.number > lease.last.number)
    if fresh:
        refusal = _check_fresh(turn, lease, fresh, change)
        if refusal is not None:
            return _refuse_receipts(turn, lease, change.reply_to, refusal)
        lease, escrow = _accept(turn, lease, escrow, fresh)
    voucher = Voucher(
        escrow.escrow_id, escrow.cumulative, fold_receipts(escrow.coverage.prefix, escrow.coverage.digests)
    )
    turn.emit(effects.ReplyVoucher(change.reply_to, voucher, escrow.coverage, sign_ahead(turn, escrow)))
    return None


def _check_fresh(
    turn: Turn, lease: SubmitterLease, fresh: tuple[SignedReceipt, ...], change: changes.ReceiptsReceived
) -> Refusal | None:
    if lease.status not in OPEN and lease.status != "requested" and not _is_owed(turn, lease, fresh[-1].receipt):
        return Refusal("lease_closed", f"lease {lease.lease_id.hex()[:16]} is {lease.status}: nothing more is signed")
    if lease.end_reason == "receipt_refused":
        return lease.refusal
    job = turn.get(SubmitterJob, lease.job_hash)
    network_bytes = job.job.network_bytes if job else 0
    # A provider that will not stop is not paid for going on; the grace that the job asked for is no such thing.
    grace_ns = STOP_GRACE_NS + (job.job.stop_grace_ns if job else 0)
    last_ns = lease.stop_asked_at_ns + grace_ns if lease.stop_asked_at_ns is not None else turn.at_ns
    elapsed_ns = min(turn.at_ns, last_ns) - lease.requested_at_ns
    separator = turn.state.settings.separator
    return (
        check_receipt_count(lease.receipts + len(fresh), lease.terms, elapsed_ns)
        or check_receipts(lease.last, fresh, lease.terms, separator, elapsed_ns, network_bytes)
        or check_receipt_time(fresh[-1].receipt, lease.requested_at_ns, turn.at_ns)
    )


def _is_owed(turn: Turn, lease: SubmitterLease, receipt: Receipt) -> bool:
    """True for a last receipt that comes late, before its provider has claimed: where the provider told us the end itself, or
    where we promised as much for this very lease already. One that was lost or late gets what was signed for, no more."""
    if lease.status != "settling" or lease.last.final or not receipt.final:
        return False
    if lease.end_reason not in GIVEN_UP:
        return True
    escrow = turn.get(SubmitterEscrow, lease.terms.escrow_id)
    lines = escrow.lines if escrow else ()
    return any(line.lease_id == lease.lease_id and receipt.cost <= line.ahead for line in lines)


def _accept(
    turn: Turn, lease: SubmitterLease, escrow: SubmitterEscrow, fresh: tuple[SignedReceipt, ...]
) -> tuple[SubmitterLease, SubmitterEscrow]:
    if lease.status == "requested":
        # A receipt under these terms says as much as the countersignature that got lost.
        lease = _open(turn, lease)
    receipt = fresh[-1].receipt
    digest = receipt_digest_of(turn.state.settings.separator, receipt)
    if receipt.running_ns:
        lease = note_start(turn, lease, receipt.running_ns)
    # Once the end is known only the final receipt counts, however many others come.
    news = _heard_fields(turn, lease) if lease.end_reason is None or receipt.final else {}
    lease = turn.put(lease, last=receipt, last_digest=digest, receipts=lease.receipts + len(fresh), **news)
    lines = tuple(
        PaidLine(line.lease_id, receipt.cost, digest, line.ahead) if line.lease_id == lease.lease_id else line
        for line in escrow.lines
    )
    escrow = turn.put(escrow, lines=lines)
    if receipt.final:
        lease = _note_final(turn, lease)
        if escrow.claimed >= escrow.cumulative:
            settle_if_claimed(turn, escrow)
    return lease, escrow


def _note_final(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    receipt, terms = lease.last, lease.terms
    status = follow(lease.status, "exited", "failed", "paid")
    refund = find_breach(terms, receipt) or ZERO
    due_at_ns = due_to_collect(turn, terms)
    lease = turn.put(lease, status=status, refund=refund, wake_at_ns=turn.at_ns + SETTLE_WAIT_NS, due_at_ns=due_at_ns)
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is None:
        return lease
    job = note(
        turn, job, "final", f"the last of its receipts, number {lease.receipts}", ("cost", str(int(receipt.cost)))
    )
    if refund:
        promised = show_percent(terms.availability_ppm)
        ran_s, of_s = (ns // NANOS_PER_SECOND for ns in (receipt.running_ns, receipt.at_ns - terms.open_until_ns))
        detail = f"it ran for {ran_s} s of {of_s} s where {promised} were promised: a part of the cost can be had back"
        note(turn, job, "breach", detail, ("refund", str(int(refund))))
    return lease


def _refuse_receipts(turn: Turn, lease: SubmitterLease, reply_to: str, refusal: Refusal) -> None:
    turn.emit(effects.ReplyRefusal(reply_to, refusal))
    if lease.end_reason is not None or lease.status not in OPEN:
        return
    lease = turn.put(lease, end_reason="receipt_refused", end_detail=str(refusal), refusal=refusal)
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is not None:
        note(turn, job, "receipt_refused", str(refusal), ("node", to_hex(lease.terms.node)))
    ask_lease(turn, lease, stop=True)


# ---------------------------------------------------------------------------------------------------------------- news


@handles(changes.LeaseNews)
def on_lease_news(turn: Turn, change: changes.LeaseNews) -> None:
    """Note how the lease is; when it has ended, fetch what it left."""
    lease = turn.get(SubmitterLease, change.lease_id)
    if lease is None or lease.terms.node != change.caller:
        if change.reply_to:
            turn.refuse(change.reply_to, "lease_unknown", f"no lease {change.lease_id.hex()[:16]} of yours here")
        return
    if change.reply_to:
        turn.emit(effects.ReplyOk(change.reply_to))
    if lease.status == "refused" or change.status in ("requested", "refused"):
        return
    if lease.status == "requested":
        lease = _open(turn, lease)
    if lease.status in OPEN and lease.end_reason is None:
        # Once the end is known only the final receipt counts: talk alone must not keep our money in the escrow.
        lease = heard(turn, lease) if _is_news(turn, lease) else lease
    elif lease.status == "settled" and waits_for_outputs(turn.state, lease) and _is_news(turn, lease):
        lease = turn.put(lease, heard_at_ns=turn.at_ns)
    if change.status == "running" and lease.status == "preparing":
        lease = _note_running(turn, lease)
    if change.end_reason is not None:
        _note_end(turn, lease, change)
    if change.status in ("settling", "settled"):
        _stop_waiting(turn, lease.lease_id)


def _is_news(turn: Turn, lease: SubmitterLease) -> bool:
    """That the provider is alive is noted at most once a second: every note is written to the disk."""
    return lease.asked or not 0 <= turn.at_ns - lease.heard_at_ns < HEARD_AGAIN_NS


def _note_running(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is not None:
        note(turn, job, "launch", "the workload has started", ("node", to_hex(lease.terms.node)))
    return turn.put(note_start(turn, lease), status=follow(lease.status, "prepared", "started"))


def _stop_waiting(turn: Turn, lease_id: Hash32) -> None:
    """The provider is done with the lease, whether or not its final receipt ever came: it sends no other."""
    lease = turn.get(SubmitterLease, lease_id)
    if lease is None or lease.status not in OPEN:
        return
    status, due_at_ns = follow(lease.status, "exited", "failed", "paid"), due_to_collect(turn, lease.terms)
    turn.put(lease, status=status, wake_at_ns=turn.at_ns + SETTLE_WAIT_NS, due_at_ns=due_at_ns)
    escrow = turn.get(SubmitterEscrow, lease.terms.escrow_id)
    if escrow is not None:
        settle_if_claimed(turn, escrow)


def _note_end(turn: Turn, lease: SubmitterLease, change: changes.LeaseNews) -> None:
    job = turn.get(SubmitterJob, lease.job_hash)
    if change.end_reason is not None and lease.end_reason is None:
        lease = turn.put(lease, end_reason=change.end_reason, end_detail=change.end_detail, exit_code=change.exit_code)
        # A workload that has run leaves outputs, if only none: they come with later news.
        has_run = has_launched(lease) or (change.left is None and change.outputs is None)
        if job is not None and place_elsewhere(turn, job, lease, has_run, change.end_code):
            turn.put(lease, left=NOTHING, outputs_fetched=True)
            return
        if job is not None:
            job = note(turn, job, "exit", f"{change.end_reason} {change.end_detail}".strip())
            if job.status in LEASED and job.lease_id == lease.lease_id:
                job = turn.put(job, status="collecting")
    if job is None or lease.left is not None or lease.outputs is not None:
        return
    if change.left is not None or change.outputs is not None:
        fetch_outputs(turn, lease, job, change)


# ------------------------------------------------------------------------------------------------------------- silence


@wakes(SubmitterLease)
def on_lease_woke(turn: Turn, lease: SubmitterLease) -> None:
    """Silence: ask once, then count the provider as lost; or settlement that never came: take the rest back."""
    settings = turn.state.settings.submitter
    silence_ns = settings.silence_ns if settings else 60 * NANOS_PER_SECOND
    if lease.status == "settled" and _may_collect(turn, lease):
        lease = turn.put(lease, wake_at_ns=turn.at_ns + OUTPUTS_ASK_NS)
        ask_lease(turn, lease, stop=False)
        return
    if lease.status in ("settling", "settled") and waits_for_outputs(turn.state, lease):
        lease = _give_up_outputs(turn, lease)
    elif lease.status in ("settled", "refused"):
        put_away_lease(turn, lease)
        return
    if lease.status == "settling":
        # While another lease lives by the escrow, taking it back would end that one too.
        busy = is_needed(turn, lease.terms.escrow_id)
        turn.put(lease, wake_at_ns=turn.at_ns + THAW_AGAIN_NS if busy else None)
        if not busy:
            thaw(turn, lease.terms.escrow_id)
        return
    if lease.status not in OPEN:
        turn.put(lease, wake_at_ns=None)
        return
    if is_late(turn, lease):
        _give_up_late(turn, lease)
        return
    # A node that talks of other leases is there, but it must not keep this one open for as long as it likes.
    heard_at_ns = min(_last_heard(turn, lease), lease.heard_at_ns + (FORGOTTEN - 1) * silence_ns)
    if turn.at_ns - heard_at_ns < silence_ns:
        lease = turn.put(lease, asked=True, wake_at_ns=_before_due(lease, heard_at_ns + silence_ns))
        ask_lease(turn, lease, stop=lease.stop_asked_at_ns is not None)
        return
    silence = f"no word from {to_hex(lease.terms.node)} for {(turn.at_ns - lease.heard_at_ns) // NANOS_PER_SECOND} s"
    lose_provider(turn, lease, "provider_lost", silence)


def _give_up_late(turn: Turn, lease: SubmitterLease) -> None:
    """It talks, and does not do what it promised: nothing more is signed for it, and it is told to stop what it may still do."""
    fault = describe_lateness(turn, lease)
    lose_provider(turn, lease, "provider_late", fault)
    ask_lease(turn, turn.get(SubmitterLease, lease.lease_id) or lease, stop=True)


def _may_collect(turn: Turn, lease: SubmitterLease) -> bool:
    """The provider talks of the lease and has yet to say what the workload left; within reason, for it is paid already."""
    talks = turn.at_ns - lease.heard_at_ns < SETTLE_WAIT_NS and turn.at_ns - lease.last.at_ns < RETAIN_NS
    return (
        talks
        and may_collect(turn, lease)
        and lease.left is None
        and lease.outputs is None
        and waits_for_outputs(turn.state, lease)
    )


def _give_up_outputs(turn: Turn, lease: SubmitterLease) -> SubmitterLease:
    """The work was paid, and its provider has said nothing of its outputs since; a fetch under way has its own deadline."""
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is None or lease.left is not None or lease.outputs is not None:
        return turn.put(lease, wake_at_ns=turn.at_ns + SETTLE_WAIT_NS)
    lease = turn.put(lease, end_reason=lease.end_reason or "provider_lost", wake_at_ns=turn.at_ns + RETAIN_NS)
    finish_job(turn, job, lease, "outputs_lost", "the provider did not say what the workload left")
    return lease


def _last_heard(turn: Turn, lease: SubmitterLease) -> int:
    """When the lease's node last said anything on any lease that is still open: then it is there, whatever ails this one."""
    same = (one for one in turn.state.all(SubmitterLease) if one.terms.node == lease.terms.node and one.status in OPEN)
    return max((one.heard_at_ns for one in same), default=lease.heard_at_ns)


def lose_provider(turn: Turn, lease: SubmitterLease, reason: EndReason, fault: str) -> None:
    """Not heard from for too long, or late: what we signed is all it gets; the rest comes back after the thaw."""
    reason = lease.end_reason or reason
    has_run = has_launched(lease)
    lease = turn.put(lease, status=follow(lease.status, "lost"), end_reason=reason, wake_at_ns=None)
    job = turn.get(SubmitterJob, lease.job_hash)
    if job is not None and job.status == "fetching" and job.lease_id == lease.lease_id:
        finish_job(turn, miss_outputs(turn, job, lease, fault), lease, reason, lease.end_detail)
    elif job is not None and job.status in LEASED and job.lease_id == lease.lease_id:
        lease = turn.put(lease, end_detail=lease.end_detail or fault)
        if not place_elsewhere(turn, job, lease, has_run):
            finish_job(turn, job, lease, reason, lease.end_detail)
    if is_needed(turn, lease.terms.escrow_id):
        turn.put(lease, wake_at_ns=turn.at_ns + THAW_AGAIN_NS)
    else:
        thaw(turn, lease.terms.escrow_id)


@on_failure(effects.AskLease)
def on_ask_failed(turn: Turn, effect: effects.AskLease, refusal: Refusal) -> None:
    """A stop is never given up while the lease may still cost something. A provider that says it does not know the lease
    is not lost yet: only its silence as well makes it so."""
    lease = turn.get(SubmitterLease, effect.lease_id)
    if lease is None or lease.status not in OPEN:
        return
    job = turn.get(SubmitterJob, lease.job_hash)
    if refusal.code == "lease_unknown" and job is not None:
        note(turn, job, "provider_forgot", refusal.detail)
    elif refusal.code != "lease_unknown" and effect.stop:
        ask_lease(turn, lease, stop=True)


@resumes(SubmitterLease)
def grant_grace(turn: Turn, lease: SubmitterLease, away_ns: int) -> None:
    """We were away ourselves: the provider's silence counts from now, and what it has yet to do takes as long as it had."""
    if lease.status in OPEN:
        heard(turn, shift_due(turn, lease, away_ns))
    elif lease.wake_at_ns is not None:
        due_at_ns = lease.due_at_ns and lease.due_at_ns + away_ns
        heard_at_ns, wake_at_ns = lease.heard_at_ns + away_ns, lease.wake_at_ns + away_ns
        turn.put(lease, heard_at_ns=heard_at_ns, wake_at_ns=wake_at_ns, due_at_ns=due_at_ns)
        turn.put(lease, heard_at_ns=lease.heard_at_ns + away_ns, wake_at_ns=lease.wake_at_ns + away_ns)


@leaves(SubmitterLease, put_away_lease)
def lease_is_over(state: State, lease: SubmitterLease) -> int | None:
    """Its money is where it belongs, and its job waits for nothing of it."""
    is_fetching = lease.left is not None and lease.left.inventory is not None and not lease.outputs_fetched
    waits = is_fetching or waits_for_outputs(state, lease)
    is_over = lease.status == "refused" or (lease.status == "settled" and not waits)
    return lease.heard_at_ns if is_over else None
