"""Exposure: no work goes unpaid beyond what both signed, whatever the provider's settings say; the submitter bounds it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.tariff import cost_ceiling_of
from metering.units import NANOS_PER_SECOND, Address
from scheduler.preferences import ExposureBound
from tests.sim.containers import Behaviour
from tests.sim.guard import ROUND_NS
from tests.sim.world import World
from xnode.node import message

SECOND = NANOS_PER_SECOND
LONG = 3600 * SECOND


def make_world(interval_s: int, intervals: int, bound: ExposureBound) -> World:
    """A provider with these conditions and a submitter that accepts as much."""
    world = World()
    world.market.exposure_bound = bound
    world.add_provider(interval_ns=interval_s * SECOND, exposure_intervals=intervals)
    silence_ns = ((intervals + 20) * interval_s + 60) * SECOND
    world.add_submitter(max_exposure_intervals=bound.intervals, max_exposure_ns=bound.time_ns, silence_ns=silence_ns)
    world.run_for(1)
    return world


@settings(max_examples=20, deadline=None)
@given(
    interval_s=st.integers(1, 60),
    intervals=st.integers(1, 6),
    paid=st.integers(0, 8),
    is_restarted=st.booleans(),
)
def test_a_submitter_that_stops_paying_gets_no_more_work_than_both_signed(
    interval_s: int, intervals: int, paid: int, is_restarted: bool
) -> None:
    world = make_world(interval_s, intervals, ExposureBound(intervals, LONG))
    pushes = 0

    def blocks(_source: Address, _target: Address, method: str, is_answer: bool) -> bool:
        nonlocal pushes
        pushes += method == message.RECEIPTS_PUSH and not is_answer
        return method == message.RECEIPTS_PUSH and pushes > paid

    world.network.blocks = blocks
    world.submit(behaviour=Behaviour(run_ns=LONG), duration_limit_ns=LONG)
    lease = world.wait_running()
    terms = lease.terms
    assert (terms.interval_ns, terms.exposure_intervals) == (interval_s * SECOND, intervals)
    if is_restarted:
        # The operator changes the setting: the lease goes on under what was signed, from when the node is back.
        machine = world.machines[1]
        assert machine.provider is not None
        machine.provider = msgspec.structs.replace(machine.provider, exposure_intervals=100)
        machine.crash()
        world.run_for(machine.faults.down_ns / SECOND + 1)
    world.run_until(lambda: not any(one.status == "running" for one in world.leases(1)), 600 + 20 * interval_s)
    ended = world.leases(1)[0]
    away_ns = world.machines[1].faults.down_ns + ROUND_NS if is_restarted else 0
    limit_ns = intervals * terms.interval_ns
    unpaid_ns = world.machines[1].containers.served(ended.lease_id).running_ns - ended.covered.running_ns
    assert limit_ns - terms.interval_ns <= unpaid_ns <= limit_ns + ROUND_NS + away_ns
    most = cost_ceiling_of(terms.resources, terms.tariff, limit_ns + ROUND_NS + away_ns)
    assert ended.last.cost - ended.covered.cost <= most
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "unpaid"
    assert world.paid_to(1) == sum(world.guard.vouchered.values())


def test_an_offer_that_lets_more_go_unpaid_than_we_accept_is_not_considered() -> None:
    world = World()
    world.market.exposure_bound = ExposureBound(2)
    world.add_provider(exposure_intervals=3)
    world.add_submitter()
    world.run_for(1)
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert job.end_reason == "no_match"
    assert "offer_exposure" in job.end_detail and "3 intervals" in job.end_detail


def test_a_quote_that_lets_more_go_unpaid_than_we_accept_is_not_taken() -> None:
    for bound in ({"max_exposure_intervals": 1}, {"max_exposure_ns": 9 * SECOND}):
        world = World()
        world.add_provider()
        world.add_submitter(**bound)
        world.run_for(1)
        job_hash = world.submit()
        world.run_until_settled()
        assert world.job(job_hash).end_reason == "no_quote"
        assert "quote_exposure" in world.job(job_hash).end_detail
        assert not world.guard.opened
