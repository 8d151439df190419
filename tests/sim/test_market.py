"""A whole market: what happens to jobs, and that both sides come out of it with their money and a reason."""

from __future__ import annotations

import pytest

from metering.units import NANOS_PER_SECOND, Address
from scheduler.job import Blob, OutputFile
from tests.factories import TOKEN, address_of
from tests.sim.containers import Behaviour
from tests.sim.world import OWNER, World
from xnode.node import message
from xnode.node.records import HeldQuote, ProviderLease, SubmitterLease

SECOND = NANOS_PER_SECOND


def make_world(seed: int = 0, providers: int = 1, deposit: int = 100 * TOKEN, **provider: object) -> World:
    """A submitter and some providers whose offers are known."""
    world = World(seed, deposit)
    for number in range(1, providers + 1):
        world.add_provider(number, **provider)
    world.add_submitter()
    world.run_for(1)
    return world


def paid_to(world: World, number: int) -> int:
    return world.ledger.paid.get(address_of(OWNER + number), 0)


def wait_running(world: World, number: int = 1) -> ProviderLease:
    world.run_until(lambda: any(one.status == "running" for one in world.leases(number)), 60)
    return next(one for one in world.leases(number) if one.status == "running")


def test_a_paid_job_runs_and_everything_settles() -> None:
    world = make_world()
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert (job.status, job.end_reason, job.exit_code) == ("done", "completed", 0)
    assert [one.path for one in job.outputs] == ["result.txt"]
    assert paid_to(world, 1) > 0


def test_two_jobs_at_once_share_one_escrow() -> None:
    world = make_world()
    first, second = world.submit(), world.submit(behaviour=Behaviour(run_ns=40 * SECOND))
    world.run_until_settled()
    assert {world.job(first).status, world.job(second).status} == {"done"}
    assert len(world.ledger.escrows) == 1


def test_a_second_job_draws_on_the_same_escrow_after_the_first_is_settled() -> None:
    world = make_world()
    for _ in range(3):
        world.submit()
        world.run_until_settled()
    assert len(world.ledger.escrows) == 1
    assert len(world.guard.starts) == 3


@pytest.mark.parametrize("allowed", [10**9, 10**6])
def test_network_bytes_are_paid_up_to_what_the_job_allows(allowed: int) -> None:
    world = make_world(allows_network=True)
    sends = Behaviour(run_ns=20 * SECOND, egress_per_second=10**6)
    world.submit(behaviour=sends, network=True, network_bytes=allowed)
    world.run_until_settled()
    receipt = next(iter(world.guard.receipts.values()))
    assert receipt.usage.egress_bytes == min(allowed, 20 * 10**6)
    assert paid_to(world, 1) == receipt.cost


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
    world = make_world()
    job_hash = world.submit(behaviour=behaviour, duration_limit_ns=60 * SECOND)
    world.run_until_settled()
    assert world.job(job_hash).end_reason == reason
    assert {one.end_reason for one in (*world.leases(0), *world.leases(1))} == {reason}
    never_ran = reason in ("image_failed", "launch_failed")
    assert (paid_to(world, 1) == 0) == never_ran


@pytest.mark.parametrize("after_s", [0.03, 0.12, 0.3, 1.2, 8, 24.9])
def test_a_job_can_be_stopped_wherever_it_is(after_s: float) -> None:
    world = make_world()
    job_hash = world.submit()
    world.run_for(after_s)
    world.stop(job_hash)
    world.run_until_settled()
    assert world.job(job_hash).end_reason in ("stopped_by_submitter", "completed")
    assert after_s > 24 or world.job(job_hash).end_reason == "stopped_by_submitter", world.describe()


def test_a_stop_waits_for_the_answer_to_the_lease() -> None:
    world = make_world()
    world.chain.is_down = True
    world.submit()
    world.run_for(0.5)
    world.chain.is_down = False
    world.run_until(lambda: bool(world.leases(0)), 60)
    world.stop(world.job(next(iter(world.machines[0].loop.state.all(SubmitterLease))).job_hash).job_hash)  # type: ignore[union-attr]
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "stopped_by_submitter"


