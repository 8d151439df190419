"""Reveals: what a challenged node shows of its recorded answers when somebody paid for it, and what it never shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import trio

from metering.capacity import ElementProof, element_at
from metering.eip712 import keccak
from metering.units import Address, Hash32
from tests.make.waiting import wait_until
from tests.sim.challenging import CHALLENGE_ID, CPU, World, make_node
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.product import make_product
from xnode.capacity.products import DeviceTask
from xnode.challenge import revealer
from xnode.challenge.revealer import Revealer
from xnode.errors import Permanent, Retryable
from xnode.ports.reveals import Demand, DemandedLeaf

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
    yield Host(world, chain, Revealer(ME, world.chain, chain))


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


async def test_a_product_is_made_once_for_all_that_is_asked_of_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    prove = revealer._prove

    async def count(task: DeviceTask, leaves: list[DemandedLeaf]) -> list[ElementProof]:
        made.append(task.device)
        return await prove(task, leaves)

    monkeypatch.setattr(revealer, "_prove", count)
    numbers = [host.chain.ask(make_leaf(number % 2, number), make_leaf(1, 255)) for number in range(6)]
    await host.revealer.look()
    assert sorted(host.chain.revealed) == numbers
    assert sorted(made) == [0, 1]
    for number in numbers:
        for leaf, proof in zip(host.chain.leaves[number], host.chain.revealed[number], strict=True):
            assert (proof.index, proof.find_root()) == (leaf.index, leaf.root)
    assert not host.revealer._proofs, "nothing is kept that nobody waits for"


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


async def test_more_demands_than_are_kept_at_once_are_answered_all_the_same_the_oldest_first(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revealer, "MAX_PENDING", 2)
    numbers = [host.chain.ask(make_leaf(0, 7)) for _ in range(5)]
    await host.revealer.look()
    assert list(host.chain.revealed) == numbers[:2]
    for _ in range(2):
        await host.revealer.look()
    assert list(host.chain.revealed) == numbers
    read = host.chain.reads
    await host.revealer.look()
    assert host.chain.reads == read, "once all are known, none is read again"


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
