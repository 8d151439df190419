"""The submitter before a lease: a job taken in, its quotes, the choice, and what becomes of the job."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import msgspec

from metering.eip712 import keccak
from metering.receipt import make_first
from metering.refusal import Refusal
from metering.terms import Escrow, LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND, ZERO, ZERO_HASH, Address, Amount
from scheduler.job import job_hash_of
from scheduler.latency import next_latency
from scheduler.match import Choice, choose, sort_answers
from scheduler.preferences import Preferences
from scheduler.quote import Quote, QuoteBody, SignedQuote, quote_digest_of
from scheduler.score import weights_of
from xnode.node import changes, effects
from xnode.node.blame import is_worth_another, may_run_on
from xnode.node.experience import load_of
from xnode.node.late_start import LATE, MAX_LATE, choose_lead_ns
from xnode.node.lease import OPEN
from xnode.node.leaving import leaves
from xnode.node.opening import opening_until_of
from xnode.node.records import (
    ENDED,
    LEASED,
    WAITING,
    Asked,
    PaidLine,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
    SubmitterSettings,
)
from xnode.node.registry import handles, on_failure, resumes, wakes
from xnode.node.state import State, Turn
from xnode.node.submitter.clocks import note_stop
from xnode.node.submitter.seek import (
    BUSY,
    MAX_STALLED,
    MAX_TRIES,
    SILENT,
    ask_others,
    chain_is_back,
    drop_quote,
    drop_quotes,
    end_in_vain,
    fail_for_funds,
    keep_words,
    search,
)
from xnode.node.submitter.timeline import note, note_once
from xnode.text.hex import to_hex

LEASE_WAIT_NS = 20 * NANOS_PER_SECOND
"""How long a provider may take to countersign; it asks its chain node meanwhile. The terms give it as long, or longer where a
promise of availability counts from then: see late_start."""

ANSWER_NS = 1_500_000_000
"""How long its answer may be on its way after that."""

HASTY_WAIT_NS = 5 * NANOS_PER_SECOND
"""How long it is waited for when there is another quote: three answers of a distant chain node under load. Then it is told to
stop, which it obeys also before it has signed, so that no honest one signs while another already runs the job."""

ASK_WAIT_NS = 60 * NANOS_PER_SECOND
"""How long a provider may take to say how a lease is, or to stop it, before it is asked anew."""

# -------------------------------------------------------------------------------------------------------------- search


@handles(changes.JobSubmitted)
def on_job_submitted(turn: Turn, change: changes.JobSubmitted) -> None:
    """Take the job and look for offers. Submitting it twice is submitting it once."""
    job_hash = job_hash_of(change.job)
    if turn.get(SubmitterJob, job_hash) is None:
        settings = turn.state.settings.submitter
        if settings is None:
            return turn.refuse(change.reply_to, "not_a_submitter", "this node has no payer; set submitter.payer")
        if change.job.prepay_ns > settings.max_prepay_ns:
            asked, most = say_duration(change.job.prepay_ns), say_duration(settings.max_prepay_ns)
            detail = f"prepay of {asked}, the limit is {most}; raise submitter.max_prepay"
            return turn.refuse(change.reply_to, "prepay_limit", detail)
        job = turn.put(SubmitterJob(job_hash, change.job, turn.at_ns, into=change.into, only=change.only))
        search(turn, note(turn, job, "submitted", f"job {change.job.name}"))
    turn.emit(effects.ReplyOk(change.reply_to, job_hash))
    return None


# -------------------------------------------------------------------------------------------------------------- quotes


@handles(changes.QuoteReceived)
def on_quote_received(turn: Turn, change: changes.QuoteReceived) -> None:
    """Note the quote; with the last answer the choice is made."""
    settings = turn.state.settings.submitter
    refusal = _check_bounds(settings, change.signed.quote.body) if settings is not None else None
    job = turn.get(SubmitterJob, change.job_hash)
    asked = next((one for one in job.asked if one.node == change.node), None) if job else None
    waits = job is not None and job.status == "quoting" and asked is not None
    if refusal is not None or (not waits and not _is_leased(turn, job, change)):
        drop_quote(turn, change.job_hash, asked.multiaddrs if asked else (), change.signed)
    _note_answer(turn, change.job_hash, change.node, None if refusal else change.signed, refusal)


def _is_leased(turn: Turn, job: SubmitterJob | None, change: changes.QuoteReceived) -> bool:
    """True when a lease lives by the node's quote: one that comes again must not be let go."""
    lease = turn.get(SubmitterLease, job.lease_id) if job and job.lease_id else None
    return lease is not None and lease.terms.node == change.node