def test_too_small_a_balance_is_named_before_anything_is_signed() -> None:
    world = make_world(deposit=TOKEN // 1000)
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    limit = int(next(pair[1] for entry in job.timeline for pair in entry.facts if pair[0] == "cost_limit"))
    assert job.end_reason == "escrow_too_small"
    assert f"{limit - TOKEN // 1000} are missing" in job.end_detail
    assert not world.guard.opened


def test_a_balance_that_shrank_meanwhile_is_refused_before_launch_with_what_is_missing() -> None:
    world = make_world()
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
    world = make_world()
    world.chain.holds_openings = True
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = wait_running(world)
    world.run_until(lambda: not any(one.status == "running" for one in world.leases(1)), 60)
    served = world.machines[1].containers.served(lease.lease_id)
    assert served.running_ns <= 2 * lease.terms.interval_ns + SECOND
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "escrow_unconfirmed"
    assert paid_to(world, 1) == 0


def test_an_opening_that_confirms_late_is_never_left_behind() -> None:
    world = make_world()
    world.chain.holds_openings = True
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    wait_running(world)
    world.run_for(60)
    world.machines[1].die()
    world.run_for(50)
    world.chain.holds_openings = False
    world.run_until_settled()


def test_an_opening_that_arrives_after_we_had_looked_is_taken_back_too() -> None:
    world = make_world()
    world.chain.holds_openings = True
    job_hash = world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    wait_running(world)
    world.machines[1].die()
    world.run_until(lambda: world.job(job_hash).end_reason == "provider_lost", 100)
    world.run_for(10)
    assert not any(funds.deposited for funds in world.ledger.escrows.values())
    world.chain.holds_openings = False
    world.run_for(5)
    assert any(funds.deposited for funds in world.ledger.escrows.values())
    world.run_until_settled()


def test_a_provider_that_fetches_for_long_is_not_lost() -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(pull_ns=300 * SECOND))
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_no_lease_is_closed_because_the_chain_is_away_for_a_minute() -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(run_ns=90 * SECOND))
    lease = wait_running(world)
    world.run_until(lambda: any(one.funded for one in world.leases(1)), 30)
    world.chain.is_down = True
    world.run_for(60)
    assert world.leases(1)[0].status == "running"
    world.chain.is_down = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.receipts[lease.lease_id].running_ns == 90 * SECOND


def test_a_provider_stops_when_nobody_signs_and_claims_what_is_vouchered() -> None:
    world = make_world()
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = wait_running(world)
    world.run_for(21)
    world.network.blocks = lambda source, target, method, is_answer: method == message.RECEIPTS_PUSH
    stopped_signing_ns = world.clockwork.now_ns
    world.run_until(lambda: not any(one.status == "running" for one in world.leases(1)), 60)
    assert world.clockwork.now_ns - stopped_signing_ns <= 2 * lease.terms.interval_ns + SECOND
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "unpaid"
    assert paid_to(world, 1) == world.guard.vouchered[lease.terms.escrow_id] > 0


def test_a_provider_that_dies_for_good_costs_no_more_than_the_last_voucher() -> None:
    world = make_world(providers=3)
    job_hash = world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    world.run_until(lambda: bool(world.guard.starts), 60)
    number = next(n for n in (1, 2, 3) if world.leases(n))
    world.run_for(32)
    world.machines[number].die()
    vouchered = sum(world.guard.vouchered.values())
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "provider_lost"
    assert sum(world.guard.vouchered.values()) == vouchered
    assert sum(world.ledger.free.values()) == world.ledger.deposited


@pytest.mark.parametrize("after_s", [1.1, 25.2, 27.0, 28.0, 29.5])
def test_a_job_ends_whenever_its_provider_dies(after_s: float) -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(run_ns=25 * SECOND))
    world.run_for(after_s)
    world.machines[1].die()
    world.run_until_settled(6000)
    assert world.job(job_hash).end_reason


def test_refusals_lead_to_the_next_provider() -> None:
    world = make_world(providers=3)
    for number in (1, 2):
        world.network.stations[address_of(number)].methods[message.LEASE_OPEN] = refuse
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.starts.popitem()[1] == address_of(3)


async def refuse(_caller: Address, _body: bytes) -> bytes:
    from metering.codec import encode
    from metering.refusal import Refusal
    from xnode.ports import RpcRefused

    raise RpcRefused(encode(Refusal("draining", "no new jobs")))


