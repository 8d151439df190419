"""Verified capacity: a provider sells no more than the verdict in force says it has, for usage above it is slashable."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND
from tests.make.values import make_resources
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node.changes import CapacityVerified
from xnode.node.state import State

SECOND = NANOS_PER_SECOND


def _state_of_provider(world: World) -> State:
    loop = world.machines[1].loop
    assert loop is not None
    return loop.state


def _offered_vcpu_milli(world: World) -> int:
    return _state_of_provider(world).standing_offer.free.vcpu_milli


def _share_vcpu_milli(world: World) -> int:
    provider = _state_of_provider(world).settings.provider
    assert provider is not None
    return provider.capacity.vcpu_milli


def test_no_more_than_was_verified_is_offered_and_all_of_the_share_when_the_verdict_lapses() -> None:
    world = make_market(1)
    share = _share_vcpu_milli(world)
    world.machines[1].tell(CapacityVerified(vcpus=2, gpus=0))
    world.run_for(1)
    assert _offered_vcpu_milli(world) == 2000 < share
    world.machines[1].tell(CapacityVerified(vcpus=0, gpus=0))
    world.run_for(1)
    assert _offered_vcpu_milli(world) == share


def test_a_restart_forgets_no_verdict() -> None:
    world = make_market(1)
    world.machines[1].tell(CapacityVerified(vcpus=2, gpus=0))
    world.run_for(1)
    world.machines[1].crash()
    world.run_for(11)
    assert _offered_vcpu_milli(world) == 2000


def test_a_job_larger_than_what_was_verified_is_not_taken() -> None:
    world = make_market(1)
    world.machines[1].tell(CapacityVerified(vcpus=1, gpus=0))
    world.run_for(1)
    world.submit(resources=make_resources(vcpu_milli=2000), behaviour=Behaviour(run_ns=SECOND))
    world.run_for(30)
    assert not world.leases(0)
    world.machines[1].tell(CapacityVerified(vcpus=2, gpus=0))
    world.run_for(1)
    world.submit(resources=make_resources(vcpu_milli=2000), behaviour=Behaviour(run_ns=SECOND))
    world.run_for(30)
    assert world.leases(0)
