"""Seek: the submitter's way to a provider: search, whom to ask, and how long a job waits before it is given up."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from scheduler.feasible import cost_limit_of
from scheduler.job import Job
from scheduler.match import spread
from scheduler.quote import SignedQuote, quote_digest_of
from xnode.node import changes, effects
from xnode.node.experience import load_of
from xnode.node.records import Asked, Candidate, SubmitterJob, SubmitterSettings
from xnode.node.registry import handles, ignore_failure, on_failure
from xnode.node.state import Turn
from xnode.node.submitter.timeline import note, note_once
from xnode.text.hex import to_hex

SEARCH_WAIT_NS = 20 * NANOS_PER_SECOND
"""How long the search may take; it answers from what is known, so this is for a machine with much else to do."""

FUNDS_WAIT_NS = 15 * NANOS_PER_SECOND
"""How long the chain may take to say what we can pay with."""

CHAIN_PATIENCE_NS = 600 * NANOS_PER_SECOND
"""How long a job waits for our own chain node: an upgrade or a restart of it takes minutes, and a job that had its answer
by then has lost nothing; after that a person should look."""

CHAIN_AGAIN_NS = 5 * NANOS_PER_SECOND
"""Until offers are searched again, when the chain could not say whose they are."""

CHAIN_NOTE_NS = 60 * NANOS_PER_SECOND
"""Between two lines of a job's timeline that say that it still waits for the chain."""

MAX_TRIES = 5
"""Providers tried before a job is given up: five in a row that fail have a common reason worth a person's look."""

MAX_STALLED = 64
"""Providers that quoted and then did not answer to the lease, before a job is given up: each costs it some seconds, and while
others fit it goes on."""

MAX_ROUNDS = 2
"""How often offers are searched anew that did not come in time: we may have been away ourselves."""

MAX_PASSED = 32
"""Providers that refuse before a job is given up; each three cost a wait. Who is busy or does not answer is not counted."""

MAX_SWEEP = 256
"""Providers asked, of whatever answer, before a job waits for capacity: more would have the first ones' answers grow old."""

FIRST_LOOK_NS = 20 * NANOS_PER_SECOND
"""How long a node to which other nodes may still be named looks on before it says that nothing fits. One that knows no offers
at all has just started, or the others have: that says nothing about the job."""

LOOK_AGAIN_NS = NANOS_PER_SECOND
"""Between such looks."""

FIRST_PAUSE_NS = 2 * NANOS_PER_SECOND
MAX_PAUSE_NS = 15 * NANOS_PER_SECOND
"""Between looks for capacity: twice as long each time, and never so long that others always come first."""

BUSY = frozenset({"capacity", "too_many_quotes", "busy"})
"""What a provider says that could take the job, but not now."""

SILENT = frozenset({"deadline", "unreachable"})
"""What stands for the answer of one that did not give any."""

MAX_WORDS = 32
"""Providers whose last words are kept for the job's end."""


def search(turn: Turn, job: SubmitterJob) -> None:
    """Look for offers, leaving out the providers that we tried."""
    drop_quotes(turn, job)
    job = turn.put(job, status="searching", asked=(), lease_id=None, wake_at_ns=None)
    slot = turn.slot("search", job.job_hash, wait_ns=SEARCH_WAIT_NS)
    turn.emit(effects.SearchOffers(job.job_hash, job.job, (*job.tried, *job.passed), *slot))


@handles(changes.OffersRanked)
def on_offers_ranked(turn: Turn, change: changes.OffersRanked) -> None:
    """Ask the best few; when none is left, wait for those that are busy or silent, or give every reason."""
    job = turn.get(SubmitterJob, change.job_hash)
    settings = turn.state.settings.submitter
    if job is None or job.status != "searching" or settings is None:
        return
    if not change.candidates and change.unread:
        wait_for_chain(turn, job, change.unread, again_ns=turn.at_ns + CHAIN_AGAIN_NS)
        return
    job = chain_is_back(turn, job) if not change.unread else job
    if not change.candidates:
        _wait_or_end(turn, job, change, settings)
        return
    job = _note_offers(turn, job, change)
    load = load_of(turn.state)
    chosen = spread(change.candidates, load, settings.quotes)
    asked = tuple(_make_asked(job.job, one) for one in chosen)
    job = turn.put(job, status="quoting", asked=asked, wake_at_ns=turn.at_ns + settings.quote_wait_ns)
    _ask_quotes(turn, job, settings)


