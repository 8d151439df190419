"""The provider's standing offer: what is announced, and what capacity is free."""

from __future__ import annotations

import msgspec

from metering.resources import Resources
from metering.units import next_number
from scheduler.offer import Offer, OfferBody, name_software
from xnode.node.changes import AddressesChanged, CapacityVerified, DiskSeen, PricesSet
from xnode.node.credit_term import find_most_duration_ns
from xnode.node.effects import AnnounceOffer, WithdrawOffer
from xnode.node.provider.room import free_resources_of
from xnode.node.records import ProviderSettings, StandingOffer
from xnode.node.registry import handles, ignore_failure, keep_time, wakes
from xnode.node.state import Turn


def refresh_offer(turn: Turn, multiaddrs: tuple[str, ...] | None = None, anew: bool = False) -> None:
    """Announce a new offer when what we offer has changed or the old one is half way to its end; anew: in any case, because
    after our start nobody may know of the old one any more."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None:
        return
    standing = turn.state.standing_offer
    addrs = standing.multiaddrs if multiaddrs is None else multiaddrs
    if settings.drained_at_ns:
        turn.put(StandingOffer(multiaddrs=addrs))
        if anew:
            # Under the id of an announcement, whose place it takes where that has not been made yet.
            turn.emit(WithdrawOffer(id="announce"))
        return
    free = free_resources_of(turn, provider)
    fresh = not anew and standing.expires_at_ns - turn.at_ns > provider.offer_ttl_ns // 2
    offered = (free, provider.tariff, provider.promise, addrs)
    if fresh and (standing.free, standing.tariff, standing.promise, standing.multiaddrs) == offered:
        return
    number = next_number(turn.state.numbers.offer, turn.at_ns)
    turn.put(turn.state.numbers, offer=number)
    expires_at_ns = turn.at_ns + provider.offer_ttl_ns
    wake_at_ns = expires_at_ns - provider.offer_ttl_ns // 2
    turn.put(StandingOffer(number, expires_at_ns, *offered, wake_at_ns=wake_at_ns))
    software = name_software(settings.software, settings.settings_hash)
    body = _make_body(provider, free, software, addrs, turn.at_ns)
    offer = Offer(provider.owner, settings.node, number, expires_at_ns, body)
    turn.emit(AnnounceOffer(offer, id="announce"))


def _make_body(
    provider: ProviderSettings, free: Resources, software: str, addrs: tuple[str, ...], now_ns: int
) -> OfferBody:
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
        max_duration_ns=find_most_duration_ns(provider.term, provider.max_duration_ns, now_ns),
        thaw=provider.thaw,
        allows_network=provider.allows_network,
        runtime=provider.runtime,
        software=software,
        multiaddrs=addrs,
        promise=provider.promise,
        fetches_images=bool(provider.registries),
    )


@handles(PricesSet)
def on_prices_set(turn: Turn, change: PricesSet) -> None:
    """New prices hold for new quotes; quotes and leases keep theirs."""
    settings = turn.state.settings
    if settings.provider is not None:
        turn.put(settings, provider=msgspec.structs.replace(settings.provider, tariff=change.tariff))
        refresh_offer(turn)


@handles(CapacityVerified)
def on_capacity_verified(turn: Turn, change: CapacityVerified) -> None:
    """Offer no more than was verified from now on; leases that stand go on."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None:
        return
    fresh = msgspec.structs.replace(
        provider,
        verified_vcpus=change.vcpus,
        verified_gpus=change.gpus,
        term=change.term,
        in_doubt_until_s=change.in_doubt_until_s,
    )
    if fresh == provider:
        return
    turn.put(settings, provider=fresh)
    # How long a job may take is in the offer, and follows from the term.
    refresh_offer(turn, anew=fresh.term != provider.term and not settings.drained_at_ns)


@handles(DiskSeen)
def on_disk_seen(turn: Turn, change: DiskSeen) -> None:
    """Offer no more disk than there is; leases that stand have theirs."""
    settings = turn.state.settings
    provider = settings.provider
    seen = (change.leases_bytes, change.is_short)
    if provider is None or (provider.leases_disk_bytes, provider.disk_is_short) == seen:
        return
    fresh = msgspec.structs.replace(provider, leases_disk_bytes=change.leases_bytes, disk_is_short=change.is_short)
    turn.put(settings, provider=fresh)
    refresh_offer(turn)


@handles(AddressesChanged)
def on_addresses_changed(turn: Turn, change: AddressesChanged) -> None:
    """Peers must find us where we are now."""
    refresh_offer(turn, change.multiaddrs)


keep_time(StandingOffer, "until when it stands is signed")


@wakes(StandingOffer)
def on_offer_woke(turn: Turn, _offer: StandingOffer) -> None:
    """Half way to its end the offer is renewed."""
    refresh_offer(turn)


ignore_failure(AnnounceOffer, "the next change or renewal announces anew")
ignore_failure(WithdrawOffer, "the offer that others know expires, and a submitter that asks is refused")
