"""A provider's promise of availability: who keeps it owes nothing, who breaks it says so by its own final receipt."""

from __future__ import annotations

from metering.sla import Promise, find_breach
from metering.units import NANOS_PER_SECOND, mul_div_down
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node.records import SubmitterLease

SECOND = NANOS_PER_SECOND
PROMISE = Promise(900_000, 250_000)


def make_promising_market() -> World:
    return make_market(promise=PROMISE)


def the_lease(world: World) -> SubmitterLease:
    (lease,) = (one for one in world.leases(0) if isinstance(one, SubmitterLease))
    return lease


def test_the_promise_of_the_quote_is_in_the_terms_that_both_sign() -> None:
    world = make_promising_market()
    world.submit(behaviour=Behaviour(run_ns=60 * SECOND), min_availability_ppm=900_000)
    world.run_until_settled()
    lease = the_lease(world)
    assert lease.end_reason == "completed"
    assert Promise(lease.terms.availability_ppm, lease.terms.refund_ppm) == PROMISE


def test_a_job_that_asks_for_more_than_is_promised_says_why_no_provider_takes_it() -> None:
    world = make_promising_market()
    job_hash = world.submit(min_availability_ppm=900_001)
    world.run_for(30)
    job = world.job(job_hash)
    assert job.status == "failed" and "offer_availability" in job.end_detail and "90.0001 %" in job.end_detail


def test_a_workload_that_vanishes_while_its_host_is_away_owes_a_part_back() -> None:
    world = make_promising_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=600 * SECOND, vanish_ns=10 * SECOND))
    world.wait_running()
    world.run_for(8)
    world.machines[1].faults.down_ns = 34 * SECOND
    world.machines[1].crash()
    world.run_until_settled()
    lease = the_lease(world)
    assert lease.end_reason == "workload_vanished" and lease.last.cost > 0
    assert lease.refund == mul_div_down(lease.last.cost, 1, 4)
    breach = next(entry for entry in world.job(job_hash).timeline if entry.what == "breach")
    assert breach.facts == (("refund", str(int(lease.refund))),) and "90 %" in breach.detail


def test_a_workload_that_ends_while_its_daemon_is_away_owes_nothing() -> None:
    world = make_promising_market()
    world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.wait_running()
    world.run_for(58)
    world.machines[1].faults.down_ns = 30 * SECOND
    world.machines[1].crash()
    world.run_until_settled()
    lease = the_lease(world)
    assert lease.end_reason == "completed" and lease.last.cost > 0
    assert find_breach(lease.terms, lease.last) is None and lease.refund == 0


def test_without_a_promise_a_vanished_workload_owes_nothing() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=600 * SECOND, vanish_ns=30 * SECOND))
    world.run_until_settled()
    assert the_lease(world).refund == 0