def _note_offers(turn: Turn, job: SubmitterJob, change: changes.OffersRanked) -> SubmitterJob:
    found = f"{change.seen} seen, {len(change.candidates)} fit"
    found += f", {change.busy} busy" if change.busy else ""
    found += f"; {change.waiting} still being asked" if change.waiting else ""
    pairs = ((code, f"{count}: {detail}") for code, count, detail in change.shortfalls)
    # A job that waits finds a few places more or less each time: its one line of waiting says that.
    return (
        job
        if job.waits and any(one.what == "waiting" for one in job.timeline)
        else note_once(turn, job, "offers", found, *pairs)
    )


def _make_asked(job: Job, one: Candidate) -> Asked:
    offer = one.offer.offer
    return Asked(
        offer.node,
        offer.body.multiaddrs,
        one.rtt_ns,
        region=offer.body.region,
        reputation=one.reputation,
        has_image=one.has_image,
        cost_limit=cost_limit_of(job, offer.body.tariff),
    )


def _ask_quotes(turn: Turn, job: SubmitterJob, settings: SubmitterSettings) -> None:
    slot = turn.slot("funds", job.job_hash, wait_ns=FUNDS_WAIT_NS)
    turn.emit(effects.ReadFunds(job.job_hash, settings.payer, job.job.asset, *slot))
    for asked in job.asked:
        slot = turn.slot("quote", job.job_hash + asked.node, until_ns=turn.at_ns + settings.quote_wait_ns)
        turn.emit(
            effects.RequestQuote(
                job_hash=job.job_hash, job=job.job, node=asked.node, multiaddrs=asked.multiaddrs, payer=settings.payer,
                **slot._asdict(),
            )
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ patience


def _wait_or_end(turn: Turn, job: SubmitterJob, change: changes.OffersRanked, settings: SubmitterSettings) -> None:
    """No provider is left to ask now."""
    busy, silent = change.busy + len(job.busy), len(job.silent)
    waited_ns = turn.at_ns - (job.waiting_since_ns or turn.at_ns)
    # That nobody is found says little after an absence, and nothing while others may still be named.
    looks_anew = 0 <= turn.at_ns - job.looks_since_ns < FIRST_LOOK_NS
    is_unknown = change.may_grow or not change.seen or looks_anew
    if (busy or silent) and waited_ns < settings.capacity_wait_ns:
        # One that does not answer may only have been away for a moment: it has as long to be back as one to have room.
        job = turn.put(job, fits_busy=True)
        text = f"waiting for capacity: {_say_who_fits(busy, silent)}"
        _ask_again(turn, note_once(turn, job, "waiting", text, of="waiting for capacity"), _pause_ns_of(turn, job))
    elif is_unknown and job.fits_busy and waited_ns < settings.capacity_wait_ns:
        _ask_again(turn, job, LOOK_AGAIN_NS if looks_anew else _pause_ns_of(turn, job))
    elif looks_anew or (is_unknown and not job.words and waited_ns < FIRST_LOOK_NS):
        _ask_again(turn, _note_offers(turn, job, change), LOOK_AGAIN_NS)
    elif job.words or job.failed:
        end_in_vain(turn, job)
    else:
        reasons = "; ".join(f"{code} ({count}): {detail}" for code, count, detail in change.shortfalls)
        job = _note_offers(turn, job, change)
        fail_job(turn, job, "no_match", reasons or "no offers were found; is any provider reachable?")


def _say_who_fits(busy: int, silent: int) -> str:
    count, why = busy + silent, "busy" if not silent else "not answering" if not busy else "busy or not answering"
    if count > 1:
        return f"{count} providers fit, all {why}"
    return "1 provider fits, and is busy" if busy else "1 provider fits, and does not answer"


def _ask_again(turn: Turn, job: SubmitterJob, pause_ns: int) -> None:
    """After a pause those who were busy or silent are asked anew."""
    passed = tuple(node for node in job.passed if node not in job.silent and node not in job.busy)
    turn.put(
        job, passed=passed, silent=(), busy=(), waits=job.waits + 1, wake_at_ns=turn.at_ns + pause_ns,
        waiting_since_ns=job.waiting_since_ns or turn.at_ns,
    )  # fmt: skip


def _pause_ns_of(turn: Turn, job: SubmitterJob) -> int:
    # Not all at the same moment: jobs that wait for the same few providers would refuse each other.
    most_ns = min(FIRST_PAUSE_NS << min(job.waits, 8), MAX_PAUSE_NS)
    return most_ns // 2 + most_ns // 2 * turn.entropy[0] // 255


def ask_others(turn: Turn, job: SubmitterJob) -> None:
    """None of those we asked gave a quote that holds: look for others, unless what they miss is our money."""
    limits = [one.cost_limit for one in job.asked if one.refusal is not None and one.refusal.code == "quote_funds"]
    if limits and len(limits) == len(job.asked) and job.funds is not None and min(limits) > job.funds:
        fail_for_funds(turn, job, min(limits), job.funds)
        return
    absent = Refusal("no_answer", "it did not answer in time")
    silent = tuple(one.node for one in job.asked if one.refusal is None or one.refusal.code in SILENT)
    busy = tuple(one.node for one in job.asked if one.refusal is not None and one.refusal.code in BUSY)
    for one in job.asked:
        job = keep_words(turn, job, one.node, str(one.refusal or absent))
    passed = (*job.passed, *(one.node for one in job.asked))
    job = turn.put(job, passed=passed, silent=(*job.silent, *silent), busy=(*job.busy, *busy), no_quote=_say_words(job))
    refusing = len(passed) - len(job.silent) - len(job.busy)
    if refusing >= MAX_PASSED:
        end_in_vain(turn, job)
    elif len(passed) >= MAX_SWEEP:
        drop_quotes(turn, job)
        _ask_again(turn, turn.put(job, status="searching", asked=()), _pause_ns_of(turn, job))
    else:
        search(turn, job)


def fail_for_funds(turn: Turn, job: SubmitterJob, limit: Amount, funds: Amount) -> None:
    """The job ends because it may cost more than can be paid, and by how much."""
    pairs = (("cost_limit", str(int(limit))), ("missing", str(limit - funds)))
    detail = "the job may cost more than can be reserved for it; deposit or approve more"
    fail_job(turn, job, "escrow_too_small", detail, *pairs)


def keep_words(turn: Turn, job: SubmitterJob, node: Address, words: str) -> SubmitterJob:
    """Note what a provider said last, for the end of a job that no provider took."""
    others = tuple((known, said) for known, said in job.words if known != node)
    return turn.put(job, words=(*others, (node, words))[-MAX_WORDS:])


def end_in_vain(turn: Turn, job: SubmitterJob) -> None:
    """No provider is left: the job ends by what its leases ended by, or without one, and with each one's last words."""
    reasons = {reason for _, reason in job.failed}
    reason = reasons.pop() if len(reasons) == 1 else "no_provider" if job.failed or job.tried else "no_quote"
    lease_id = job.failed[-1][0] if job.failed else job.lease_id
    fail_job(turn, turn.put(job, lease_id=lease_id), reason, _say_words(job))


def _say_words(job: SubmitterJob) -> str:
    if len(job.words) == 1 and job.failed:
        return job.words[0][1].partition(": ")[2] or job.words[0][1]
    return "; ".join(f"{to_hex(node)[:10]} {words}" for node, words in job.words)


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


def chain_is_back(turn: Turn, job: SubmitterJob) -> SubmitterJob:
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


def fail_job(turn: Turn, job: SubmitterJob, reason: str, detail: str, *pairs: tuple[str, str]) -> None:
    """The job ends without having run."""
    drop_quotes(turn, job)
    note(
        turn, job, "end", f"{reason}: {detail}", *pairs, status="failed", end_reason=reason, end_detail=detail,
        wake_at_ns=None,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- quotes let go


def drop_quotes(turn: Turn, job: SubmitterJob, chosen: Address | None = None) -> None:
    """Let all go but the chosen one's: each holds capacity that another submitter may want."""
    for one in job.asked:
        if one.quote is not None and one.node != chosen and one.node not in job.tried:
            drop_quote(turn, job.job_hash, one.multiaddrs, one.quote)


def drop_quote(turn: Turn, job_hash: Hash32, multiaddrs: tuple[str, ...], signed: SignedQuote) -> None:
    """Let one go."""
    quote = signed.quote
    if quote.expires_at_ns <= turn.at_ns:
        return
    digest = quote_digest_of(turn.state.settings.separator, quote)
    slot = turn.slot("drop", job_hash + quote.node, until_ns=quote.expires_at_ns)
    turn.emit(effects.DropQuote(job_hash, quote.node, multiaddrs, digest, *slot))


ignore_failure(effects.DropQuote, "a quote that is not dropped expires")
