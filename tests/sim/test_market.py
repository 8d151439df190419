"""A whole market: what happens to jobs, and that both sides come out of it with their money and a reason."""

from __future__ import annotations

import pytest

from metering.units import NANOS_PER_SECOND
from tests.make.values import TOKEN
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node.records import SubmitterLease

SECOND = NANOS_PER_SECOND


def test_a_paid_job_runs_and_everything_settles() -> None:
    world = make_market()
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert (job.status, job.end_reason, job.exit_code) == ("done", "completed", 0)
    assert job.here is not None and (job.here.entries, job.here.size_bytes, job.here.left_out) == (1, 100, 0)
    assert world.paid_to(1) > 0


def test_two_jobs_at_once_share_one_escrow() -> None:
    world = make_market()
    first, second = world.submit(), world.submit(behaviour=Behaviour(run_ns=40 * SECOND))
    world.run_until_settled()
    assert {world.job(first).status, world.job(second).status} == {"done"}
    assert len(world.ledger.escrows) == 1


def test_a_second_job_draws_on_the_same_escrow_after_the_first_is_settled() -> None:
    world = make_market()
    for _ in range(3):
        world.submit()
        world.run_until_settled()
    assert len(world.ledger.escrows) == 1
    assert len(world.guard.starts) == 3


@pytest.mark.parametrize("allowed", [10**9, 10**6])
def test_network_bytes_are_paid_up_to_what_the_job_allows(allowed: int) -> None:
    world = make_market(allows_network=True)
    sends = Behaviour(run_ns=20 * SECOND, egress_per_second=10**6)
    world.submit(behaviour=sends, network=True, network_bytes=allowed)
    world.run_until_settled()
    receipt = next(iter(world.guard.receipts.values()))
    assert receipt.usage.egress_bytes == min(allowed, 20 * 10**6)
    assert world.paid_to(1) == receipt.cost


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(exit_code=3), "exit_code"),
        (Behaviour(memory_hit_ns=7 * SECOND), "out_of_memory"),
        (Behaviour(run_ns=10_000 * SECOND), "time_limit"),
        (Behaviour(vanish_ns=7 * SECOND), "workload_vanished"),
        (Behaviour(image_is_missing=True), "image_failed"),
        (Behaviour(start_fails=True), "launch_failed"),
    ],
)
def test_every_ending_of_a_workload_has_its_reason_on_both_sides(behaviour: Behaviour, reason: str) -> None:
    world = make_market()
    job_hash = world.submit(behaviour=behaviour, duration_limit_ns=60 * SECOND)
    world.run_until_settled()
    assert world.job(job_hash).end_reason == reason
    assert {one.end_reason for one in (*world.leases(0), *world.leases(1))} == {reason}
    never_ran = reason in ("image_failed", "launch_failed")
    assert (world.paid_to(1) == 0) == never_ran


@pytest.mark.parametrize("after_s", [0.03, 0.12, 0.3, 1.2, 8, 24.9])
def test_a_job_can_be_stopped_wherever_it_is(after_s: float) -> None:
    world = make_market()
    job_hash = world.submit()
    world.run_for(after_s)
    world.stop(job_hash)
    world.run_until_settled()
    assert world.job(job_hash).end_reason in ("stopped_by_submitter", "completed")
    assert after_s > 24 or world.job(job_hash).end_reason == "stopped_by_submitter", world.describe()


def test_a_stop_that_overtakes_the_answer_to_the_lease_ends_it_unsigned_or_at_once() -> None:
    world = make_market()
    world.chain.is_down = True
    world.submit()
    world.run_for(0.5)
    world.chain.is_down = False
    world.run_until(lambda: bool(world.leases(0)), 60)
    world.stop(world.job(next(iter(world.machines[0].loop.state.all(SubmitterLease))).job_hash).job_hash)  # type: ignore[union-attr]
    world.run_until_settled()
    (lease,) = world.leases(1)
    assert (lease.end_reason or lease.refusal.code) == "stopped_by_submitter" and not world.guard.starts


def test_too_small_a_balance_is_named_before_anything_is_signed() -> None:
    world = make_market(deposit=TOKEN // 1000)
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    limit = int(next(pair[1] for entry in job.timeline for pair in entry.facts if pair[0] == "cost_limit"))
    assert job.end_reason == "escrow_too_small"
    assert ("missing", str(limit - TOKEN // 1000)) in job.timeline[-1].facts
    assert not world.guard.opened


def test_a_balance_that_shrank_meanwhile_is_refused_before_launch_with_what_is_missing() -> None:
    world = make_market()
    job_hash = world.submit()
    world.run_until(lambda: bool(world.leases(0)), 60)
    world.ledger.free[world.payer] -= 100 * TOKEN - 10**15
    world.ledger.deposited -= 100 * TOKEN - 10**15
    world.run_until_settled()
    assert "escrow_too_small" in " ".join(entry.detail for entry in world.job(job_hash).timeline)
    lease = next(iter(world.leases(1)))
    missing = int(lease.terms.cost_limit) - 10**15
    assert str(missing) in str(lease.refusal)
    assert not world.guard.starts


def test_work_stops_at_the_exposure_limit_when_the_opening_never_confirms() -> None:
    world = make_market()
    world.chain.holds_openings = True
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = world.wait_running()
    world.run_until(lambda: not any(one.status == "running" for one in world.leases(1)), 60)
    served = world.machines[1].containers.served(lease.lease_id)
    assert served.running_ns <= 2 * lease.terms.interval_ns + SECOND
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "escrow_unconfirmed"
    assert world.paid_to(1) == 0


def test_an_opening_that_confirms_late_is_never_left_behind() -> None:
    world = make_market()
    world.chain.holds_openings = True
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    world.wait_running()
    world.run_for(60)
    world.machines[1].die()
    world.run_for(50)
    world.chain.holds_openings = False
    world.run_until_settled()


def test_an_opening_that_arrives_after_we_had_looked_is_taken_back_too() -> None:
    world = make_market()
    world.chain.holds_openings = True
    job_hash = world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    world.wait_running()
    world.machines[1].die()
    world.run_until(lambda: world.job(job_hash).end_reason == "provider_lost", 100)
    world.run_for(10)
    assert not any(funds.deposited for funds in world.ledger.escrows.values())
    world.chain.holds_openings = False
    world.run_for(5)
    assert any(funds.deposited for funds in world.ledger.escrows.values())
    world.run_until_settled()


def test_a_provider_that_fetches_for_long_is_not_lost() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(pull_ns=300 * SECOND))
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_no_lease_is_closed_because_the_chain_is_away_for_a_minute() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=90 * SECOND))
    lease = world.wait_running()
    world.run_until(lambda: any(one.funded for one in world.leases(1)), 30)
    world.chain.is_down = True
    world.run_for(60)
    assert world.leases(1)[0].status == "running"
    world.chain.is_down = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.receipts[lease.lease_id].running_ns == 90 * SECOND


def test_a_quote_that_could_lock_our_money_for_long_is_not_taken() -> None:
    world = World()
    world.add_provider(thaw=30 * 86_400)
    world.add_submitter()
    world.run_for(1)
    job_hash = world.submit()
    world.run_for(10)
    assert world.job(job_hash).end_reason == "no_quote"
    assert "quote_thaw" in world.job(job_hash).end_detail
