"""The compensation watch on the real loop and store: what stake owes is found, collected once over a crash, and told of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from pathlib import Path

import pytest
import structlog
import trio
from msgspec.structs import replace
from sqlalchemy import Engine

from metering.units import Amount, Hash32
from tests.make.nodes import make_started, make_submitter_settings
from tests.make.records import LEASE_ID, SECOND, make_submitter_lease
from tests.make.waiting import wait_until
from xnode.clock import SystemClock
from xnode.config.load import load_config
from xnode.console.compensations import PATIENCE_NS, describe_awaited, find_uncollected
from xnode.errors import Retryable
from xnode.home import Home
from xnode.loop import Loop
from xnode.milestones import log_milestones
from xnode.node import changes, effects
from xnode.node.records import Compensation
from xnode.node.state import State, Turn
from xnode.peers import compensation_watch
from xnode.peers.compensation_watch import CompensationWatcher
from xnode.ports.chain import Shortfall
from xnode.readiness import Readiness
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal
from xnode.text.amount import OPENX

pytestmark = pytest.mark.usefixtures("all_is_logged")

OTHER = Hash32(b"\x07" * 32)
DAY_S = 86_400
NO_GAS = "0xab has 0 wei, its transaction needs 7"


@dataclass
class PlayedChain:
    """What is owed, and the leases that the next look is told of. is_away: the chain node does not answer."""

    owed: dict[Hash32, Shortfall] = field(default_factory=dict)
    news: set[Hash32] = field(default_factory=set)
    is_away: bool = False
    asked: list[int] = field(default_factory=list)

    def owe(self, lease_id: Hash32 = LEASE_ID, in_s: int = -DAY_S, amount: int = 4 * OPENX) -> Shortfall:
        """To be collected from so long from now on, for a week."""
        at_s = SystemClock().now_ns() // SECOND + in_s
        self.owed[lease_id] = Shortfall(Amount(amount), at_s, at_s + 7 * DAY_S)
        self.news.add(lease_id)
        return self.owed[lease_id]

    async def read_noted(self) -> frozenset[Hash32]:
        if self.is_away:
            raise Retryable("the chain node is away")
        news, self.news = self.news, set()
        return frozenset(news)

    async def shortfalls_of(self, lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
        if self.is_away:
            raise Retryable("the chain node is away")
        self.asked.append(len(lease_ids))
        return tuple(self.owed.get(one) for one in lease_ids)


@dataclass
class Life:
    """One life of a submitter's node. tried: the collections that it was to make."""

    loop: Loop
    watcher: CompensationWatcher
    tried: list[effects.CollectCompensation]

    async def wait(self, holds: Callable[[Compensation], bool]) -> None:
        with trio.fail_after(20):
            while (one := self.loop.state.get(Compensation, LEASE_ID)) is None or not holds(one):
                await self.loop.wait_change()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A store in which the lease has ended, and left the state."""
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    lease = make_submitter_lease(status="settled", wake_at_ns=None)
    turn, batch = Turn(State(), lease.requested_at_ns, bytes(32)), Batch()
    turn.archive(lease)
    batch.add(0, changes.Entry(turn.at_ns, bytes(32), changes.EffectDone(), ("e", 0)), turn)
    Journal(engine).commit_now(batch)
    return engine


@asynccontextmanager
async def live(
    engine: Engine, chain: PlayedChain, collects: Callable[[effects.CollectCompensation], changes.Change] | None = None
) -> AsyncIterator[Life]:
    """collects: what comes of a collection; None: it never ends. Leaving it is a crash."""
    tried: list[effects.CollectCompensation] = []

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        if not isinstance(effect, effects.CollectCompensation):
            return changes.EffectDone()
        tried.append(effect)
        if collects is None:
            await trio.sleep_forever()
            raise AssertionError
        return collects(effect)

    journal = Journal(engine)
    loop = Loop(journal, SystemClock(), perform)
    async with trio.open_nursery() as nursery:
        await nursery.start(loop.run, make_started(submitter=make_submitter_settings()))
        yield Life(loop, CompensationWatcher(loop, journal, chain, chain), tried)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()


def collect(effect: effects.CollectCompensation) -> changes.Change:
    return changes.CompensationCollected(effect.lease_id, effect.payable_until_s, Amount(0), OTHER, 9)


async def test_one_of_a_lease_that_left_memory_is_collected_and_told_once(engine: Engine) -> None:
    chain = PlayedChain()
    short = chain.owe()
    async with live(engine, chain, collect) as node:
        await node.watcher.look()
        await node.wait(lambda one: one.is_paid)
        assert [(one.lease_id, one.payable_until_s) for one in node.tried] == [(LEASE_ID, short.payable_until)]
        chain.owed.clear()
        entries = node.loop.entries
        chain.news.add(LEASE_ID)
        await node.watcher.look()
        assert node.loop.entries == entries, "what is known is not told again"


async def test_one_of_somebody_elses_lease_is_not_ours(engine: Engine) -> None:
    chain = PlayedChain()
    chain.owe(OTHER)
    async with live(engine, chain) as node:
        await node.watcher.look()
    assert not chain.asked and not node.tried


async def test_killed_before_it_was_paid_the_next_life_collects_by_the_same_effect(engine: Engine) -> None:
    chain = PlayedChain()
    chain.owe()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await wait_until(lambda: node.tried)
        (first,) = node.tried
    async with live(engine, chain) as node:
        await wait_until(lambda: node.tried)
        await node.watcher.look()
        assert node.tried == [first]


async def test_one_that_a_reorganisation_brings_back_is_collected_again(engine: Engine) -> None:
    chain = PlayedChain()
    short = chain.owe()
    async with live(engine, chain, collect) as node:
        await node.watcher.look()
        await node.wait(lambda one: one.is_paid)
        chain.owed[LEASE_ID] = dataclass_replace(short)
        await node.watcher.look()
        await wait_until(lambda: len(node.tried) == 2)
        assert node.tried[0].id != node.tried[1].id


async def test_while_the_chain_node_is_away_nothing_is_lost(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compensation_watch, "LOOK_S", 0.01)
    chain = PlayedChain(is_away=True)
    chain.owe()
    async with live(engine, chain) as node, trio.open_nursery() as nursery:
        nursery.start_soon(node.watcher.run)
        chain.is_away = False
        read, faults = chain.shortfalls_of, [Retryable("away again")]

        async def fail_once(lease_ids: Sequence[Hash32]) -> tuple[Shortfall | None, ...]:
            if faults:
                raise faults.pop()
            return await read(lease_ids)

        monkeypatch.setattr(chain, "shortfalls_of", fail_once)
        await wait_until(lambda: node.tried)
        nursery.cancel_scope.cancel()


@dataclass
class LaterClock:
    """The system's clock, set forward."""

    ahead_ns: int

    def now_ns(self) -> int:
        return SystemClock().now_ns() + self.ahead_ns


