"""The submitter before a lease: search, quotes, the choice, and what becomes of the job."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from metering.eip712 import keccak
from metering.receipt import make_first
from metering.refusal import Refusal
from metering.terms import Escrow, LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.units import NANOS_PER_SECOND, ZERO, ZERO_HASH, Address, Amount, Hash32
from scheduler.job import job_hash_of
from scheduler.latency import next_latency
from scheduler.match import Choice, choose, sort_answers
from scheduler.preferences import Preferences
from scheduler.quote import Quote, QuoteBody, SignedQuote, quote_digest_of
from scheduler.score import weights_of
from xnode.node import changes, effects
from xnode.node.opening import opening_until_of
from xnode.node.records import (
    TIMELINE_MAX,
    Asked,
    Candidate,
    PaidLine,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
    SubmitterSettings,
    TimelineEntry,
)
from xnode.node.registry import handles, ignore_failure, on_failure, resumes, wakes
from xnode.node.state import Turn

SEARCH_WAIT_NS = 20 * NANOS_PER_SECOND
"""How long the search may take, DHT and all."""

FUNDS_WAIT_NS = 15 * NANOS_PER_SECOND
"""How long the chain may take to say what we can pay with."""

CHAIN_PATIENCE_NS = 600 * NANOS_PER_SECOND
"""How long a job waits for our own chain node: an upgrade or a restart of it takes minutes, and a job that had its answer
by then has lost nothing; after that a person should look."""

CHAIN_AGAIN_NS = 5 * NANOS_PER_SECOND
"""Until offers are searched again, when the chain could not say whose they are."""

CHAIN_NOTE_NS = 60 * NANOS_PER_SECOND
"""Between two lines of a job's timeline that say that it still waits for the chain."""

LEASE_WAIT_NS = 20 * NANOS_PER_SECOND
"""How long a provider may take to countersign; it asks its chain node meanwhile."""

ASK_WAIT_NS = 60 * NANOS_PER_SECOND
"""How long a provider may take to say how a lease is, or to stop it, before it is asked anew."""

MAX_TRIES = 5
"""Providers tried before a job is given up: five in a row that fail have a common reason worth a person's look."""

MAX_ROUNDS = 2
"""How often those who did not answer are asked anew: a provider that is being restarted is back by then."""

MAX_PASSED = 32
"""Providers asked for a quote before a job is given up; each three cost a wait."""


def note(
    turn: Turn, job: SubmitterJob, what: str, detail: str, *pairs: tuple[str, str], **changes: object
) -> SubmitterJob:
    """The job with one more line in its timeline (and these fields changed)."""
    entry = TimelineEntry(turn.at_ns, what, detail, tuple(pairs))
    return turn.put(job, timeline=(*job.timeline, entry)[-TIMELINE_MAX:], **changes)


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
            most = f"{settings.max_prepay_ns / 1e9:g} s"
            detail = f"prepay of {change.job.prepay_ns / 1e9:g} s, the limit is {most}; raise submitter.max_prepay"
            return turn.refuse(change.reply_to, "prepay_limit", detail)
        job = turn.put(SubmitterJob(job_hash, change.job, turn.at_ns))
        search(turn, note(turn, job, "submitted", f"job {change.job.name}"))
    turn.emit(effects.ReplyOk(change.reply_to, job_hash))
    return None


def search(turn: Turn, job: SubmitterJob) -> None:
    """Look for offers, leaving out the providers that we tried."""
    job = turn.put(job, status="searching", asked=(), lease_id=None, wake_at_ns=None)
    slot = turn.slot("search", job.job_hash, wait_ns=SEARCH_WAIT_NS)
    turn.emit(effects.SearchOffers(job.job_hash, job.job, (*job.tried, *job.passed), *slot))


