"""A provider that talks and does not do what it promised: each promise has a clock of the submitter's own, and our absence is
in none of them."""

from __future__ import annotations

from typing import Any

import pytest

from metering.codec import decode, encode
from metering.units import NANOS_PER_SECOND, Address
from tests.make.values import address_of
from tests.sim.containers import Behaviour
from tests.sim.network import Handler
from tests.sim.world import World, make_market
from xnode.node import effects, message
from xnode.node.records import SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.submitter.clocks import END_SLACK_NS, START_NS, STOP_NS
from xnode.node.submitter.job import HASTY_WAIT_NS

SECOND = NANOS_PER_SECOND
ENDED = ("done", "half-fetched", "failed", "stopped")


def hold(world: World, number: int, status: str) -> None:
    """From now on this provider says that every lease of its is in this state, whatever it does; no other word leaves it."""
    station = world.network.stations[address_of(number)]

    async def answer(_caller: Address, body: bytes) -> bytes:
        lease_id = decode(body, message.LeaseQuery).lease_id
        return encode(effects.LeaseReport(lease_id, status, None, "", None, None))  # type: ignore[arg-type]

    station.methods |= {message.LEASE_ASK: answer, message.LEASE_STOP: answer}
    talk = (message.LEASE_NEWS, message.RECEIPTS_PUSH)
    world.network.blocks = lambda source, _target, method, is_answer: (
        source == address_of(number) and method in talk and not is_answer
    )


def lease_of(world: World) -> SubmitterLease:
    return next(one for one in world.leases(0) if isinstance(one, SubmitterLease) and one.status != "refused")


def wait_leased(world: World, job_hash: Any) -> None:
    world.run_for(0.1)
    world.run_until(lambda: world.job(job_hash).status == "running", 30)


def run_until_ended(world: World, job_hash: Any, seconds: float) -> SubmitterJob:
    world.run_until(lambda: world.job(job_hash).status in ENDED, seconds)
    world.run_for(1)
    return world.job(job_hash)


# -------------------------------------------------------------------------------------------------- running for ever


def test_a_provider_that_says_preparing_for_ever_loses_the_job_to_another() -> None:
    world = make_market(providers=2)
    for number in (1, 2):
        world.machines[number].containers.find_behaviour = lambda _subject: Behaviour(pull_ns=100_000 * SECOND)
    job_hash = world.submit()
    wait_leased(world, job_hash)
    held = next(number for number in (1, 2) if world.leases(number))
    hold(world, held, "preparing")
    other = world.machines[3 - held].containers
    other.find_behaviour = lambda _subject: Behaviour()
    world.run_for(START_NS / SECOND - 60)
    assert world.job(job_hash).status == "running" and lease_of(world).status == "preparing"
    job = run_until_ended(world, job_hash, 300)
    assert job.end_reason == "completed"
    (elsewhere,) = (one.detail for one in job.timeline if one.what == "elsewhere")
    assert "provider_late: the workload has not started within" in elsewhere


def test_a_provider_that_says_running_for_ever_holds_neither_job_nor_escrow() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=20 * SECOND), duration_limit_ns=100 * SECOND)
    world.wait_running()
    world.run_for(6)
    hold(world, 1, "running")
    most_s = (100 * SECOND * 21 // 20 + 10 * SECOND + END_SLACK_NS) / SECOND
    world.run_for(most_s - 60)
    assert world.job(job_hash).status == "running"
    job = run_until_ended(world, job_hash, 120)
    assert (job.status, job.end_reason) == ("failed", "provider_late") and "time limit of 100 s" in job.end_detail
    loop = world.machines[0].loop
    assert loop is not None
    world.run_until(lambda: not any(one.deposited > one.claimed for one in loop.state.all(SubmitterEscrow)), 300)
    world.run_for(1)


def test_a_provider_that_does_not_obey_a_stop_is_not_waited_for() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=9000 * SECOND), duration_limit_ns=10_000 * SECOND)
    world.wait_running()
    world.run_for(6)
    hold(world, 1, "stopping")
    world.stop(job_hash)
    job = run_until_ended(world, job_hash, STOP_NS / SECOND + 100)
    world.run_for(1)
    assert job.end_reason == "provider_late" and "told to stop" in job.end_detail


