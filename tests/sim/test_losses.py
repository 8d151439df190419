"""Losses: parties that fall silent, die, refuse or cheat, and answers that never arrive; money and jobs find their end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.units import NANOS_PER_SECOND, Address
from scheduler.job import Blob
from scheduler.outputs import FileEntry
from tests.make.values import address_of
from tests.sim.containers import Behaviour
from tests.sim.machine import KeySigner
from tests.sim.world import World, make_default_market, make_market
from xnode.node import message
from xnode.node.records import HeldQuote, SubmitterEscrow

SECOND = NANOS_PER_SECOND


def test_a_provider_that_gets_no_vouchers_stops_and_claims_what_is_vouchered() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = world.wait_running()
    world.run_for(21)
    world.network.blocks = lambda source, target, method, is_answer: method == message.RECEIPTS_PUSH
    stopped_signing_ns = world.clockwork.now_ns
    world.run_until(lambda: not any(one.status == "running" for one in world.leases(1)), 60)
    assert world.clockwork.now_ns - stopped_signing_ns <= 2 * lease.terms.interval_ns + SECOND
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "unpaid"
    assert world.paid_to(1) == world.guard.vouchered[lease.terms.escrow_id] > 0


def test_a_provider_that_dies_for_good_costs_no_more_than_the_last_voucher() -> None:
    world = make_market(providers=3)
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
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=25 * SECOND))
    world.run_for(after_s)
    world.machines[1].die()
    world.run_until_settled(6000)
    assert world.job(job_hash).end_reason


def test_refusals_lead_to_the_next_provider() -> None:
    world = make_market(providers=3)
    for number in (1, 2):
        world.network.stations[address_of(number)].methods[message.LEASE_OPEN] = refuse
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.starts.popitem()[1] == address_of(3)


async def refuse(_caller: Address, _body: bytes) -> bytes:
    from metering.codec import encode
    from metering.refusal import Refusal
    from xnode.ports.net import RpcRefused

    raise RpcRefused(encode(Refusal("draining", "no new jobs")))


@pytest.mark.parametrize("lost", [1, 2, 5, 1000])
def test_a_lost_answer_to_the_lease_loses_no_money(lost: int) -> None:
    world = make_market(providers=2)
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
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), duration_limit_ns=600 * SECOND)
    lease = world.wait_running()
    world.run_for(18)
    world.ledger.start_thaw(world.chain.now_s, world.payer, lease.escrow)
    world.run_for(25)
    funds = world.ledger.escrows[lease.terms.escrow_id]
    assert funds.claimed == world.guard.vouchered[lease.terms.escrow_id] > 0
    world.run_until_settled()
    assert world.leases(1)[0].end_reason == "thaw_started"


GOOD = FileEntry(b"good", Blob(bytes(32), 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["../key", "/etc/passwd", "a/../../b", "a//b", ".", "", "a\0b", "x" * 300, "a/./b"])
def test_an_output_that_leads_elsewhere_is_left_out_alone(path: str) -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(outputs=(GOOD, replace(GOOD, path=path.encode()))))
    world.run_until_settled()
    job = world.job(job_hash)
    assert job.status == "done" and job.here is not None
    assert (job.here.entries, job.here.left_out, [one.path for one in job.here.first]) == (1, 1, [path.encode()])


@pytest.mark.parametrize("path", [b"good", b"good/b"])
def test_an_output_that_would_lie_on_another_is_left_out_alone(path: bytes) -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(outputs=(GOOD, replace(GOOD, path=path))))
    world.run_until_settled()
    job = world.job(job_hash)
    assert job.status == "done" and job.here is not None
    assert (job.here.entries, job.here.left_out, [one.path for one in job.here.first]) == (1, 1, [path])


@pytest.mark.parametrize("only, status", [(("a/*",), "half-fetched"), (("g*",), "done")])
def test_what_is_left_out_against_the_jobs_own_patterns_makes_it_half_fetched(
    only: tuple[str, ...], status: str
) -> None:
    world = make_market()
    job_hash = world.submit(
        behaviour=Behaviour(outputs=(GOOD, replace(GOOD, path=b"a/../b"))), only=only, into="/results"
    )
    world.run_until_settled()
    job = world.job(job_hash)
    assert (job.status, job.into, job.here.folder if job.here else "") == (status, "/results", "/results")


def test_a_restart_of_the_provider_kills_no_paid_work() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.wait_running()
    world.run_for(12)
    world.machines[1].faults.down_ns = 25 * SECOND
    world.machines[1].crash()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert sum(world.ledger.paid.values()) == int(next(iter(world.guard.receipts.values())).cost)


def test_a_provider_that_was_away_when_the_work_ended_is_still_paid_for_it() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=25 * SECOND))
    world.wait_running()
    world.run_until(lambda: any(one.status == "ending" for one in world.leases(1)), 60)
    world.machines[1].faults.down_ns = 70 * SECOND
    world.machines[0].faults.down_ns = 72 * SECOND
    world.machines[0].crash()
    world.machines[1].crash()
    world.run_until_settled()
    assert sum(world.ledger.paid.values()) == int(next(iter(world.guard.receipts.values())).cost)


def test_a_submitter_that_comes_back_before_the_claim_pays_what_it_missed_and_no_more() -> None:
    """The last wait for one lease is over long before the escrow's other lease ends, and the claim comes with that."""
    world = make_default_market(3)
    world.run_for(5)
    short = world.submit(behaviour=Behaviour(run_ns=60 * SECOND), duration_limit_ns=600 * SECOND)
    world.submit(behaviour=Behaviour(run_ns=500 * SECOND), prepay_ns=1800 * SECOND, duration_limit_ns=3600 * SECOND)
    world.run_until(lambda: sum(one.status == "running" for one in world.leases(1)) == 2, 60)
    world.run_for(45)
    world.network.blocks = lambda source, target, method, is_answer: True
    world.pause(0, 200)
    world.run_for(200)
    world.network.blocks = lambda source, target, method, is_answer: False
    world.run_until_settled(8000)
    assert world.job(short).end_reason == "completed"
    assert len(world.ledger.escrows) == 1
    assert world.paid_to(1) == sum(int(one.cost) for one in world.guard.receipts.values())


