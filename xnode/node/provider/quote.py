"""The provider's quotes: given, held with the capacity they promise, dropped and expired."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import next_number
from scheduler.job import job_hash_of
from scheduler.policy import Policy, answer
from scheduler.quote import Quote, quote_digest_of
from xnode.node.changes import QuoteDropped, QuoteRequested
from xnode.node.effects import ReplyOk, ReplyQuote
from xnode.node.provider.offer import free_resources_of, refresh_offer
from xnode.node.records import HeldQuote, ProviderSettings
from xnode.node.registry import handles, wakes
from xnode.node.state import Turn

MAX_HELD_QUOTES = 1024
"""Quotes held at once; each holds capacity, so more would mean a capacity of crumbs, and each costs memory."""

MAX_QUOTES_PER_SUBMITTER = 16
"""Quotes held for one submitter: so that one stranger cannot hold all of our capacity for nothing."""


@handles(QuoteRequested)
def on_quote_requested(turn: Turn, change: QuoteRequested) -> None:
    """Answer with a firm quote, or with every reason why not. The same question gets the same quote while it holds."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None:
        return turn.refuse(change.reply_to, "not_a_provider", "this node offers no capacity")
    if change.job.submitter != change.submitter:
        return turn.refuse(change.reply_to, "job_wrong_submitter", "the job names another submitter than who asks")
    known = _find_held(turn, change)
    if isinstance(known, Refusal):
        return turn.refuse(change.reply_to, known.code, known.detail)
    if known is None:
        policy = make_policy(provider)
        body = answer(change.job, free_resources_of(turn, provider), policy, turn.at_ns)
        if isinstance(body, Refusal):
            return turn.refuse(change.reply_to, body.code, body.detail)
        number = next_number(turn.state.numbers.quote, turn.at_ns)
        turn.put(turn.state.numbers, quote=number)
        quote = Quote(provider.owner, settings.node, number, turn.at_ns + provider.quote_ttl_ns, body)
        digest = quote_digest_of(settings.separator, quote)
        known = turn.put(HeldQuote(digest, quote, change.job, quote.expires_at_ns))
        refresh_offer(turn)
    turn.emit(ReplyQuote(change.reply_to, known.quote))
    return None


def _find_held(turn: Turn, change: QuoteRequested) -> HeldQuote | Refusal | None:
    job_hash = job_hash_of(change.job)
    total = of_submitter = 0
    for held in turn.state.all(HeldQuote):
        if held.wake_at_ns <= turn.at_ns:
            continue
        if held.quote.body.job_hash == job_hash:
            return held
        total += 1
        of_submitter += held.quote.body.submitter == change.submitter
    if total >= MAX_HELD_QUOTES or of_submitter >= MAX_QUOTES_PER_SUBMITTER:
        return Refusal("too_many_quotes", f"{of_submitter} quotes are held for you, {total} in all; let some expire")
    return None


@handles(QuoteDropped)
def on_quote_dropped(turn: Turn, change: QuoteDropped) -> None:
    """Free what the quote held, if its own submitter says so; one that is gone already is fine."""
    held = turn.get(HeldQuote, change.digest)
    if held is not None and held.quote.body.submitter == change.caller:
        turn.archive(held)
        refresh_offer(turn)
    turn.emit(ReplyOk(change.reply_to))


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
