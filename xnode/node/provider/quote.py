"""The provider's quotes: given to those who can pay, held with the capacity they promise, dropped and expired."""

from __future__ import annotations

from collections import Counter

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, next_number
from scheduler.job import Job, job_hash_of
from scheduler.policy import Policy, answer
from scheduler.quote import Quote, QuoteBody, quote_digest_of
from xnode.node.changes import QuoteDropped, QuoteRequested
from xnode.node.credit_term import check_credit_term
from xnode.node.effects import ReplyOk, ReplyQuote
from xnode.node.lease import OPEN
from xnode.node.provider.offer import refresh_offer
from xnode.node.provider.room import has_room_for_stranger, live_quotes, quotable_of
from xnode.node.records import HeldQuote, KnownPayer, ProviderLease, ProviderSettings
from xnode.node.registry import handles, keep_time, wakes
from xnode.node.state import Turn

MAX_HELD_QUOTES = 1024
"""Quotes held at once; each holds capacity, so more would mean a capacity of crumbs, and each costs memory."""

FEW_QUOTES = 4
"""So many hold for the whole time; with twice as many each holds for half of it."""

SHORTEST_NS = 8 * NANOS_PER_SECOND
"""The least that a quote holds: as long as a submitter waits for others, and the terms are on their way."""

MAX_QUOTES_PER_SUBMITTER = 16
"""Quotes held for one submitter: so that one stranger cannot hold all of our capacity for nothing."""

MAX_STRANGERS_QUOTES = MAX_HELD_QUOTES // 2
"""Quotes held for all submitters whose payers never paid us."""

TRANSACTIONS = 2
"""Of a lease on chain: its opening and its claim."""

UNSETTLED = (*OPEN, "settling")
"""Leases that may still need a transaction."""


@handles(QuoteRequested)
def on_quote_requested(turn: Turn, change: QuoteRequested) -> None:
    """Answer with a firm quote, or with every reason why not. The same question gets the same quote while it holds."""
    provider = turn.state.settings.provider
    if provider is None:
        return turn.refuse(change.reply_to, "not_a_provider", "this node offers no capacity")
    if change.job.submitter != change.submitter:
        return turn.refuse(change.reply_to, "job_wrong_submitter", "the job names another submitter than who asks")
    live = list(live_quotes(turn))
    job_hash = job_hash_of(change.job)
    known = next((held for held in live if held.quote.body.job_hash == job_hash), None)
    if known is None:
        made = (
            _check_count(turn, live, change)
            or _check_host(turn, provider)
            or _check_gpus(provider, change.job)
            or check_credit_term(provider.term, change.job.resources, change.job.duration_limit_ns, turn.at_ns)
            or _make_quote(turn, provider, change)
        )
        if isinstance(made, Refusal):
            return turn.refuse(change.reply_to, made.code, made.detail)
        known = made
    turn.emit(ReplyQuote(change.reply_to, known.quote))
    return None


def _check_count(turn: Turn, live: list[HeldQuote], change: QuoteRequested) -> Refusal | None:
    of_submitter = sum(held.quote.body.submitter == change.submitter for held in live)
    strangers = [held for held in live if not held.firm]
    is_full = len(live) >= MAX_HELD_QUOTES
    if not _is_known(turn, change):
        is_full = is_full or (len(strangers) >= MAX_STRANGERS_QUOTES and not _make_way(turn, strangers, of_submitter))
    if of_submitter < MAX_QUOTES_PER_SUBMITTER and not is_full:
        return None
    return Refusal("too_many_quotes", f"{of_submitter} quotes are held for you, {len(live)} in all; let some expire")


def _make_way(turn: Turn, strangers: list[HeldQuote], of_submitter: int) -> bool:
    """Let the oldest quote go of the stranger that has most of them, if that is more than the asker has: many quotes must
    not keep newcomers from their first."""
    counts = Counter(held.quote.body.submitter for held in strangers)
    submitter, most = counts.most_common(1)[0]
    if most <= of_submitter + 1:
        return False
    turn.archive(min((one for one in strangers if one.quote.body.submitter == submitter), key=_number_of))
    return True


def _number_of(held: HeldQuote) -> int:
    return held.quote.number


def _is_known(turn: Turn, change: QuoteRequested) -> bool:
    return turn.get(KnownPayer, change.payer) is not None


def _check_host(turn: Turn, provider: ProviderSettings) -> Refusal | None:
    if provider.disk_is_short:
        return Refusal("provider_disk", "the provider's disk is nearly full: it takes nothing new until there is room")
    return _check_gas(turn, provider)


