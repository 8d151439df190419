"""Maintenance: a drained provider ends what it runs, is paid for it, and takes nothing new, whatever happens meanwhile."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND
from tests.make.values import address_of
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node.changes import DrainSet

SECOND = NANOS_PER_SECOND


def drain(world: World, number: int = 1, is_on: bool = True) -> None:
    """As the operator of the provider does."""
    world.machines[number].tell(DrainSet("drain", is_on))
    world.run_for(1)


def test_what_runs_goes_on_to_its_end_over_a_restart_and_nothing_new_is_taken() -> None:
    world = make_market()
    first = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.wait_running()
    drain(world)
    world.machines[1].faults.down_ns = 5 * SECOND
    world.machines[1].crash()
    world.run_for(10)
    second = world.submit()
    world.run_until_settled()
    assert world.job(first).end_reason == "completed" and len(world.guard.starts) == 1
    assert world.job(second).end_reason == "no_quote" and "draining" in world.job(second).end_detail
    drain(world, is_on=False)
    third = world.submit()
    world.run_until_settled()
    assert world.job(third).end_reason == "completed"


def test_a_job_goes_to_another_provider_than_the_drained_one() -> None:
    world = make_market(providers=2)
    drain(world, 1)
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert set(world.guard.starts.values()) == {address_of(2)}