def test_a_provider_that_is_back_after_it_was_given_up_gets_what_was_signed_for() -> None:
    world = make_market(interval_ns=20 * SECOND)
    job_hash = world.submit(behaviour=Behaviour(run_ns=120 * SECOND), duration_limit_ns=600 * SECOND)
    world.wait_running()
    world.run_for(50)
    world.pause(1, 65)
    world.run_until(lambda: world.job(job_hash).status == "failed", 120)
    assert world.job(job_hash).end_reason == "provider_lost"
    vouchered = sum(world.guard.vouchered.values())
    world.run_until_settled(8000)
    assert sum(world.guard.vouchered.values()) == vouchered == world.paid_to(1)


def test_a_stranger_holds_only_so_many_quotes() -> None:
    world = make_market()
    world.add_submitter(7)
    for _ in range(40):
        world.submit(7)
    world.run_for(1)
    held = list(world.machines[1].loop.state.all(HeldQuote))  # type: ignore[union-attr]
    assert len(held) <= 16
    world.run_until_settled()


def test_a_submitter_whose_disk_is_full_for_a_while_loses_no_lease() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=40 * SECOND))
    world.wait_running()
    world.run_for(4)
    world.machines[0].disk.is_full = True
    world.run_for(2)
    world.machines[0].disk.is_full = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_a_busy_answer_is_not_a_no() -> None:
    world = make_market(interval_ns=20 * SECOND)
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.wait_running()
    world.run_for(18)
    world.machines[0].disk.is_full = True
    world.run_for(15)
    world.machines[0].disk.is_full = False
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