def _check_bounds(settings: SubmitterSettings, body: QuoteBody) -> Refusal | None:
    if body.thaw > settings.max_thaw:
        # What a provider asks for here is how long it could keep our money from us.
        detail = f"the quote asks for a thaw of {body.thaw} s; we take at most {settings.max_thaw} s"
        return Refusal("quote_thaw", detail)
    excess = settings.exposure_bound.find_excess(body.interval_ns, body.exposure_intervals)
    return Refusal("quote_exposure", f"work that the quote lets go unpaid: {excess}") if excess else None


@on_failure(effects.RequestQuote)
def on_quote_failed(turn: Turn, effect: effects.RequestQuote, refusal: Refusal) -> None:
    """Note the refusal."""
    _note_answer(turn, effect.job_hash, effect.node, None, refusal)


def _note_answer(
    turn: Turn, job_hash: bytes, node: Address, signed: SignedQuote | None, refusal: Refusal | None
) -> None:
    job = turn.get(SubmitterJob, job_hash)
    if job is None or job.status != "quoting":
        return
    asked = tuple(
        msgspec.structs.replace(one, quote=signed, refusal=refusal) if one.node == node else one for one in job.asked
    )
    job = turn.put(job, asked=asked)
    node_pair = ("node", "0x" + node.hex())
    if refusal is not None:
        passing = refusal.code in BUSY or refusal.code in SILENT
        tell = partial(note_once, of=refusal.code) if passing else note
        job = tell(turn, job, "refusal", str(refusal), node_pair)
    elif signed is not None:
        limit = ("cost_limit", str(int(signed.quote.body.cost_limit)))
        job = note(turn, job, "quote", f"quote {signed.quote.number}", node_pair, limit)
    choose_if_ready(turn, job)


@handles(changes.FundsRead)
def on_funds_read(turn: Turn, change: changes.FundsRead) -> None:
    """What we can pay with is known; with the last quote the choice is made."""
    job = turn.get(SubmitterJob, change.job_hash)
    if job is None or job.status != "quoting":
        return
    waited = job.waits_since_ns
    job = turn.put(chain_is_back(turn, job), funds=Amount(min(change.free, change.opener_cap)))
    if waited:
        # The quotes that came meanwhile are old.
        search(turn, job)
    else:
        choose_if_ready(turn, job)


@wakes(SubmitterJob)
def on_job_woke(turn: Turn, job: SubmitterJob) -> None:
    """A provider that has not answered by now is not asked again."""
    if job.status == "quoting":
        choose_if_ready(turn, turn.put(job, wake_at_ns=None), late=True)
    elif job.status == "searching":
        search(turn, job)
    else:
        turn.put(job, wake_at_ns=None)


def choose_if_ready(turn: Turn, job: SubmitterJob, late: bool = False) -> None:
    """Choose as soon as all have answered or the wait is over, and the funds are known."""
    waits = not late and job.wake_at_ns is not None and any(not (one.quote or one.refusal) for one in job.asked)
    funds = job.funds
    if waits or funds is None:
        return
    answers = sort_answers((a.quote for a in job.asked if a.quote), job.job, turn.state.settings.separator, turn.at_ns)
    for node, refusal in answers.refused:
        drop_quotes(turn, turn.put(job, asked=tuple(one for one in job.asked if one.node == node)))
        job = turn.put(job, asked=_without_quote(job.asked, node, refusal))
        job = note(turn, job, "refusal", str(refusal), ("node", "0x" + node.hex()))
    choice = choose(answers, job.job, _make_preferences(turn, job), turn.at_ns, turn.entropy)
    if choice is None:
        ask_others(turn, job)
        return
    limit = choice.quote.quote.body.cost_limit
    if limit > funds:
        fail_for_funds(turn, job, limit, funds)
        return
    _open_lease(turn, job, choice)