@handles(changes.OffersRanked)
def on_offers_ranked(turn: Turn, change: changes.OffersRanked) -> None:
    """Ask the best few, or give every reason why no provider fits, before any money moves."""
    job = turn.get(SubmitterJob, change.job_hash)
    settings = turn.state.settings.submitter
    if job is None or job.status != "searching" or settings is None:
        return
    found = f"{change.seen} seen, {len(change.candidates)} fit"
    job = note(turn, job, "offers", found, *((code, f"{count}: {detail}") for code, count, detail in change.shortfalls))
    if not change.candidates and change.unread:
        wait_for_chain(turn, job, change.unread, again_ns=turn.at_ns + CHAIN_AGAIN_NS)
        return
    job = _chain_is_back(turn, job) if not change.unread else job
    if not change.candidates and job.passed:
        ask_silent(turn, job)
        return
    if not change.candidates:
        reasons = "; ".join(f"{code} ({count}): {detail}" for code, count, detail in change.shortfalls)
        fail_job(turn, job, "no_match", reasons or "no offers were found; is any provider reachable?")
        return
    asked = tuple(_make_asked(one) for one in change.candidates[: settings.quotes])
    job = turn.put(job, status="quoting", asked=asked, wake_at_ns=turn.at_ns + settings.quote_wait_ns)
    _ask_quotes(turn, job, settings)


def _make_asked(one: Candidate) -> Asked:
    offer = one.offer.offer
    return Asked(
        offer.node,
        offer.body.multiaddrs,
        one.rtt_ns,
        region=offer.body.region,
        reputation=one.reputation,
        has_image=one.has_image,
    )


def _ask_quotes(turn: Turn, job: SubmitterJob, settings: SubmitterSettings) -> None:
    slot = turn.slot("funds", job.job_hash, wait_ns=FUNDS_WAIT_NS)
    turn.emit(effects.ReadFunds(job.job_hash, settings.payer, job.job.asset, *slot))
    for asked in job.asked:
        slot = turn.slot("quote", job.job_hash + asked.node, until_ns=turn.at_ns + settings.quote_wait_ns)
        turn.emit(effects.RequestQuote(job.job_hash, job.job, asked.node, asked.multiaddrs, *slot))


# -------------------------------------------------------------------------------------------------------------- quotes


@handles(changes.QuoteReceived)
def on_quote_received(turn: Turn, change: changes.QuoteReceived) -> None:
    """Note the quote; with the last answer the choice is made."""
    settings = turn.state.settings.submitter
    refusal = _check_bounds(settings, change.signed.quote.body) if settings is not None else None
    _note_answer(turn, change.job_hash, change.node, None if refusal else change.signed, refusal)


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
        job = note(turn, job, "refusal", str(refusal), node_pair)
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
    job = turn.put(_chain_is_back(turn, job), funds=Amount(min(change.free, change.opener_cap)))
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
        job = turn.put(job, asked=_without_quote(job.asked, node, refusal))
        job = note(turn, job, "refusal", str(refusal), ("node", "0x" + node.hex()))
    choice = choose(answers, job.job, _make_preferences(turn, job), turn.at_ns, turn.entropy)
    if choice is None:
        ask_others(turn, job)
        return
    limit = choice.quote.quote.body.cost_limit
    if limit > funds:
        missing = limit - funds
        fail_job(
            turn,
            job,
            "escrow_too_small",
            "the job may cost more than can be reserved for it; deposit or approve more",
            ("cost_limit", str(limit)),
            ("missing", str(missing)),
        )
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
    )


# --------------------------------------------------------------------------------------------------------------- lease


def _open_lease(turn: Turn, job: SubmitterJob, choice: Choice) -> None:
    """Sign nothing yet: the terms are journalled first, and signed when they are sent."""
    quote = choice.quote.quote
    settings = turn.state.settings.submitter
    assert settings is not None
    escrow = _find_escrow(turn, quote) or _make_escrow(turn, quote, settings)
    terms = _make_terms(turn, quote, escrow)
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
    addrs = next((one.multiaddrs for one in job.asked if one.node == quote.node), ())
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
        )
    )
    ranking = tuple(("0x" + row.node.hex(), str(row.score)) for row in choice.ranking)
    job = note(turn, job, "choice", choice.reason, ("node", "0x" + quote.node.hex()), *ranking)
    turn.put(job, status="leasing", lease_id=lease_id, tried=(*job.tried, quote.node), wake_at_ns=None)
    slot = turn.slot("lease", lease_id, wait_ns=LEASE_WAIT_NS)
    turn.emit(effects.RequestLease(lease_id, addrs, terms, escrow.escrow, opening, *slot))