class Forger(KeySigner):
    """Signs no quote as it should be."""

    def sign(self, type_name: str, value: object) -> bytes:
        return bytes(65) if type_name == "Quote" else KeySigner.sign(self, type_name, value)


def make_forger(world: World, number: int) -> None:
    machine = world.machines[number]
    machine.crash()
    machine.signer = Forger(machine.signer.key, machine.signer.separator, machine.signer.check)
    world.run_for(10)


def test_one_bad_quote_does_not_stop_the_node() -> None:
    world = make_market(providers=2)
    make_forger(world, 1)
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert world.guard.starts.popitem()[1] == address_of(2)


def test_a_job_with_only_bad_quotes_ends_with_what_is_wrong_with_them() -> None:
    world = make_market()
    make_forger(world, 1)
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert (job.status, job.end_reason) == ("failed", "no_quote")
    assert "quote_signature" in job.end_detail


def test_an_escrow_opened_for_a_lease_we_gave_up_comes_back_when_its_provider_dies() -> None:
    world = make_market()
    unheard = (message.LEASE_NEWS, message.RECEIPTS_PUSH)
    world.network.blocks = lambda source, target, method, is_answer: (
        method in unheard or (method == message.LEASE_OPEN and is_answer)
    )
    job_hash = world.submit()
    world.run_until(lambda: any(funds.deposited for funds in world.ledger.escrows.values()), 60)
    world.machines[1].die()
    world.run_until_settled()
    assert world.leases(0)[0].status == "refused"
    assert world.job(job_hash).status == "failed"


def test_a_job_ends_when_its_provider_dies_before_it_said_what_the_outputs_are() -> None:
    world = make_market()
    world.network.blocks = lambda source, target, method, is_answer: method == message.LEASE_NEWS
    job_hash = world.submit()
    world.run_until(lambda: any(one.status == "settled" for one in world.leases(0)), 120)
    world.machines[1].die()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "outputs_lost"


def test_a_lease_whose_final_receipt_never_came_settles_without_a_thaw() -> None:
    world = World()
    world.add_provider()
    world.add_submitter(silence_ns=300 * SECOND)
    world.run_for(1)
    world.network.blocks = lambda source, target, method, is_answer: method == message.RECEIPTS_PUSH
    world.submit()
    world.run_until_settled()
    loop = world.machines[0].loop
    assert loop is not None and [one.thaw_asked for one in loop.state.all(SubmitterEscrow)] == [False]


def test_a_lease_that_ends_while_its_escrow_waits_behind_a_claim_is_paid() -> None:
    world = make_market(interval_ns=30 * SECOND)
    world.submit(behaviour=Behaviour(run_ns=5 * SECOND))
    world.run_until(lambda: any(one.funded for one in world.leases(1)), 60)
    world.chain.block_ns = 25 * SECOND
    world.run_until(lambda: any(one.status == "settling" for one in world.leases(1)), 60)
    world.submit(behaviour=Behaviour(run_ns=3 * SECOND))
    world.run_until(lambda: [one.status for one in world.leases(1)] == ["settling", "settling"], 20)
    world.run_until_settled()
    assert len(world.ledger.escrows) == 1
    assert world.paid_to(1) == sum(int(receipt.cost) for receipt in world.guard.receipts.values())


def test_a_stop_while_the_provider_still_asks_the_chain_opens_nothing() -> None:
    world = make_market()
    job_hash = world.submit()
    world.run_until(lambda: bool(world.leases(0)), 60)
    world.chain.is_down = True
    world.stop(job_hash)
    world.run_for(2)
    assert world.leases(1)[0].status == "refused", "it does not even wait for its chain node"
    world.ledger.deposited -= world.ledger.free[world.payer]
    world.ledger.free[world.payer] = 0
    world.chain.is_down = False
    world.run_until_settled()
    assert world.leases(0)[0].status == "refused"
    assert world.job(job_hash).end_reason == "stopped_by_submitter"
