"""Room: what of a provider's capacity leases have, and what quotes hold for whom."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from metering.resources import NO_RESOURCES, Resources
from metering.units import PPM, Address, mul_div_down
from xnode.node.lease import HOLDING
from xnode.node.records import HeldQuote, ProviderLease, ProviderSettings
from xnode.node.state import State, Turn


def leased_of(state: State) -> Resources:
    """What leases have of the host now."""
    taken = NO_RESOURCES
    for lease in state.all(ProviderLease):
        if lease.status in HOLDING:
            taken = taken.plus(lease.terms.resources)
    return taken


def unleased_of(turn: Turn, settings: ProviderSettings) -> Resources:
    """What no lease has: for this much leases can be signed now, whatever quotes hold."""
    taken = leased_of(turn.state)
    for lease in turn.state.all(ProviderLease):
        if lease.started_at_ns is not None and not lease.removed and lease.status in ("ending", "settling"):
            # Its outputs are still being collected from its disk.
            taken = taken.plus(Resources(0, 0, lease.terms.resources.disk_bytes))
    return settings.offered_resources().minus(taken)


def free_resources_of(turn: Turn, settings: ProviderSettings) -> Resources:
    """What is neither leased nor held by a quote: what the offer says is free."""
    held = (one for one in live_quotes(turn) if one.holds)
    return unleased_of(turn, settings).minus(_sum_of(held))


def quotable_of(turn: Turn, settings: ProviderSettings, submitter: Address) -> Resources:
    """What a quote for this submitter may promise. What strangers hold is nobody's until one of them signs: else their
    quotes, which cost them nothing, would keep everybody else out."""
    counts = (one for one in live_quotes(turn) if one.firm or one.quote.body.submitter == submitter)
    return unleased_of(turn, settings).minus(_sum_of(counts))


def has_room_for_stranger(turn: Turn, settings: ProviderSettings, wanted: Resources) -> bool:
    """True when this and what strangers hold already stays within their share of the capacity."""
    held = _sum_of(one for one in live_quotes(turn) if one.holds and not one.firm)
    return held.plus(wanted).fits_in(_share_of(settings.offered_resources(), settings.stranger_share_ppm))


def live_quotes(turn: Turn) -> Iterable[HeldQuote]:
    """The quotes whose time is not over."""
    return (one for one in turn.state.all(HeldQuote) if one.wake_at_ns > turn.at_ns)


def _sum_of(quotes: Iterable[HeldQuote]) -> Resources:
    held = NO_RESOURCES
    for one in quotes:
        held = held.plus(one.quote.body.resources)
    return held


def _share_of(capacity: Resources, share_ppm: int) -> Resources:
    names = ("vcpu_milli", "memory_bytes", "disk_bytes", "gpus")
    return msgspec.structs.replace(
        capacity, **{name: mul_div_down(getattr(capacity, name), share_ppm, PPM) for name in names}
    )