def _make_terms(turn: Turn, quote: Quote, escrow: SubmitterEscrow) -> LeaseTerms:
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
        open_until_ns=turn.at_ns + LEASE_WAIT_NS,
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


def try_next(turn: Turn, job: SubmitterJob, why: str) -> None:
    """Another quote of those we have that still holds, another search, or the end."""
    separator = turn.state.settings.separator
    quotes = (one.quote for one in job.asked if one.quote and one.node not in job.tried)
    good = {quote.quote.node for quote in sort_answers(quotes, job.job, separator, turn.at_ns).good}
    left = tuple(one for one in job.asked if one.node in good)
    if len(job.tried) >= MAX_TRIES:
        fail_job(turn, job, "no_provider", f"{why}; {len(job.tried)} providers were tried")
    elif left:
        job = turn.put(job, status="quoting", asked=left, lease_id=None, wake_at_ns=None)
        choose_if_ready(turn, job, late=True)
    else:
        search(turn, job)


def ask_others(turn: Turn, job: SubmitterJob) -> None:
    """None of those we asked gave a quote that holds: look for others."""
    absent = Refusal("no_answer", "it did not answer in time")
    said = "; ".join(f"0x{one.node.hex()[:8]} {one.refusal or absent}" for one in job.asked)
    silent = tuple(one.node for one in job.asked if one.refusal is None or one.refusal.code == "deadline")
    passed = (*job.passed, *(one.node for one in job.asked))
    job = turn.put(job, passed=passed, silent=(*job.silent, *silent), no_quote=said or job.no_quote)
    if len(passed) >= MAX_PASSED:
        fail_job(turn, job, "no_quote", job.no_quote)
    else:
        search(turn, job)


def ask_silent(turn: Turn, job: SubmitterJob) -> None:
    """No provider is left to ask. One that did not answer may only have been away for a moment, and is asked again after a
    pause."""
    settings = turn.state.settings.submitter
    if not job.silent or job.rounds >= MAX_ROUNDS or settings is None:
        fail_job(turn, job, "no_quote", job.no_quote)
        return
    passed = tuple(node for node in job.passed if node not in job.silent)
    again_ns = turn.at_ns + settings.quote_wait_ns
    turn.put(job, passed=passed, silent=(), rounds=job.rounds + 1, wake_at_ns=again_ns)


@on_failure(effects.SearchOffers)
def on_search_failed(turn: Turn, effect: effects.SearchOffers, refusal: Refusal) -> None:
    """No offers could be read."""
    _search_again(turn, effect.job_hash, refusal)


@on_failure(effects.ReadFunds)
def on_funds_unread(turn: Turn, effect: effects.ReadFunds, refusal: Refusal) -> None:
    """The chain did not say what we can pay with: ask on, for a while."""
    job = turn.get(SubmitterJob, effect.job_hash)
    if job is None or job.status != "quoting":
        return
    if refusal.code != "deadline":
        fail_job(turn, job, refusal.code, refusal.detail)
        return
    job = wait_for_chain(turn, job, refusal.detail)
    if job.status == "quoting":
        slot = turn.slot("funds", job.job_hash, wait_ns=FUNDS_WAIT_NS)
        turn.emit(effects.ReadFunds(job.job_hash, effect.payer, effect.asset, *slot))


def wait_for_chain(turn: Turn, job: SubmitterJob, detail: str, again_ns: int | None = None) -> SubmitterJob:
    """Our own chain node is away: say so, and go on waiting; after CHAIN_PATIENCE_NS the job fails."""
    since_ns = job.waits_since_ns or turn.at_ns
    waited_ns = turn.at_ns - since_ns
    if waited_ns >= CHAIN_PATIENCE_NS:
        waited = f"{waited_ns // NANOS_PER_SECOND} s"
        fail_job(turn, job, "chain_away", f"our chain node gave no answer for {waited}: {detail}")
        return turn.get(SubmitterJob, job.job_hash) or job
    job = turn.put(job, waits_since_ns=since_ns, wake_at_ns=again_ns)
    said = [entry.at_ns for entry in job.timeline if entry.what == "waiting"]
    if not waited_ns or turn.at_ns - said[-1] >= CHAIN_NOTE_NS:
        lasts = f", for {waited_ns // NANOS_PER_SECOND} s now" if waited_ns else ""
        job = note(turn, job, "waiting", f"waiting for our chain node{lasts}: {detail}")
    return job


