"""Our place in the market is told at once, and again when we are reached elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.make.nodes import make_provider_settings
from xnode.node.changes import AddressesChanged
from xnode.node.records import NodeSettings
from xnode.node.state import make_state
from xnode.peers.publish import RECORD_EVERY_S, keep_found


@dataclass
class Place:
    """xnode.ports.Net, Loop and publisher, as far as they are asked here."""

    state: Any
    addresses: tuple[str, ...] = ()
    told: list[Any] = field(default_factory=list)
    published: int = 0

    def multiaddrs(self) -> tuple[str, ...]:
        return self.addresses

    async def tell(self, change: Any) -> None:
        self.told.append(change)

    async def publish(self, _offer: None) -> None:
        self.published += 1


async def _run(place: Any, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await keep_found(place, place, place)


@pytest.mark.parametrize("first", [(), ("/ip4/192.0.2.1/tcp/1",)], ids=["none yet", "one already"])
async def test_addresses_are_told_at_the_start_and_when_they_appear(
    first: tuple[str, ...], autojump_clock: MockClock
) -> None:
    provider = make_state([NodeSettings(provider=make_provider_settings(1))])
    place = Place(provider, first)
    await _run(place, 5)
    assert place.told == [AddressesChanged(first)], "they may have changed since the node was told of its start"
    place.addresses = ("/ip4/198.51.100.1/tcp/1/p2p-circuit",)
    await _run(place, 5)
    assert place.told[-1] == AddressesChanged(place.addresses)
    assert place.published == 0, "a provider's record is made with its offer"


async def test_a_drained_provider_stays_where_its_submitters_find_it(autojump_clock: MockClock) -> None:
    drained = NodeSettings(provider=make_provider_settings(1), drained_at_ns=1)
    place = Place(make_state([drained]), ("/ip4/192.0.2.1/tcp/1",))
    await _run(place, 1.5 * RECORD_EVERY_S)
    assert place.published == 2


async def test_a_node_without_an_offer_says_where_it_is_from_time_to_time(autojump_clock: MockClock) -> None:
    place = Place(make_state([NodeSettings()]), ("/ip4/192.0.2.1/tcp/1",))
    await _run(place, 2.5 * RECORD_EVERY_S)
    assert place.published == 3