def _check_gas(turn: Turn, provider: ProviderSettings) -> Refusal | None:
    """A lease that we could neither open nor claim would be work for nothing."""
    if provider.affordable is None:
        return None
    owed = sum(TRANSACTIONS - lease.funded for lease in turn.state.all(ProviderLease) if lease.status in UNSETTLED)
    if provider.affordable >= owed + TRANSACTIONS:
        return None
    detail = f"the node key can pay for {provider.affordable} transactions, {owed + TRANSACTIONS} are needed"
    return Refusal("provider_gas", detail)


def _check_gpus(provider: ProviderSettings, job: Job) -> Refusal | None:
    """What only GPUs could serve that are lost is no matter of waiting for room."""
    working = provider.working_gpus
    if working is None or job.resources.gpus <= working or job.resources.gpus > provider.capacity.gpus:
        return None
    return Refusal("gpu_lost", f"{working} of this host's {provider.capacity.gpus} GPUs work now")


def _make_quote(turn: Turn, provider: ProviderSettings, change: QuoteRequested) -> HeldQuote | Refusal:
    settings, job = turn.state.settings, change.job
    policy = make_policy(provider, draining=bool(settings.drained_at_ns))
    body = answer(job, quotable_of(turn, provider, change.submitter), policy, turn.at_ns)
    if isinstance(body, Refusal):
        return body
    refusal = _check_funds(turn, change, body)
    if refusal is not None:
        return refusal
    number = next_number(turn.state.numbers.quote, turn.at_ns)
    turn.put(turn.state.numbers, quote=number)
    life_ns = quote_life_ns_of(provider, sum(1 for _ in turn.state.all(HeldQuote)))
    quote = Quote(provider.owner, settings.node, number, turn.at_ns + life_ns, body)
    firm = _is_known(turn, change)
    holds = firm or has_room_for_stranger(turn, provider, body.resources)
    digest = quote_digest_of(settings.separator, quote)
    held = turn.put(HeldQuote(digest, quote, job, quote.expires_at_ns, change.payer, holds, firm))
    refresh_offer(turn)
    return held


def _check_funds(turn: Turn, change: QuoteRequested, body: QuoteBody) -> Refusal | None:
    """Capacity is held for those who can pay for it: for all that is held for them."""
    if change.spendable is None:
        return None
    ours = (one.quote.body for one in live_quotes(turn) if one.payer == change.payer)
    quoted = sum(one.cost_limit for one in ours if one.asset == body.asset)
    if quoted + body.cost_limit <= change.spendable:
        return None
    before = f" beside {quoted} for quotes that it holds" if quoted else ""
    detail = f"the deposit lets {change.spendable} be reserved, the job may cost {body.cost_limit}{before}"
    return Refusal("quote_funds", f"{detail}; deposit or approve more")


def quote_life_ns_of(provider: ProviderSettings, held: int) -> int:
    """How long the next quote holds: the shorter, the more hold capacity for nothing already."""
    return max(provider.quote_ttl_ns * FEW_QUOTES // max(FEW_QUOTES, held + 1), min(SHORTEST_NS, provider.quote_ttl_ns))


@handles(QuoteDropped)
def on_quote_dropped(turn: Turn, change: QuoteDropped) -> None:
    """Free what the quote held, if its own submitter says so; one that is gone already is fine."""
    held = turn.get(HeldQuote, change.digest)
    if held is not None and held.quote.body.submitter == change.caller:
        turn.archive(held)
        refresh_offer(turn)
    turn.emit(ReplyOk(change.reply_to))


keep_time(HeldQuote, "until when it holds is signed")


@wakes(HeldQuote)
def on_quote_woke(turn: Turn, quote: HeldQuote) -> None:
    """An expired quote holds nothing."""
    turn.archive(quote)
    refresh_offer(turn)


def make_policy(provider: ProviderSettings, draining: bool = False) -> Policy:
    """The part of the settings that answers quote requests."""
    return Policy(
        tariff=provider.tariff,
        asset=provider.asset,
        region=provider.region,
        interval_ns=provider.interval_ns,
        exposure_intervals=provider.exposure_intervals,
        min_duration_ns=provider.min_duration_ns,
        max_duration_ns=provider.max_duration_ns,
        thaw=provider.thaw,
        allows_network=provider.allows_network,
        promise=provider.promise,
        draining=draining,
        registries=provider.registries,
    )
