"""Crashes: power lost before and after every commit and every effect of a market's flow; nothing is lost or done twice."""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import partial

import pytest

from metering.units import NANOS_PER_SECOND, Hash32
from tests.make.values import address_of, make_tariff
from tests.sim.containers import Behaviour
from tests.sim.machine import Machine
from tests.sim.world import World
from xnode.node import message
from xnode.node.changes import (
    AddressesChanged,
    CapacityVerified,
    ChainSeen,
    Change,
    DiskSeen,
    DrainSet,
    GpuLost,
    PricesSet,
    SettingsChanged,
)
from xnode.node.effects import DurableEffect

SECOND = NANOS_PER_SECOND
CHANGES = {kind.__name__ for kind in typing.get_args(Change)}
EFFECTS = {kind.__name__ for kind in typing.get_args(DurableEffect)}


Arm = Callable[[Machine], None]


def _make_market(arm: Arm, providers: int = 1) -> World:
    world = World()
    for machine in (*(world.add_provider(number) for number in range(1, providers + 1)), world.add_submitter()):
        arm(machine)
    world.run_for(1)
    return world


def make_paid_market(arm: Arm) -> World:
    """One job runs to its end while the operator changes prices and addresses."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=12 * SECOND))
    if world.machines[1].is_up:
        world.machines[1].tell(PricesSet(make_tariff(vcpu_hour=10**17)))
        world.machines[1].tell(SettingsChanged("reload", Hash32(bytes(31) + b"\1"), world.machines[1].provider, None))
        world.machines[1].tell(CapacityVerified(vcpus=64, gpus=0))
        world.machines[1].tell(ChainSeen(opening_ns=20 * SECOND, affordable=100))
        world.machines[1].tell(AddressesChanged(("/memory/new",)))
        world.machines[1].tell(DiskSeen(leases_bytes=1 << 40, is_short=False))
    return world


def make_stopped_market(arm: Arm) -> World:
    """One job is stopped; another one's image is missing."""
    world = _make_market(arm)
    stopped = world.submit(behaviour=Behaviour(run_ns=100 * SECOND))
    world.submit(behaviour=Behaviour(image_is_missing=True))
    world.clockwork.at(world.clockwork.now_ns + 8 * SECOND, lambda: world.stop(stopped))
    return world


def make_rival_market(arm: Arm) -> World:
    """Two providers quote; one of them is let go."""
    world = _make_market(arm, providers=2)
    world.submit(behaviour=Behaviour(run_ns=3 * SECOND))
    return world


def make_lost_market(arm: Arm) -> World:
    """The provider falls silent in the middle of a job, and the submitter takes the rest of its escrow back."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=100 * SECOND))
    begin_ns = world.clockwork.now_ns
    silent = (message.RECEIPTS_PUSH, message.LEASE_NEWS)
    world.network.blocks = lambda source, target, method, is_answer: (
        world.clockwork.now_ns > begin_ns + 8 * SECOND
        and (method in silent or world.clockwork.now_ns > begin_ns + 35 * SECOND)
    )
    return world


def make_paused_market(arm: Arm) -> World:
    """Both nodes stand still for a while in the middle of a job."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=12 * SECOND))
    for machine in world.machines.values():
        world.clockwork.at(world.clockwork.now_ns + 4 * SECOND, partial(machine.pause, 5 * SECOND))
    return world


def make_orphaned_market(arm: Arm) -> World:
    """The provider dies for good."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=100 * SECOND))
    world.clockwork.at(world.clockwork.now_ns + 8 * SECOND, world.machines[1].die)
    return world


def make_broken_market(arm: Arm) -> World:
    """A GPU of a workload stops working."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=100 * SECOND))
    world.clockwork.at(world.clockwork.now_ns + 8 * SECOND, partial(_lose_gpu, world))
    return world


def _lose_gpu(world: World) -> None:
    if world.machines[1].is_up and (leases := world.leases(1)):
        world.machines[1].tell(GpuLost(leases[0].lease_id, "GPU 0: lost"))


def make_drained_market(arm: Arm) -> World:
    """The operator drains the provider in the middle of a job, and takes jobs again afterwards."""
    world = _make_market(arm)
    world.submit(behaviour=Behaviour(run_ns=12 * SECOND))
    for after_s, is_on in ((4, True), (30, False)):
        world.clockwork.at(world.clockwork.now_ns + after_s * SECOND, partial(_drain, world, is_on))
    return world


def _drain(world: World, is_on: bool) -> None:
    if world.machines[1].is_up:
        world.machines[1].tell(DrainSet("drain", is_on))


MARKETS: dict[str, Callable[[Arm], World]] = {
    "paid": make_paid_market, "stopped": make_stopped_market, "rivals": make_rival_market, "lost": make_lost_market,
    "orphaned": make_orphaned_market, "paused": make_paused_market,
    "drained": make_drained_market, "broken": make_broken_market,
}  # fmt: skip


def run_to_the_end(world: World) -> None:
    """Until all is settled, and on until no old escrow is watched anymore."""
    world.run_until_settled()
    world.run_for(400)
    world.check_end()


def arm_nothing(_machine: Machine) -> None:
    """No crash."""


def find_points() -> list[tuple[str, int, str]]:
    """Every (market, node, point) that a calm run reaches, each point of a node in the first market that has it."""
    found: dict[tuple[int, str], str] = {}
    for name, make in MARKETS.items():
        world = make(arm_nothing)
        run_to_the_end(world)
        for node, machine in world.machines.items():
            for point in sorted(machine.faults.reached):
                found.setdefault((node, point), name)
    return [(name, node, point) for (node, point), name in found.items()]


POINTS = find_points()

COMPENSATIONS = ("CompensationSeen", "CompensationCollected")


@pytest.mark.parametrize(("market", "node", "point"), POINTS, ids=[f"{n}-{point}" for _, n, point in POINTS])
def test_power_lost_at_a_point_loses_nothing(market: str, node: int, point: str) -> None:
    def arm(machine: Machine) -> None:
        if machine.address == address_of(node):
            machine.faults.crash_at.append(point)

    world = MARKETS[market](arm)
    run_to_the_end(world)
    assert not world.machines[node].faults.crash_at, "the point was not reached"
    assert world.machines[node].lives == 2


def test_the_points_are_those_of_every_change_and_every_effect() -> None:
    reached = {point.partition(":")[2] for _, _, point in POINTS}
    # Nobody here claims that a provider is silent (tests/e2e/test_silence.py kills one over that), or proves a breach
    # (tests/xnode/chain/test_compensations.py).
    assert EFFECTS - reached <= {"ShowReceipt", "CollectCompensation"}
    # A question that changes nothing is not journalled; a second fetch is a person's wish, which no market here has; and hosts
    # without GPUs have none to count.
    assert CHANGES - reached <= {
        "LeaseAsked",
        "OutputsRefetched",
        "GpusSeen",
        "SilenceSeen",
        "SilenceAnswered",
        *COMPENSATIONS,
    }


@pytest.mark.parametrize("down_s", [0, 30, 200])
@pytest.mark.parametrize("after_ms", [1080, 1100, 1140, 1170, 1200, 2300, 6400, 13400, 13500])
def test_both_nodes_lose_power_at_once(after_ms: int, down_s: int) -> None:
    world = make_paid_market(arm_nothing)
    world.run_for((after_ms - 1000) / 1000)
    for machine in world.machines.values():
        machine.faults.down_ns = down_s * SECOND
        machine.crash()
    world.run_until_settled()
