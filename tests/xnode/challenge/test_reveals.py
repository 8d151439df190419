"""Reveals: what a challenged node shows of its recorded answers when somebody paid for it, and what it never shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio
import trio.lowlevel

from metering.capacity import ElementProof, element_at
from metering.eip712 import keccak
from metering.units import Address, Hash32
from tests.make.waiting import wait_until
from tests.sim.challenging import CHALLENGE_ID, CPU, World, make_node
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.judging import make_tasks
from xnode.capacity.product import make_product
from xnode.challenge import demands, kept_products, revealer
from xnode.challenge.demands import OpenDemands, RevealState
from xnode.challenge.kept_products import KeptProducts
from xnode.challenge.revealer import Revealer
from xnode.config.load import load_config
from xnode.errors import Permanent, Retryable
from xnode.home import Home
from xnode.monitor.metrics import describe_reveals
from xnode.ports.reveals import Demand, DemandedLeaf
from xnode.readiness import Readiness

ME = make_node(1)[0]
SEED = keccak(b"seed")
DAY_S = 86_400


@dataclass
class PlayedReveals:
    """AnswerReveals as a test plays it. faults: what the next calls meet."""

    time: int = 1_000_000
    demands: list[Demand] = field(default_factory=list)
    leaves: dict[int, tuple[DemandedLeaf, ...]] = field(default_factory=dict)
    revealed: dict[int, tuple[ElementProof, ...]] = field(default_factory=dict)
    faults: list[Exception] = field(default_factory=list)
    reads: int = 0

    def ask(self, *leaves: DemandedLeaf, provider: Address = ME) -> int:
        number = len(self.demands) + 1
        self.demands.append(Demand(number, provider, "demanded", self.time + DAY_S, 7))
        self.leaves[number] = leaves
        return number

    async def read_time(self) -> int:
        return self.time

    async def count_demands(self) -> int:
        return len(self.demands)

    async def read_demands(self, first: int, last: int) -> tuple[Demand, ...]:
        self.reads += last - first + 1
        return tuple(self.demands[first - 1 : last])

    async def read_leaves(self, demand: Demand) -> tuple[Hash32, tuple[DemandedLeaf, ...]]:
        if self.faults:
            raise self.faults.pop()
        return CHALLENGE_ID, self.leaves[demand.number]

    async def reveal(self, demand: Demand, leaves: tuple[DemandedLeaf, ...], proofs: tuple[ElementProof, ...]) -> None:
        assert leaves == self.leaves[demand.number]
        self.revealed[demand.number] = proofs
        self.demands[demand.number - 1] = replace(demand, stage="revealed")


@dataclass
class Host:
    """A provider whose challenge was passed, and what is asked of it."""

    world: World
    chain: PlayedReveals
    revealer: Revealer


@pytest.fixture
async def host(world: World) -> AsyncIterator[Host]:
    world.chain.draw_now(SEED)
    world.chain.challenge = replace(world.chain.challenge, stage="passed")
    chain = PlayedReveals()
    revealer = Revealer(ME, world.chain, chain)
    yield Host(world, chain, revealer)
    await revealer.close()


def make_leaf(device: int, index: int, root: Hash32 | None = None) -> DemandedLeaf:
    seed = device_seed_of(SEED, device)
    return DemandedLeaf(device, index, CPU.n, seed, root or make_product(seed, CPU.n).root)


async def test_the_leaves_that_were_paid_for_are_shown_in_order_with_their_paths(host: Host) -> None:
    leaves = (make_leaf(1, 255), make_leaf(0, 7), make_leaf(1, 0))
    number = host.chain.ask(*leaves)
    await host.revealer.look()
    proofs = host.chain.revealed[number]
    for leaf, proof in zip(leaves, proofs, strict=True):
        assert (proof.index, proof.find_root()) == (leaf.index, leaf.root)
        row, column = proof.find_place(CPU.n)
        assert proof.element == element_at(leaf.seed, CPU.n, row, column)


async def test_a_root_that_is_not_ours_is_never_shown(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    wrong = host.chain.ask(make_leaf(0, 7), make_leaf(1, 7, keccak(b"a panel's own tree")))
    right = host.chain.ask(make_leaf(0, 7))
    await host.revealer.look()
    await host.revealer.look()
    assert wrong not in host.chain.revealed
    assert right in host.chain.revealed


async def test_others_demands_and_those_that_are_over_are_left_alone(host: Host) -> None:
    other = host.chain.ask(make_leaf(0, 7), provider=make_node(2)[0])
    done = host.chain.ask(make_leaf(0, 7))
    host.chain.demands[done - 1] = replace(host.chain.demands[done - 1], stage="unrevealed")
    await host.revealer.look()
    assert not host.chain.revealed
    assert host.chain.demands[other - 1].stage == "demanded"


async def test_what_cannot_be_answered_now_is_tried_again_until_its_deadline(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revealer, "RETRY_S", 0.0)
    monkeypatch.setattr(kept_products, "GATHER_S", 0.0)
    host.chain.faults = [Permanent("the GPU's memory is in use", code="memory"), Retryable("the log is not there yet")]
    number = host.chain.ask(make_leaf(0, 7))
    await host.revealer.look()
    await host.revealer.look()
    assert not host.chain.revealed
    await host.revealer.look()
    assert number in host.chain.revealed

    late = host.chain.ask(make_leaf(0, 7))
    host.chain.faults = [Retryable("the chain node is away")]
    await host.revealer.look()
    host.chain.time += DAY_S + 1
    await host.revealer.look()
    assert late not in host.chain.revealed


async def test_a_try_waits_before_the_next(host: Host) -> None:
    host.chain.faults = [Retryable("the chain node is away")]
    host.chain.ask(make_leaf(0, 7))
    await host.revealer.look()
    await host.revealer.look()
    assert not host.chain.revealed


async def test_a_node_that_starts_finds_what_is_still_open_and_reads_each_demand_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revealer, "BATCH", 4)
    for _ in range(10):
        host.chain.ask(make_leaf(0, 7), provider=make_node(2)[0])
    host.chain.time += DAY_S + 1
    mine = host.chain.ask(make_leaf(0, 7))
    for _ in range(5):
        host.chain.ask(make_leaf(0, 7), provider=make_node(2)[0])
    await host.revealer.look()
    assert mine in host.chain.revealed
    read = host.chain.reads
    assert read < 16, "what is over long ago is not read"
    await host.revealer.look()
    assert host.chain.reads == read


async def test_one_computation_of_a_device_answers_all_who_ask(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revealer, "WINDOW", 8)
    numbers = [host.chain.ask(make_leaf(at % 2, at)) for at in range(40)]
    for _ in range(5):
        await host.revealer.look()
    assert sorted(host.chain.revealed) == numbers
    assert host.revealer.computed == 2, "one for each device"


async def test_who_asks_for_one_leaf_after_another_gets_them_together(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.chain.ask(make_leaf(0, 1))
    await host.revealer.look()
    later = [host.chain.ask(make_leaf(0, at)) for at in (2, 3)]
    await host.revealer.look()
    assert not set(later) & set(host.chain.revealed)
    assert not host.revealer.state.late, "there is a day"
    await trio.lowlevel.checkpoint()
    monkeypatch.setattr(trio, "current_time", lambda now=trio.current_time: now() + kept_products.GATHER_S)
    await host.revealer.look()
    assert set(later) <= set(host.chain.revealed)
    assert host.revealer.computed == 2


async def test_none_is_forgotten_however_many_there_are(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "MAX_OPEN", 20)
    monkeypatch.setattr(revealer, "BATCH", 4)
    monkeypatch.setattr(revealer, "WINDOW", 10)
    monkeypatch.setattr(kept_products, "GATHER_S", 0.0)
    numbers = [host.chain.ask(make_leaf(0, at % 256)) for at in range(100)]
    others = [host.chain.ask(make_leaf(0, 7), provider=make_node(2)[0]) for _ in range(3)]
    await host.revealer.look()
    assert host.revealer.state.has_more and "or more" in host.revealer.state.describe()
    for _ in range(12):
        await host.revealer.look()
    assert sorted(host.chain.revealed) == numbers
    assert not set(others) & set(host.chain.revealed)
    assert host.revealer.state == RevealState()


async def test_what_is_due_first_is_answered_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revealer, "WINDOW", 2)
    numbers = []
    for at in range(6):
        numbers.append(host.chain.ask(make_leaf(at % 2, at)))
        host.chain.time += 60
    for done in (2, 4, 6):
        await host.revealer.look()
        assert sorted(host.chain.revealed) == numbers[:done]


async def test_a_device_that_cannot_be_computed_holds_up_no_other(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    prove = host.revealer._products.prove

    async def prove_or_fail(key: Any, task: Any, leaves: Any) -> Any:
        if task.device == 0:
            raise Permanent("the device is at work", code="memory")
        return await prove(key, task, leaves)

    monkeypatch.setattr(host.revealer._products, "prove", prove_or_fail)
    held, free = host.chain.ask(make_leaf(0, 7), make_leaf(1, 7)), host.chain.ask(make_leaf(1, 7))
    await host.revealer.look()
    assert list(host.chain.revealed) == [free]
    assert (host.revealer.state.open, host.revealer.state.late) == (1, 0)
    host.chain.time = host.chain.demands[held - 1].deadline - 60
    await host.revealer.look()
    assert "1 cannot be met in time: the device is at work" in host.revealer.state.find_problem()


async def test_no_process_outlives_what_is_asked(host: Host) -> None:
    before = psutil.Process().children()
    host.chain.ask(make_leaf(0, 7))
    await host.revealer.look()
    assert psutil.Process().children() == before


async def test_products_that_are_kept_have_a_limit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    products, before = KeptProducts(), len(psutil.Process().children())
    tasks = make_tasks(host.world.chain.challenge, SEED)
    for task in tasks:
        await products.prove((CHALLENGE_ID, task.device), task, [make_leaf(task.device, 7)])
    assert len(psutil.Process().children()) - before == len(tasks) == 2
    await products.keep_only([])
    monkeypatch.setattr(kept_products, "MAX_KEPT_BYTES", 1)
    monkeypatch.setattr(kept_products, "GATHER_S", 0.0)
    for task in tasks:
        await products.prove((CHALLENGE_ID, task.device), task, [make_leaf(task.device, 7)])
    assert len(psutil.Process().children()) - before == 1
    await products.keep_only([])


async def test_a_demand_that_cannot_be_shown_is_said_until_its_time_is_over(host: Host) -> None:
    host.chain.ask(make_leaf(0, 7, keccak(b"a panel's own tree")))
    await host.revealer.look()
    assert "another root is recorded" in host.revealer.state.find_problem()
    host.chain.time += DAY_S + 1
    await host.revealer.look()
    assert host.revealer.state == RevealState()


def test_more_than_can_be_answered_in_time_is_said_beforehand() -> None:
    book = OpenDemands()
    for number in range(1, 101):
        book.add(Demand(number, ME, "demanded", 1_000 + number, 7))
    assert book.judge(0).late == 0
    book.pace_s = 20.0
    state = book.judge(0)
    assert (state.open, state.until_s, state.late) == (100, 1_001, 48)
    assert state.describe().endswith("due by 1970-01-01 00:16 UTC; 48 cannot be met in time: one answer takes 20 s")


def test_metrics_and_readiness_say_how_many_are_open_until_when_and_what_is_late(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.config.write_text('[chain]\nmanifest = "chain.json"\n')
    ready, quiet = Readiness(load_config(home)), RevealState()
    assert "reveals" not in ready.find_problems() and ready.measure().reveals == quiet
    ready.reveals = lambda: RevealState(5, False, 1_800_000_000)
    assert "reveals" not in ready.find_problems(), "what will be met is no trouble"
    ready.reveals = lambda: RevealState(5, False, 1_800_000_000, 2, "the device is at work")
    assert "2 cannot be met in time: the device is at work" in ready.find_problems()["reveals"]
    shown = {family.name: family.samples[0].value for family in describe_reveals(ready.measure().reveals)}
    assert shown == {"xnode_reveals_open": 5, "xnode_reveals_until_seconds": 1_800_000_000, "xnode_reveals_late": 2}


async def test_looking_goes_on_after_a_fault_of_the_chain_node(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revealer, "LOOK_S", 0.01)
    number = host.chain.ask(make_leaf(0, 7))
    count, faults = host.chain.count_demands, [Retryable("away")]

    async def count_or_fail() -> int:
        if faults:
            raise faults.pop()
        return await count()

    monkeypatch.setattr(host.chain, "count_demands", count_or_fail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.revealer.run)
        await wait_until(lambda: number in host.chain.revealed)
        nursery.cancel_scope.cancel()
