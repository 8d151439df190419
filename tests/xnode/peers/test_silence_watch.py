"""The silence watch on the real loop and store: what the chain holds reaches the core, whatever the node was doing meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import trio
from msgspec.structs import replace
from sqlalchemy import Engine

from metering.units import Hash32
from tests.make.nodes import OWNER, make_provider_settings, make_started
from tests.make.records import LEASE_ID, SECOND, make_provider_lease, make_receipt
from tests.make.values import address_of
from tests.make.waiting import wait_until
from xnode.clock import SystemClock
from xnode.console.silences import PATIENCE_NS, find_unanswered
from xnode.errors import Retryable
from xnode.loop import Loop
from xnode.milestones import log_milestones
from xnode.monitor.metrics import Measured, NodeCollector
from xnode.net.counters import NetCounters
from xnode.node import changes, effects
from xnode.node.records import ProviderLease, SilenceClaim
from xnode.node.state import State, Turn
from xnode.peers import silence_watch
from xnode.peers.silence_watch import SilenceWatcher
from xnode.ports.chain import Silence
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal

pytestmark = pytest.mark.usefixtures("all_is_logged")

ME, STRANGER = address_of(OWNER + 1), address_of(77)
KNOWN, LAST = make_receipt(5), make_receipt(10, final=True)
ONLY_THE_LAST = (1 << 64) - 1
OTHER = Hash32(b"\x07" * 32)


@dataclass
class PlayedChain:
    """The claims that stand, and those that the next look is told of. is_away: the chain node does not answer."""

    claims: dict[Hash32, Silence] = field(default_factory=dict)
    news: set[Hash32] = field(default_factory=set)
    is_away: bool = False
    asked: list[int] = field(default_factory=list)

    def claim(self, lease_id: Hash32 = LEASE_ID, after_s: int = 86_400, provider: object = ME) -> Silence:
        until_s = SystemClock().now_ns() // SECOND + after_s
        self.claims[lease_id] = Silence(provider, KNOWN.number, ONLY_THE_LAST, until_s)  # type: ignore[arg-type]
        self.news.add(lease_id)
        return self.claims[lease_id]

    async def read_claimed(self) -> frozenset[Hash32]:
        if self.is_away:
            raise Retryable("the chain node is away")
        news, self.news = self.news, set()
        return frozenset(news)

    async def silences_of(self, lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
        if self.is_away:
            raise Retryable("the chain node is away")
        self.asked.append(len(lease_ids))
        return tuple(self.claims.get(one) for one in lease_ids)


@dataclass
class Life:
    """One life of a provider's node. shown: the answers that it was to give."""

    loop: Loop
    watcher: SilenceWatcher
    shown: list[effects.ShowReceipt]

    async def wait(self, holds: Callable[[State], bool]) -> None:
        with trio.fail_after(20):
            while not holds(self.loop.state):
                await self.loop.wait_change()

    def find(self) -> SilenceClaim | None:
        return self.loop.state.get(SilenceClaim, LEASE_ID)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A store in which the lease has ended, and left the state."""
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    lease = make_provider_lease(status="settled", last=LAST, removed=True)
    turn, batch = Turn(State(), lease.requested_at_ns, bytes(32)), Batch()
    turn.archive(lease)
    batch.add(0, changes.Entry(turn.at_ns, bytes(32), changes.EffectDone(), ("e", 0)), turn)
    Journal(engine).commit_now(batch)
    return engine


@asynccontextmanager
async def live(
    engine: Engine, chain: PlayedChain, answers: Callable[[effects.ShowReceipt], changes.Change] | None = None
) -> AsyncIterator[Life]:
    """answers: what comes of an answer; None: it never ends. Leaving it is a crash."""
    shown: list[effects.ShowReceipt] = []

    async def perform(effect: effects.DurableEffect) -> changes.Change:
        if not isinstance(effect, effects.ShowReceipt):
            return changes.EffectDone()
        shown.append(effect)
        if answers is None:
            await trio.sleep_forever()
            raise AssertionError
        return answers(effect)

    journal = Journal(engine)
    loop = Loop(journal, SystemClock(), perform)
    async with trio.open_nursery() as nursery:
        await nursery.start(loop.run, make_started(1, provider=make_provider_settings(1)))
        yield Life(loop, SilenceWatcher(ME, loop, journal, chain, chain), shown)  # type: ignore[arg-type]
        nursery.cancel_scope.cancel()


async def test_a_claim_about_a_lease_that_left_memory_is_answered_with_its_last_receipt(engine: Engine) -> None:
    chain = PlayedChain()
    silence = chain.claim()
    async with live(engine, chain) as node:
        assert node.loop.state.get(ProviderLease, LEASE_ID) is None
        await node.watcher.look()
        await wait_until(lambda: node.shown)
        assert [(one.receipt, one.answer_until_s) for one in node.shown] == [(LAST, silence.answer_until)]
        entries = node.loop.entries
        chain.news.add(LEASE_ID)
        await node.watcher.look()
        await node.watcher.look()
        assert node.loop.entries == entries, "what is known is not told again"


async def test_a_claim_whose_receipt_gave_way_to_another_is_told_again(engine: Engine) -> None:
    chain = PlayedChain()
    silence = chain.claim()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await node.wait(lambda state: any(state.all(SilenceClaim)))
        newer = dataclass_replace(silence, number=silence.number + 1)
        chain.claims[LEASE_ID] = newer
        await node.watcher.look()
        await node.wait(lambda state: {one.number for one in state.all(SilenceClaim)} == {newer.number})
        entries = node.loop.entries
        await node.watcher.look()
        assert node.loop.entries == entries


async def test_killed_between_claim_and_answer_the_next_life_answers_by_the_same_effect(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await wait_until(lambda: node.shown)
        (first,) = node.shown
    async with live(engine, chain) as node:
        await wait_until(lambda: node.shown)
        await node.watcher.look()
        assert node.shown == [first]


async def test_an_answer_by_anybody_is_seen(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await node.wait(lambda state: state.get(SilenceClaim, LEASE_ID) is not None)
        chain.claims.clear()
        await node.watcher.look()
        await node.wait(lambda state: (one := state.get(SilenceClaim, LEASE_ID)) is not None and one.is_answered)
        chain.claim()
        await node.watcher.look()
        await wait_until(lambda: len(node.shown) == 2)


async def test_while_the_chain_node_is_away_nothing_is_lost(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence_watch, "LOOK_S", 0.01)
    chain = PlayedChain(is_away=True)
    async with live(engine, chain) as node, trio.open_nursery() as nursery:
        nursery.start_soon(node.watcher.run)
        chain.claim()
        read, chain.is_away = chain.silences_of, False
        faults = [Retryable("away again")]

        async def fail_once(lease_ids: Sequence[Hash32]) -> tuple[Silence | None, ...]:
            if faults:
                raise faults.pop()
            return await read(lease_ids)

        monkeypatch.setattr(chain, "silences_of", fail_once)
        await wait_until(lambda: node.shown)
        nursery.cancel_scope.cancel()


async def test_a_lease_that_we_do_not_know_is_logged_once_and_others_claims_not_at_all(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim(OTHER)
    chain.claim(provider=STRANGER)
    async with live(engine, chain) as node:
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                chain.news |= {OTHER, LEASE_ID}
                await node.watcher.look()
        assert [line["event"] for line in lines if line["log_level"] == "error"] == [
            "a claim of silence is about a lease that this node does not know"
        ]
        assert not node.loop.state.count(SilenceClaim) and not node.shown


async def test_many_claims_are_read_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence_watch, "AT_ONCE", 2)
    chain = PlayedChain(news={Hash32(bytes([number]) * 32) for number in range(1, 6)})
    async with live(engine, chain) as node:
        await node.watcher.look()
        await node.watcher.look()
    assert chain.asked == [2, 2, 1], "and what was read is not read again"


async def test_its_operator_is_told_why_an_answer_is_not_there_and_how_long_there_is_time(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim(after_s=7200)

    def fail(_effect: effects.ShowReceipt) -> changes.Change:
        raise Retryable("0xab has 0 wei, its transaction needs 7")

    async with live(engine, chain, fail) as node:
        assert find_unanswered(node.loop, SystemClock()) == ""
        with structlog.testing.capture_logs() as lines:
            await node.watcher.look()
            told = await wait_until(lambda: find_unanswered(node.loop, SystemClock()))
        assert f"lease 0x{LEASE_ID.hex()[:16]} is silent" in told
        assert " 1h59m" in told and told.endswith("0xab has 0 wei, its transaction needs 7")
        assert "silence claimed" in [line["event"] for line in lines]


@dataclass
class LaterClock:
    """The system's clock, set forward."""

    ahead_ns: int

    def now_ns(self) -> int:
        return SystemClock().now_ns() + self.ahead_ns


