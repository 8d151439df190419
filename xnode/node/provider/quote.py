"""The provider's quotes: given, held with the capacity they promise, dropped and expired."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, next_number
from scheduler.job import Job, job_hash_of
from scheduler.policy import Policy, answer
from scheduler.quote import Quote, quote_digest_of
from xnode.node.changes import QuoteDropped, QuoteRequested
from xnode.node.effects import ReplyOk, ReplyQuote
from xnode.node.lease import OPEN
from xnode.node.provider.offer import free_resources_of, refresh_offer
from xnode.node.records import HeldQuote, ProviderLease, ProviderSettings
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
    live = [held for held in turn.state.all(HeldQuote) if held.wake_at_ns > turn.at_ns]
    job_hash = job_hash_of(change.job)
    known = next((held for held in live if held.quote.body.job_hash == job_hash), None)
    if known is None:
        made = _check_count(live, change) or _check_host(turn, provider) or _make_quote(turn, provider, change.job)
        if isinstance(made, Refusal):
            return turn.refuse(change.reply_to, made.code, made.detail)
        known = made
    turn.emit(ReplyQuote(change.reply_to, known.quote))
    return None


def _check_count(live: list[HeldQuote], change: QuoteRequested) -> Refusal | None:
    of_submitter = sum(held.quote.body.submitter == change.submitter for held in live)
    if len(live) < MAX_HELD_QUOTES and of_submitter < MAX_QUOTES_PER_SUBMITTER:
        return None
    return Refusal("too_many_quotes", f"{of_submitter} quotes are held for you, {len(live)} in all; let some expire")


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


def _make_quote(turn: Turn, provider: ProviderSettings, job: Job) -> HeldQuote | Refusal:
    settings = turn.state.settings
    body = answer(job, free_resources_of(turn, provider), make_policy(provider), turn.at_ns)
    if isinstance(body, Refusal):
        return body
    number = next_number(turn.state.numbers.quote, turn.at_ns)
    turn.put(turn.state.numbers, quote=number)
    life_ns = quote_life_ns_of(provider, sum(1 for _ in turn.state.all(HeldQuote)))
    quote = Quote(provider.owner, settings.node, number, turn.at_ns + life_ns, body)
    held = turn.put(HeldQuote(quote_digest_of(settings.separator, quote), quote, job, quote.expires_at_ns))
    refresh_offer(turn)
    return held


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


def make_policy(provider: ProviderSettings) -> Policy:
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
    )