@pytest.mark.parametrize("lost", [1, 2, 5, 1000])
def test_a_lost_answer_to_the_lease_loses_no_money(lost: int) -> None:
    world = make_world(providers=2)
    left = lost

    def blocks(source: Address, target: Address, method: str, is_answer: bool) -> bool:
        nonlocal left
        if method == message.LEASE_OPEN and is_answer and left:
            left -= 1
            return True
        return False

    world.network.blocks = blocks
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_provider_claims_at_once_when_the_payer_takes_the_escrow_back() -> None:
    world = make_world()
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = wait_running(world)
    world.run_for(18)
    world.ledger.start_thaw(world.chain.now_s, world.payer, lease.escrow)
    world.run_for(25)
    funds = world.ledger.escrows[lease.terms.escrow_id]
    assert funds.claimed == world.guard.vouchered[lease.terms.escrow_id] > 0
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "thaw_started"


@pytest.mark.parametrize(
    "path", ["../key", "/etc/passwd", "a/../../b", "a//b", ".", "", "a\0b", "a\nb", "x" * 300, "a/./b"]
)
def test_outputs_that_lead_elsewhere_are_refused(path: str) -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(outputs=(OutputFile(path, Blob(bytes(32), 1)),)))  # type: ignore[arg-type]
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "outputs_refused"
    assert world.job(job_hash).outputs == ()


def test_outputs_that_would_lie_on_each_other_are_refused() -> None:
    twice = (OutputFile("a", Blob(bytes(32), 1)), OutputFile("a", Blob(bytes(32), 1)))  # type: ignore[arg-type]
    inside = (OutputFile("a", Blob(bytes(32), 1)), OutputFile("a/b", Blob(bytes(32), 1)))  # type: ignore[arg-type]
    for outputs in (twice, inside):
        world = make_world()
        job_hash = world.submit(behaviour=Behaviour(outputs=outputs))
        world.run_until_settled()
        assert world.job(job_hash).end_reason == "outputs_refused"


def test_a_restart_of_the_provider_kills_no_paid_work() -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    wait_running(world)
    world.run_for(12)
    world.machines[1].faults.down_ns = 25 * SECOND
    world.machines[1].crash()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert sum(world.ledger.paid.values()) == int(next(iter(world.guard.receipts.values())).cost)


def test_a_provider_that_was_away_when_the_work_ended_is_still_paid_for_it() -> None:
    world = make_world()
    world.submit(behaviour=Behaviour(run_ns=25 * SECOND))
    wait_running(world)
    world.run_until(lambda: any(one.status == "ending" for one in world.leases(1)), 60)
    world.machines[1].faults.down_ns = 70 * SECOND
    world.machines[0].faults.down_ns = 72 * SECOND
    world.machines[0].crash()
    world.machines[1].crash()
    world.run_until_settled()
    assert sum(world.ledger.paid.values()) == int(next(iter(world.guard.receipts.values())).cost)


def test_a_stranger_holds_only_so_many_quotes() -> None:
    world = make_world()
    world.add_submitter(7)
    for _ in range(40):
        world.submit(7)
    world.run_for(1)
    held = list(world.machines[1].loop.state.all(HeldQuote))  # type: ignore[union-attr]
    assert len(held) <= 16
    world.run_until_settled()


def test_a_submitter_whose_disk_is_full_for_a_while_loses_no_lease() -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(run_ns=40 * SECOND))
    wait_running(world)
    world.run_for(4)
    world.machines[0].disk.is_full = True
    world.run_for(2)
    world.machines[0].disk.is_full = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_busy_answer_is_not_a_no() -> None:
    world = make_world(interval_ns=20 * SECOND)
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    wait_running(world)
    world.run_for(18)
    world.machines[0].disk.is_full = True
    world.run_for(15)
    world.machines[0].disk.is_full = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_one_bad_quote_does_not_stop_the_node() -> None:
    world = make_world(providers=2)
    machine = world.machines[1]
    honest = machine.signer
    from tests.factories import make_key
    from tests.sim.machine import KeySigner

    class Forger(KeySigner):
        def sign(self, type_name: str, value: object) -> bytes:
            return bytes(65) if type_name == "Quote" else super().sign(type_name, value)

    machine.crash()
    machine.signer = Forger(make_key(1), honest.separator, honest.check)
    world.run_for(10)
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.starts.popitem()[1] == address_of(2)