async def test_an_answer_on_its_way_is_no_trouble_until_it_takes_long(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await wait_until(lambda: node.shown)
        assert find_unanswered(node.loop, SystemClock()) == ""
        assert "not mined" in find_unanswered(node.loop, LaterClock(PATIENCE_NS))


async def test_an_answer_is_logged_once(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim()
    with structlog.testing.capture_logs() as lines:
        async with live(
            engine, chain, lambda one: changes.SilenceAnswered(one.lease_id, one.answer_until_s, OTHER, 9)
        ) as node:
            await node.watcher.look()
            await node.wait(lambda state: (one := state.get(SilenceClaim, LEASE_ID)) is not None and one.is_answered)
            assert find_unanswered(node.loop, LaterClock(PATIENCE_NS)) == ""
    said = [line["event"] for line in lines if "silence" in line["event"]]
    assert said == ["silence claimed", "silence answered"]


async def test_a_claim_that_was_not_answered_in_time_is_an_error_in_the_log(engine: Engine) -> None:
    chain = PlayedChain()
    chain.claim()
    async with live(engine, chain) as node:
        await node.watcher.look()
        await wait_until(lambda: node.shown)
        state, claim = node.loop.state, node.find()
    assert claim is not None
    with structlog.testing.capture_logs() as lines:
        log_milestones(state, [replace(claim, wake_at_ns=None), replace(claim, wake_at_ns=None, is_answered=True)])
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("error", "silence not answered in time"),
        ("info", "silence answered"),
    ]


async def test_metrics_count_the_claims_that_wait(engine: Engine) -> None:
    chain, net = PlayedChain(), SimpleNamespace(counters=NetCounters())
    async with live(engine, chain) as node:

        def count() -> float:
            collector = NodeCollector(node.loop, net, Measured)  # type: ignore[arg-type]
            (family,) = (one for one in collector.collect() if one.name == "xnode_silences_claimed")
            return float(family.samples[0].value)

        assert count() == 0
        chain.claim()
        await node.watcher.look()
        await node.wait(lambda state: bool(state.count(SilenceClaim)))
        assert count() == 1
        chain.claims.clear()
        await node.watcher.look()
        await node.wait(lambda state: (one := state.get(SilenceClaim, LEASE_ID)) is not None and one.is_answered)
        assert count() == 0


@pytest.mark.parametrize(
    ("held", "seen"), [(frozenset(), (0, 0)), (frozenset({"jail"}), (1, 0)), (frozenset({"credits"}), (0, 1))]
)
async def test_metrics_show_jail_and_default(engine: Engine, held: frozenset[str], seen: tuple[int, int]) -> None:
    net = SimpleNamespace(counters=NetCounters())
    async with live(engine, PlayedChain()) as node:
        collector = NodeCollector(node.loop, net, lambda: Measured(standing=held))  # type: ignore[arg-type]
        values = {one.name: one.samples[0].value for one in collector.collect() if one.samples}
    assert (values["xnode_provider_jailed"], values["xnode_credits_in_default"]) == seen
