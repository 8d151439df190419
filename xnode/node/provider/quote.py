"""The provider before a lease: its standing offer, its quotes, and what capacity is free."""

from __future__ import annotations

import msgspec

from metering.refusal import Refusal
from metering.resources import NO_RESOURCES, Resources
from metering.units import next_number
from scheduler.job import job_hash_of
from scheduler.offer import Offer, OfferBody
from scheduler.policy import Policy, answer
from scheduler.quote import Quote, quote_digest_of
from xnode.node.changes import AddressesChanged, CapacityVerified, PricesSet, QuoteDropped, QuoteRequested
from xnode.node.effects import AnnounceOffer, ReplyOk, ReplyQuote
from xnode.node.lease import HOLDING
from xnode.node.records import HeldQuote, ProviderLease, ProviderSettings, StandingOffer
from xnode.node.state import Turn

MAX_HELD_QUOTES = 1024
"""Quotes held at once; each holds capacity, so more would mean a capacity of crumbs, and each costs memory."""

MAX_QUOTES_PER_SUBMITTER = 16
"""Quotes held for one submitter: so that one stranger cannot hold all of our capacity for nothing."""


def free_resources_of(turn: Turn, settings: ProviderSettings) -> Resources:
    """What is neither leased nor held by a quote."""
    held = NO_RESOURCES
    for lease in turn.state.all(ProviderLease):
        if lease.status in HOLDING:
            held = held.plus(lease.terms.resources)
    for quote in turn.state.all(HeldQuote):
        if quote.wake_at_ns > turn.at_ns:
            held = held.plus(quote.quote.body.resources)
    return settings.offered_resources().minus(held)


def refresh_offer(turn: Turn, multiaddrs: tuple[str, ...] | None = None) -> None:
    """Announce a new offer when what we offer has changed or the old one is half way to its end."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None:
        return
    standing = turn.state.standing_offer
    addrs = standing.multiaddrs if multiaddrs is None else multiaddrs
    free = free_resources_of(turn, provider)
    fresh = standing.expires_at_ns - turn.at_ns > provider.offer_ttl_ns // 2
    offered = (free, provider.tariff, provider.promise, addrs)
    if fresh and (standing.free, standing.tariff, standing.promise, standing.multiaddrs) == offered:
        return
    number = next_number(turn.state.numbers.offer, turn.at_ns)
    turn.put(turn.state.numbers, offer=number)
    expires_at_ns = turn.at_ns + provider.offer_ttl_ns
    wake_at_ns = expires_at_ns - provider.offer_ttl_ns // 2
    turn.put(StandingOffer(number, expires_at_ns, *offered, wake_at_ns=wake_at_ns))
    body = _make_body(provider, free, settings.software, addrs)
    offer = Offer(provider.owner, settings.node, number, expires_at_ns, body)
    turn.emit(AnnounceOffer(offer, id="announce"))


def _make_body(provider: ProviderSettings, free: Resources, software: str, addrs: tuple[str, ...]) -> OfferBody:
    return OfferBody(
        profile=provider.profile,
        capacity=provider.offered_resources(),
        free=free,
        tariff=provider.tariff,
        asset=provider.asset,
        region=provider.region,
        interval_ns=provider.interval_ns,
        exposure_intervals=provider.exposure_intervals,
        min_duration_ns=provider.min_duration_ns,
        max_duration_ns=provider.max_duration_ns,
        thaw=provider.thaw,
        allows_network=provider.allows_network,
        runtime=provider.runtime,
        software=software,
        multiaddrs=addrs,
        promise=provider.promise,
    )


def on_prices_set(turn: Turn, change: PricesSet) -> None:
    """New prices hold for new quotes; quotes and leases keep theirs."""
    settings = turn.state.settings
    if settings.provider is not None:
        turn.put(settings, provider=msgspec.structs.replace(settings.provider, tariff=change.tariff))
        refresh_offer(turn)


def on_capacity_verified(turn: Turn, change: CapacityVerified) -> None:
    """Offer no more than was verified from now on; leases that stand go on."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None or (provider.verified_vcpus, provider.verified_gpus) == (change.vcpus, change.gpus):
        return
    fresh = msgspec.structs.replace(provider, verified_vcpus=change.vcpus, verified_gpus=change.gpus)
    turn.put(settings, provider=fresh)
    refresh_offer(turn)


def on_addresses_changed(turn: Turn, change: AddressesChanged) -> None:
    """Peers must find us where we are now."""
    refresh_offer(turn, change.multiaddrs)


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


def on_quote_dropped(turn: Turn, change: QuoteDropped) -> None:
    """Free what the quote held, if its own submitter says so; one that is gone already is fine."""
    held = turn.get(HeldQuote, change.digest)
    if held is not None and held.quote.body.submitter == change.caller:
        turn.archive(held)
        refresh_offer(turn)
    turn.emit(ReplyOk(change.reply_to))


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