async def test_its_operator_is_told_what_is_awaited_and_before_it_comes_that_there_is_no_gas(engine: Engine) -> None:
    chain = PlayedChain()
    chain.owe(in_s=3 * DAY_S + 45)
    async with live(engine, chain) as node:
        assert describe_awaited(node.loop, SystemClock(), has_gas=True) == ""
        await node.watcher.look()
        await node.wait(lambda one: one.is_open)
        told = describe_awaited(node.loop, SystemClock(), has_gas=True)
        assert f"4 OPENX comes out of stake for broken promises (lease 0x{LEASE_ID.hex()[:16]})" in told
        assert "collects it between 3d and 10d from now" in told and "gas" not in told
        told = describe_awaited(node.loop, SystemClock(), has_gas=False)
        assert "the node key has no gas" in told and "`xnode pay gas`" in told and "`xnode pay refund`" in told
        assert find_uncollected(node.loop, SystemClock()) == ""
        assert not node.tried


async def test_its_operator_is_told_why_one_is_not_collected_and_when_it_lapses(engine: Engine, tmp_path: Path) -> None:
    chain, home = PlayedChain(), Home(tmp_path)
    chain.owe(in_s=-5 * DAY_S + 45)

    def fail(_effect: effects.CollectCompensation) -> changes.Change:
        raise Retryable(NO_GAS)

    async with live(engine, chain, fail) as node:
        assert find_uncollected(node.loop, SystemClock()) == ""
        with structlog.testing.capture_logs() as lines:
            await node.watcher.look()
            told = await wait_until(lambda: find_uncollected(node.loop, SystemClock()))
        assert told.startswith("4 OPENX owed out of stake") and NO_GAS in told and "lapses in 2d" in told
        home.config.write_text('[chain]\nmanifest = "chain.json"\n')
        ready = Readiness(load_config(home))
        assert "compensation" not in ready.find_problems()
        ready.find_uncollected = lambda: find_uncollected(node.loop, SystemClock())
        assert ready.find_problems()["compensation"] == told
        assert "`xnode pay gas`" in told and describe_awaited(node.loop, SystemClock(), has_gas=True) == ""
        assert "compensation awaited" in [line["event"] for line in lines]


async def test_a_collection_on_its_way_is_no_trouble_until_it_takes_long(engine: Engine) -> None:
    chain = PlayedChain()
    chain.owe(in_s=-120)
    async with live(engine, chain) as node:
        await node.watcher.look()
        await wait_until(lambda: node.tried)
        assert find_uncollected(node.loop, SystemClock()) == ""
        assert "not mined" in find_uncollected(node.loop, LaterClock(PATIENCE_NS))


async def test_what_becomes_of_one_is_logged_once(engine: Engine) -> None:
    chain = PlayedChain()
    chain.owe()
    with structlog.testing.capture_logs() as lines:
        async with live(engine, chain, collect) as node:
            await node.watcher.look()
            await node.wait(lambda one: one.is_paid)
            state, one = node.loop.state, node.loop.state.get(Compensation, LEASE_ID)
            assert find_uncollected(node.loop, LaterClock(PATIENCE_NS)) == ""
    said = [line["event"] for line in lines if "compensation" in line["event"]]
    assert said == ["compensation awaited", "compensation paid"] and one is not None
    with structlog.testing.capture_logs() as lines:
        log_milestones(state, [replace(one, wake_at_ns=None), replace(one, wake_at_ns=None, is_paid=False)])
    assert [(line["log_level"], line["event"]) for line in lines] == [("error", "compensation lapsed")]