@pytest.mark.parametrize("status", ["preparing", "launching", "running", "stopping", "ending", "settling", "settled"])
def test_whatever_a_provider_says_for_ever_the_job_ends_and_the_money_comes_back(status: str) -> None:
    world = make_market()
    world.watches_clocks = True
    job_hash = world.submit(behaviour=Behaviour(run_ns=20 * SECOND), duration_limit_ns=60 * SECOND)
    wait_leased(world, job_hash)
    hold(world, 1, status)
    run_until_ended(world, job_hash, START_NS / SECOND + 3000)
    world.run_until(
        lambda: world.ledger.free[world.payer] + sum(world.ledger.paid.values()) == world.ledger.deposited, 3000
    )
    world.run_for(1)


# ------------------------------------------------------------------------------------------------------ our absence


def test_our_own_absence_is_in_no_clock_of_theirs() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(pull_ns=1700 * SECOND))
    wait_leased(world, job_hash)
    world.run_for(20)
    due_ns = lease_of(world).due_at_ns
    world.suspend(0, 1500)
    world.run_for(1510)
    assert lease_of(world).due_at_ns - due_ns >= 1490 * SECOND
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_job_that_takes_its_whole_time_is_late_for_nobody() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=3600 * SECOND), duration_limit_ns=1800 * SECOND)
    world.run_until_settled(10_000)
    assert world.job(job_hash).end_reason == "time_limit"


# ----------------------------------------------------------------------------------------------------------- stalls


def stall_opens(world: World, *numbers: int) -> None:
    """These quote, and never answer to a lease."""
    for number in numbers:
        never: Handler = _make_never(world)
        world.network.stations[address_of(number)].methods[message.LEASE_OPEN] = never


def _make_never(world: World) -> Handler:
    async def never(_caller: Address, _body: bytes) -> bytes:
        await world.clockwork.sleep(100_000 * SECOND)
        return b""

    return never


def test_a_provider_that_stalls_costs_a_job_with_other_quotes_few_seconds() -> None:
    world = make_market(providers=3)
    stall_opens(world, 1, 2)
    job_hash = world.submit()
    begun_ns = world.clockwork.now_ns
    world.run_until(lambda: bool(world.guard.starts), 60)
    assert set(world.guard.starts.values()) == {address_of(3)}
    assert world.clockwork.now_ns - begun_ns <= 2 * (HASTY_WAIT_NS + 2 * SECOND) + 5 * SECOND
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_job_does_not_die_by_stallers_while_another_fits() -> None:
    world = make_market(providers=9)
    stall_opens(world, *range(1, 9))
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert job.end_reason == "completed" and set(world.guard.starts.values()) == {address_of(9)}


def test_a_staller_that_signed_after_all_runs_nothing_that_is_paid_twice() -> None:
    world = make_market(providers=2)
    slow = world.network.stations[address_of(1)].methods
    real = slow[message.LEASE_OPEN]

    async def late(caller: Address, body: bytes) -> bytes:
        answer = await real(caller, body)
        await world.clockwork.sleep(30 * SECOND)
        return answer

    slow[message.LEASE_OPEN] = late
    jobs = [world.submit(behaviour=Behaviour(run_ns=30 * SECOND)) for _ in range(4)]
    world.run_until_settled()
    assert {world.job(job).end_reason for job in jobs} == {"completed"}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_breaks_no_job_ever_waits_without_a_clock(seed: int) -> None:
    world = make_market(seed, providers=3)
    world.watches_clocks = True
    world.network.loss, world.network.duplicates = 10, 10
    jobs = [world.submit(behaviour=Behaviour(run_ns=20 * SECOND), duration_limit_ns=60 * SECOND) for _ in range(3)]
    for _ in range(6):
        number = world.entropy.randrange(4)
        if world.entropy.randrange(2):
            world.machines[number].crash()
        else:
            world.pause(number, world.entropy.uniform(1, 60))
        world.run_for(world.entropy.uniform(1, 20))
    stall_opens(world, world.entropy.randint(1, 3))
    world.network.loss = 0
    world.run_until_settled(20_000)
    assert all(world.job(job).end_reason for job in jobs)