def _chain_is_back(turn: Turn, job: SubmitterJob) -> SubmitterJob:
    if not job.waits_since_ns:
        return job
    waited_s = (turn.at_ns - job.waits_since_ns) // NANOS_PER_SECOND
    return note(turn, job, "chain", f"our chain node is back after {waited_s} s", waits_since_ns=0)


def _search_again(turn: Turn, job_hash: Hash32, refusal: Refusal) -> None:
    """After a missed deadline, which may only mean that we were away ourselves, a few times; else the job fails."""
    job = turn.get(SubmitterJob, job_hash)
    if job is None or job.status not in ("searching", "quoting"):
        return
    if refusal.code == "deadline" and job.rounds < MAX_ROUNDS:
        search(turn, turn.put(job, rounds=job.rounds + 1))
    else:
        fail_job(turn, job, refusal.code, refusal.detail)


@resumes(SubmitterJob)
def wait_on(turn: Turn, job: SubmitterJob, away_ns: int) -> None:
    """The providers that were asked have as long to answer as they had."""
    waits_since_ns = job.waits_since_ns and job.waits_since_ns + away_ns
    if job.wake_at_ns is not None:
        turn.put(job, wake_at_ns=job.wake_at_ns + away_ns, waits_since_ns=waits_since_ns)
    elif waits_since_ns:
        turn.put(job, waits_since_ns=waits_since_ns)


def resume_job(turn: Turn, job: SubmitterJob) -> None:
    """We were away ourselves, and the time for answers passed meanwhile: begin the search anew."""
    if job.status in ("searching", "quoting"):
        search(turn, job)


def fail_job(turn: Turn, job: SubmitterJob, reason: str, detail: str, *pairs: tuple[str, str]) -> None:
    """The job ends without having run."""
    note(
        turn, job, "end", f"{reason}: {detail}", *pairs, status="failed", end_reason=reason, end_detail=detail,
        wake_at_ns=None,
    )  # fmt: skip


@handles(changes.JobStopRequested)
def on_job_stop_requested(turn: Turn, change: changes.JobStopRequested) -> None:
    """Stop a job wherever it is; what ran is paid."""
    job = turn.get(SubmitterJob, change.job_hash)
    if job is None:
        return turn.refuse(change.reply_to, "job_unknown", f"no live job {change.job_hash.hex()[:16]} here")
    lease = turn.get(SubmitterLease, job.lease_id) if job.lease_id else None
    if lease is not None and job.status in ("leasing", "running"):
        ask_lease(turn, turn.put(lease, stop_asked_at_ns=lease.stop_asked_at_ns or turn.at_ns), stop=True)
        note(turn, job, "stopping", "asked the provider to stop")
    elif job.status in ("searching", "quoting"):
        note(turn, job, "end", "stopped before any lease", status="stopped", end_reason="stopped_by_submitter")
    turn.emit(effects.ReplyOk(change.reply_to))
    return None


def ask_lease(turn: Turn, lease: SubmitterLease, stop: bool) -> None:
    """Ask the provider how the lease is, or to stop it."""
    slot = turn.slot("ask", lease.lease_id, wait_ns=ASK_WAIT_NS)
    turn.emit(effects.AskLease(lease.lease_id, lease.terms.node, lease.multiaddrs, stop, *slot))


def drop_quotes(turn: Turn, job: SubmitterJob, chosen: Address) -> None:
    """Let the others go: until now each was the next to try, and each holds capacity that another submitter may want."""
    for one in job.asked:
        if one.quote is not None and one.node != chosen:
            quote = one.quote.quote
            digest = quote_digest_of(turn.state.settings.separator, quote)
            slot = turn.slot("drop", job.job_hash + one.node, until_ns=quote.expires_at_ns)
            turn.emit(effects.DropQuote(job.job_hash, one.node, one.multiaddrs, digest, *slot))


ignore_failure(effects.DropQuote, "a quote that is not dropped expires")
