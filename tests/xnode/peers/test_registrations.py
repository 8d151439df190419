"""What the chain says of providers: asked once for all, remembered for a while, and never made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from metering.units import NANOS_PER_SECOND, Address
from tests.make.scene import STAKE, FixedClock, Registry
from tests.make.values import NOW_NS, address_of
from xnode.peers.registrations import NOBODY_FRESH_NS, OWNER_FRESH_NS, STAKE_FRESH_NS, Registrations
from xnode.ports.chain import Staked

NODE, OWNER = address_of(1), address_of(1001)


@dataclasses.dataclass(slots=True)
class Hand:
    """A clock that is set by hand."""

    at_ns: int = NOW_NS

    def now_ns(self) -> int:
        return self.at_ns


async def test_stakes_are_read_in_one_request_and_kept_for_a_minute() -> None:
    clock, chain = Hand(), Registry({})
    registrations = Registrations(chain, clock)  # type: ignore[arg-type]
    providers = [address_of(number) for number in range(40)]
    assert await registrations.read_stakes(providers) == dict.fromkeys(providers, Staked(STAKE))
    await registrations.read_stakes(providers[:3])
    assert chain.asked == 1
    clock.at_ns += STAKE_FRESH_NS + NANOS_PER_SECOND
    await registrations.read_stakes(providers)
    assert chain.asked == 2


async def test_a_stake_that_the_chain_does_not_tell_is_absent_even_when_it_was_known() -> None:
    clock, chain = Hand(), Registry({})
    registrations = Registrations(chain, clock)  # type: ignore[arg-type]
    await registrations.read_stakes([OWNER])
    clock.at_ns += STAKE_FRESH_NS + NANOS_PER_SECOND
    chain.is_away = True
    assert await registrations.read_stakes([OWNER]) == {}


class Dripping(Registry):
    """A chain node that takes a question, and never comes to the end of its answer."""

    async def providers_of(self, _nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        await trio.sleep_forever()
        return ()

    async def stakes_of(self, _providers: Sequence[Address]) -> tuple[Staked, ...]:
        await trio.sleep_forever()
        return ()


async def test_a_chain_node_that_drips_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    registrations = Registrations(Dripping({}), FixedClock(NOW_NS))  # type: ignore[arg-type]
    with trio.fail_after(20):
        assert await registrations.learn_owner(NODE, anew=True) == "the chain node has not answered for 8 s"
        assert await registrations.read_stakes([OWNER]) == {} and not registrations.knows_owner(NODE)


async def test_an_owner_is_remembered_for_minutes_and_the_lack_of_one_for_seconds() -> None:
    clock, chain = Hand(), Registry({})
    registrations = Registrations(chain, clock)  # type: ignore[arg-type]
    assert not registrations.knows_owner(NODE)
    for _ in range(5):
        await registrations.learn_owner(NODE)
    assert registrations.knows_owner(NODE) and registrations.owner_of(NODE) is None and chain.asked == 1
    chain.owners[NODE] = OWNER
    clock.at_ns += NOBODY_FRESH_NS + 1
    await registrations.learn_owner(NODE)
    chain.owners[NODE] = address_of(7)
    await registrations.learn_owner(NODE)
    assert registrations.owner_of(NODE) == OWNER and chain.asked == 2
    await registrations.learn_owner(NODE, anew=True)
    assert registrations.owner_of(NODE) == address_of(7)


async def test_owners_are_asked_for_in_one_batch_and_again_after_some_minutes() -> None:
    nodes = [address_of(number) for number in range(40)]
    clock, chain = Hand(), Registry(dict.fromkeys(nodes, OWNER))
    registrations = Registrations(chain, clock)  # type: ignore[arg-type]
    for _ in range(3):
        assert await registrations.learn_owners(nodes) == ""
    assert chain.asked == 1
    clock.at_ns += OWNER_FRESH_NS + 1
    chain.is_away = True
    assert await registrations.learn_owners(nodes) == "the chain node does not answer"
    assert registrations.owner_of(NODE) == OWNER, "an answer that did not come takes nothing back"


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnode.peers.registrations.MAX_KNOWN", 10)
    registrations = Registrations(Registry({}), FixedClock(NOW_NS))  # type: ignore[arg-type]
    nodes = [number.to_bytes(20, "big") for number in range(30)]
    await registrations.learn_owners(nodes)  # type: ignore[arg-type]
    assert [registrations.knows_owner(node) for node in nodes] == [False] * 20 + [True] * 10  # type: ignore[arg-type]


async def test_not_being_answered_is_not_the_same_as_not_being_registered() -> None:
    registrations = Registrations(Registry({}, is_away=True), FixedClock(NOW_NS))  # type: ignore[arg-type]
    await registrations.learn_owner(NODE)
    assert not registrations.knows_owner(NODE)