def _without_quote(asked: tuple[Asked, ...], node: Address, refusal: Refusal) -> tuple[Asked, ...]:
    return tuple(
        msgspec.structs.replace(one, quote=None, refusal=refusal) if one.node == node else one for one in asked
    )


def _make_preferences(turn: Turn, job: SubmitterJob) -> Preferences:
    """What was known of those we asked; time is worth what the cheapest of their quotes asks for it."""
    weights = weights_of(job.job, (one.quote.quote.body.tariff for one in job.asked if one.quote))
    settings = turn.state.settings.submitter
    if settings and settings.rtt_weight:
        weights = replace(weights, rtt_ms=settings.rtt_weight)
    return Preferences(
        latencies={one.node: next_latency(None, one.rtt_ns // 1000, turn.at_ns) for one in job.asked if one.rtt_ns},
        reputations={one.node: one.reputation for one in job.asked},
        warm=frozenset(one.node for one in job.asked if one.has_image),
        weights=weights,
        load=load_of(turn.state),
    )


# --------------------------------------------------------------------------------------------------------------- lease


def _open_lease(turn: Turn, job: SubmitterJob, choice: Choice) -> None:
    """Sign nothing yet: the terms are journalled first, and signed when they are sent."""
    quote = choice.quote.quote
    settings = turn.state.settings.submitter
    assert settings is not None
    escrow = _find_escrow(turn, quote) or _make_escrow(turn, quote, settings)
    asked = next((one for one in job.asked if one.node == quote.node), None)
    has_image = asked is not None and asked.has_image
    lead_ns = choose_lead_ns(job.job, quote.body.promise, has_image, job.late, LEASE_WAIT_NS)
    terms = _make_terms(turn, quote, escrow, lead_ns)
    lease_id = lease_id_of(turn.state.settings.separator, terms)
    opening = Opening(
        escrow.escrow_id,
        quote.body.cost_limit,
        keccak(turn.entropy + lease_id),
        turn.at_ns // NANOS_PER_SECOND + settings.opening_ttl_s,
    )
    turn.put(
        escrow,
        lines=(*escrow.lines, PaidLine(lease_id, ZERO, ZERO_HASH)),
        opening_until_ns=max(escrow.opening_until_ns, opening_until_of(opening)),
        wake_at_ns=None,
    )
    first = make_first(lease_id, turn.at_ns)
    addrs = asked.multiaddrs if asked is not None else ()
    turn.put(
        SubmitterLease(
            lease_id=lease_id,
            job_hash=job.job_hash,
            terms=terms,
            multiaddrs=addrs,
            opening=opening,
            requested_at_ns=turn.at_ns,
            last=first,
            last_digest=ZERO_HASH,
            heard_at_ns=turn.at_ns,
            image=job.job.image.digest,
        )
    )
    ranking = tuple(("0x" + row.node.hex(), str(row.score)) for row in choice.ranking)
    job = note(turn, job, "choice", choice.reason, ("node", "0x" + quote.node.hex()), *ranking)
    turn.put(job, status="leasing", lease_id=lease_id, tried=(*job.tried, quote.node), wake_at_ns=None)
    is_only = len(choice.ranking) == 1
    slot = turn.slot("lease", lease_id, wait_ns=LEASE_WAIT_NS + ANSWER_NS if is_only else HASTY_WAIT_NS)
    turn.emit(effects.RequestLease(lease_id, addrs, terms, escrow.escrow, opening, *slot))


def _make_terms(turn: Turn, quote: Quote, escrow: SubmitterEscrow, lead_ns: int) -> LeaseTerms:
    body = quote.body
    return LeaseTerms(
        job_hash=body.job_hash,
        quote_hash=quote_digest_of(turn.state.settings.separator, quote),
        submitter=turn.state.settings.node,
        provider=quote.provider,
        node=quote.node,
        escrow_id=escrow.escrow_id,
        lease_number=escrow.folded + len(escrow.lines),
        asset=body.asset,
        resources=body.resources,
        tariff=body.tariff,
        cost_limit=body.cost_limit,
        exposure_limit=body.exposure_limit,
        interval_ns=body.interval_ns,
        duration_limit_ns=body.duration_limit_ns,
        open_until_ns=turn.at_ns + lead_ns,
        availability_ppm=body.promise.availability_ppm,
        refund_ppm=body.promise.refund_ppm,
        exposure_intervals=body.exposure_intervals,
    )


def _find_escrow(turn: Turn, quote: Quote) -> SubmitterEscrow | None:
    for escrow in turn.state.all(SubmitterEscrow):
        same = (escrow.escrow.provider, escrow.escrow.asset) == (quote.provider, quote.body.asset)
        if same and escrow.escrow.thaw >= quote.body.thaw and not (escrow.thaw_asked or escrow.thaw_end):
            return escrow
    return None


def _make_escrow(turn: Turn, quote: Quote, settings: SubmitterSettings) -> SubmitterEscrow:
    number = turn.state.numbers.escrow + 1
    turn.put(turn.state.numbers, escrow=number)
    # The clock is part of the nonce, so that a node whose memory was wiped never meets its old escrows again.
    nonce = (turn.at_ns // NANOS_PER_SECOND << 24) + number
    terms = Escrow(
        payer=settings.payer,
        signer=turn.state.settings.node,
        provider=quote.provider,
        asset=quote.body.asset,
        split=ZERO_HASH,
        thaw=max(settings.thaw, quote.body.thaw),
        nonce=nonce,
    )
    return turn.put(SubmitterEscrow(escrow_id_of(turn.state.settings.separator, terms), terms))


# ------------------------------------------------------------------------------------------------------------- outcome


def try_next(turn: Turn, job: SubmitterJob, node: Address, why: str, code: str = "") -> None:
    """Another quote of those we have that still holds, another search, or the end. node: did not take the job, and why."""
    job = _note_try(turn, keep_words(turn, job, node, why), node, code)
    separator = turn.state.settings.separator
    quotes = (one.quote for one in job.asked if one.quote and one.node not in job.tried)
    good = {quote.quote.node for quote in sort_answers(quotes, job.job, separator, turn.at_ns).good}
    left = tuple(one for one in job.asked if one.node in good)
    if len(job.tried) - len(job.stalled) >= MAX_TRIES or len(job.stalled) >= MAX_STALLED:
        end_in_vain(turn, job)
    elif left:
        job = turn.put(job, status="quoting", asked=left, lease_id=None, wake_at_ns=None)
        choose_if_ready(turn, job, late=True)
    else:
        search(turn, job)


def _note_try(turn: Turn, job: SubmitterJob, node: Address, code: str) -> SubmitterJob:
    """Who does not answer, or has just given its room to another, has not failed the job: neither counts as one of its tries."""
    if code in SILENT:
        return turn.put(job, stalled=(*job.stalled, node))
    if code in LATE and job.late < MAX_LATE:
        # It would have done the job, had it had more time: it may be asked again, like any other, and gets more.
        tried = tuple(one for one in job.tried if one != node)
        asked = tuple(one for one in job.asked if one.node != node)
        return turn.put(job, tried=tried, asked=asked, late=job.late + 1)
    if code in BUSY:
        tried = tuple(one for one in job.tried if one != node)
        asked = tuple(one for one in job.asked if one.node != node)
        return turn.put(job, tried=tried, asked=asked, passed=(*job.passed, node), busy=(*job.busy, node))
    return job


def place_elsewhere(turn: Turn, job: SubmitterJob, lease: SubmitterLease, has_run: bool, code: str = "") -> bool:
    """Try another provider after a lease whose end was no doing of the job's; false when that is of no use, and the job ends
    as the lease did. has_run: the workload has begun; code: of the fault, as the provider reports it."""
    reason, node = lease.end_reason, lease.terms.node
    is_wanted = job.lease_id == lease.lease_id and lease.stop_asked_at_ns is None
    if reason is None or not is_wanted or not is_worth_another(reason, code, has_run):
        return False
    words = f"{reason}: {lease.end_detail}" if lease.end_detail else reason
    if (
        code not in LATE
        and reason == "launch_failed"
        and lease.end_detail
        and any(said == words for _, said in job.words)
    ):
        # Two engines that know nothing of each other say the same: it is the job.
        return False
    job = turn.put(job, failed=(*job.failed, (lease.lease_id, reason)), asked=())
    # What is not known to have ended may run to its end: nothing more is signed for it, and what was signed stays signed.
    twice = "; it may run there too, unpaid from now on" if may_run_on(reason, has_run) else ""
    pairs = (("node", to_hex(node)), ("cost", str(int(lease.last.cost))))
    job = note(turn, job, "elsewhere", f"{words}; another provider is tried{twice}", *pairs)
    try_next(turn, job, node, words, code)
    return True


@resumes(SubmitterJob)
def wait_on(turn: Turn, job: SubmitterJob, away_ns: int) -> None:
    """The providers that were asked have as long to answer as they had, and the job waits for its whole time."""
    waits_since_ns = job.waits_since_ns and job.waits_since_ns + away_ns
    if job.status in WAITING:
        waiting_since_ns = job.waiting_since_ns and job.waiting_since_ns + away_ns
        job = turn.put(job, waiting_since_ns=waiting_since_ns, looks_since_ns=turn.at_ns)
    if job.wake_at_ns is not None:
        turn.put(job, wake_at_ns=job.wake_at_ns + away_ns, waits_since_ns=waits_since_ns)
    elif waits_since_ns:
        turn.put(job, waits_since_ns=waits_since_ns)


def resume_job(turn: Turn, job: SubmitterJob) -> None:
    """We were away ourselves, and the time for answers passed meanwhile: begin the search anew."""
    if job.status in ("searching", "quoting"):
        search(turn, job)


@handles(changes.JobStopRequested)
def on_job_stop_requested(turn: Turn, change: changes.JobStopRequested) -> None:
    """Stop a job wherever it is; what ran is paid."""
    job = turn.get(SubmitterJob, change.job_hash)
    if job is None:
        return turn.refuse(change.reply_to, "job_unknown", f"no live job {change.job_hash.hex()[:16]} here")
    lease = turn.get(SubmitterLease, job.lease_id) if job.lease_id else None
    if lease is not None and job.status in LEASED:
        ask_lease(turn, turn.put(lease, stop_asked_at_ns=lease.stop_asked_at_ns or turn.at_ns), stop=True)
        note(turn, job, "stopping", "asked the provider to stop")
    elif job.status in ("searching", "quoting"):
        drop_quotes(turn, job)
        note(turn, job, "end", "stopped before any lease", status="stopped", end_reason="stopped_by_submitter")
    turn.emit(effects.ReplyOk(change.reply_to))
    return None


def ask_lease(turn: Turn, lease: SubmitterLease, stop: bool) -> None:
    """Ask the provider how the lease is, or to stop it."""
    if stop and lease.status in OPEN:
        lease = note_stop(turn, lease)
    slot = turn.slot("ask", lease.lease_id, wait_ns=ASK_WAIT_NS)
    turn.emit(effects.AskLease(lease.lease_id, lease.terms.node, lease.multiaddrs, stop, *slot))


@leaves(SubmitterJob)
def job_is_over(state: State, job: SubmitterJob) -> int | None:
    """It has its end, and its leases have theirs."""
    if job.status not in ENDED or job.wake_at_ns is not None:
        return None
    leases = (state.get(SubmitterLease, one) for one in (job.lease_id, *(one for one, _ in job.failed)) if one)
    if any(lease is not None and lease.status not in ("settled", "refused") for lease in leases):
        return None
    return job.timeline[-1].at_ns if job.timeline else job.submitted_at_ns
