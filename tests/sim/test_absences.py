"""Absences: a node that is paused, a host that is suspended and a clock that jumps, as the simulation plays them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metering.prepay import STEPS
from metering.tariff import cost_ceiling_of
from metering.units import NANOS_PER_SECOND
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_default_market, make_market
from xnode.node.records import SubmitterJob

SECOND = NANOS_PER_SECOND


def make_running(seed: int = 0) -> World:
    """A lease that runs for five minutes."""
    world = make_market(seed)
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    world.wait_running()
    return world


def read_entries(world: World, number: int) -> int:
    return len(world.machines[number].disk.entries)


def test_a_paused_node_does_nothing_while_its_workloads_go_on() -> None:
    world = make_running()
    world.run_for(12)
    entries, lease = read_entries(world, 1), world.leases(1)[0].lease_id
    served = world.machines[1].containers.served(lease).running_ns
    world.pause(1, 7)
    world.run_for(6.9)
    assert read_entries(world, 1) == entries
    assert world.machines[1].containers.served(lease).running_ns - served > 6 * SECOND
    world.run_for(1)
    assert read_entries(world, 1) > entries


def test_a_paused_node_reads_what_was_sent_to_it_when_it_runs_again() -> None:
    world = make_market()
    world.pause(1, 2)
    job_hash = world.submit()
    world.run_for(1.9)
    assert not world.leases(1)
    world.run_until(lambda: bool(world.leases(1)), 10)
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_node_that_is_killed_in_a_pause_starts_unpaused() -> None:
    world = make_running()
    world.pause(0, 60)
    world.run_for(1)
    world.machines[0].crash()
    world.run_for(5)
    assert world.machines[0].is_up and not world.machines[0].clock.is_paused


def test_a_suspended_host_serves_nothing_and_its_clock_goes_on() -> None:
    world = make_running()
    world.run_for(12)
    machine, lease = world.machines[1], world.leases(1)[0].lease_id
    served, clock_ns = machine.containers.served(lease).running_ns, machine.now_ns()
    world.suspend(1, 7)
    world.run_for(6.9)
    assert machine.containers.served(lease).running_ns <= served + SECOND // 5
    assert machine.now_ns() - clock_ns == round(6.9 * SECOND)


def test_alarms_go_by_the_clock_and_timeouts_by_the_time_that_passes() -> None:
    world = make_market()
    clock, called = world.machines[1].clock, list[str]()
    clock.at(clock.now_ns + 10 * SECOND, lambda: called.append("alarm"))
    clock.after(10 * SECOND, lambda: called.append("timeout"))
    world.step_clock(1, -5)
    world.run_for(11)
    assert called == ["timeout"]
    world.step_clock(1, 5)
    world.run_for(0.001)
    assert called == ["timeout", "alarm"]


def test_the_same_seed_gives_the_same_absences() -> None:
    events = []
    for _ in range(2):
        world = make_running(7)
        for number, seconds in ((0, 3), (1, 4), (0, 6)):
            world.pause(number, seconds)
            world.step_clock(1 - number, seconds - 5)
            world.run_for(8)
        events.append((world.clockwork.events, world.machines[1].disk.entries))
    assert events[0] == events[1]


def test_a_job_is_done_under_the_default_settings() -> None:
    for seed in range(10):
        world = make_default_market(seed)
        world.run_for(10)
        job_hash = world.submit()
        world.run_until_settled(8000)
        assert world.job(job_hash).end_reason == "completed"


# ------------------------------------------------------------------------------------- nobody is judged by our own absence

Absence = tuple[str, int, int]
"""What happens ("pause", "suspend", "crash", "step"), how many seconds after the last, and for how many."""

SKEW_S = 50
"""A clock that is further ahead of the other side's is not believed."""


def absences(longest_s: int, least_s: int) -> st.SearchStrategy[list[Absence]]:
    """Of one node, one after the other, with least_s between them at least."""
    kinds = st.sampled_from(["pause", "suspend", "crash", "step"])
    return st.lists(st.tuples(kinds, st.integers(least_s, 40), st.integers(0, longest_s)), max_size=5)


def play(world: World, number: int, absence: Absence) -> None:
    kind, after_s, for_s = absence
    machine = world.machines[number]
    world.run_until(lambda: machine.is_up and not machine.clock.is_paused)
    world.run_for(after_s)
    match kind:
        case "pause":
            world.pause(number, for_s)
        case "suspend":
            world.suspend(number, for_s)
        case "step":
            world.step_clock(number, min(for_s, SKEW_S - machine.clock.ahead_ns // SECOND))
        case _:
            machine.faults.down_ns = for_s * SECOND
            machine.crash()


def run_job(world: World, number: int, plan: list[Absence], **job: Any) -> SubmitterJob:
    """A job of five minutes under these absences of one node, settled."""
    world.run_for(10)
    job_hash = world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=3600 * SECOND, **job)
    world.wait_running()
    for absence in plan:
        play(world, number, absence)
    world.run_until_settled(20_000)
    world.check_end()
    return world.job(job_hash)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), plan=absences(80, 20))
def test_a_provider_that_was_away_ends_no_lease_as_unpaid(seed: int, plan: list[Absence]) -> None:
    # Two minutes of silence count as lost: no single absence is as long, and in between it can be heard.
    assert run_job(make_default_market(seed), 1, plan).end_reason == "completed"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), plan=absences(40, 20))
def test_a_submitter_that_was_away_for_less_than_may_go_unpaid_loses_no_lease(seed: int, plan: list[Absence]) -> None:
    assert run_job(make_default_market(seed), 0, plan).end_reason == "completed"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), plan=absences(1500, 20))
def test_a_submitter_that_prepays_may_be_away_for_as_long_as_it_prepaid(seed: int, plan: list[Absence]) -> None:
    world = make_default_market(seed)
    job = run_job(world, 0, plan, prepay_ns=1800 * SECOND)
    assert job.end_reason == "completed"
    served = next(iter(world.leases(1)))
    claimed = max(escrow.claimed for escrow in world.machines[1].chain.chain.ledger.escrows.values())
    step = cost_ceiling_of(served.terms.resources, served.terms.tariff, 1800 * SECOND // STEPS)
    assert served.last.cost <= claimed <= served.last.cost + step
