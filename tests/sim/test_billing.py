"""Billing: a provider that states more than it served is refused by the line that is wrong, and nothing more is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from metering.codec import decode_strict, encode
from metering.receipt import Receipt
from metering.tariff import cost_of
from metering.units import NANOS_PER_SECOND, U128, Amount
from metering.usage import USAGE_FIELDS
from tests.sim.containers import Behaviour
from tests.sim.machine import Machine
from tests.sim.world import World
from xnode.errors import Permanent
from xnode.node import effects, message
from xnode.node.records import ProviderLease, SubmitterLease

SECOND = NANOS_PER_SECOND
Lie = Callable[[Receipt, ProviderLease], Receipt]


def change(receipt: Receipt, **fields: Any) -> Receipt:
    return msgspec.structs.replace(receipt, **fields)


def with_usage(name: str, value: Callable[[int], int]) -> Lie:
    """More of one line, and the cost that goes with it."""

    def lie(receipt: Receipt, lease: ProviderLease) -> Receipt:
        usage = change(receipt.usage, **{name: U128(value(getattr(receipt.usage, name)))})  # type: ignore[arg-type]
        return change(receipt, usage=usage, cost=cost_of(usage, lease.terms.tariff))  # type: ignore[arg-type]

    return lie


def raise_cost(receipt: Receipt, _lease: ProviderLease) -> Receipt:
    return change(receipt, cost=Amount(receipt.cost + 1))


def fall_in_cost(receipt: Receipt, _lease: ProviderLease) -> Receipt:
    return change(receipt, cost=Amount(0))


def run_longer(receipt: Receipt, _lease: ProviderLease) -> Receipt:
    return change(receipt, running_ns=receipt.running_ns + 3600 * SECOND)


def go_back_in_time(receipt: Receipt, _lease: ProviderLease) -> Receipt:
    return change(receipt, at_ns=1)


def date_ahead(receipt: Receipt, _lease: ProviderLease) -> Receipt:
    return change(receipt, at_ns=receipt.at_ns + 3600 * SECOND)


LIES: list[tuple[Lie, str]] = [
    *((with_usage(name, lambda value: 10 * value + 10**30), "receipt_usage_above_limit") for name in USAGE_FIELDS),
    *((with_usage(name, lambda value: 0), "receipt_usage_fell") for name in ("vcpu_ns", "memory_byte_ns")),
    (raise_cost, "receipt_cost"),
    (fall_in_cost, "receipt_cost_fell"),
    (run_longer, "receipt_running_ns"),
    (go_back_in_time, "receipt_time_fell"),
    (date_ahead, "receipt_time"),
]


def make_liar(world: World, lie: Lie, is_changed: Callable[[Receipt], bool]) -> Machine:
    machine = world.machines[1]

    def alter(push: effects.PushReceipts) -> effects.PushReceipts:
        assert machine.loop is not None
        lease = machine.loop.state.get(ProviderLease, push.lease_id)
        assert lease is not None
        sent = tuple(lie(one, lease) if is_changed(one) else one for one in push.receipts)
        return msgspec.structs.replace(push, receipts=sent)

    machine.alter = alter
    return machine


def comes_later(receipt: Receipt) -> bool:
    """True from the second receipt on."""
    return receipt.running_ns > 7 * SECOND


def make_world() -> World:
    world = World()
    world.add_provider()
    world.add_submitter()
    world.run_for(1)
    return world


@pytest.mark.parametrize(("lie", "code"), LIES, ids=[f"{number}-{code}" for number, (_, code) in enumerate(LIES)])
def test_a_wrong_receipt_is_refused_by_its_line_and_nothing_more_is_signed(lie: Lie, code: str) -> None:
    world = make_world()
    make_liar(world, lie, comes_later)
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.run_until(lambda: any(one.end_reason == "receipt_refused" for one in world.leases(0)), 60)
    lease = next(iter(world.leases(0)))
    assert lease.refusal.code == code
    vouchered = dict(world.guard.vouchered)
    assert sum(vouchered.values()) > 0, "the first receipt was honest"
    world.run_until_settled()
    assert world.guard.vouchered == vouchered
    assert world.job(job_hash).end_reason == "receipt_refused"
    assert {one.end_reason for one in world.leases(1)} == {"receipt_refused"}


def test_a_receipt_after_the_exit_is_refused() -> None:
    world = make_world()
    machine = make_liar(world, lambda receipt, _lease: receipt, lambda _receipt: False)
    world.submit()
    world.run_until(lambda: any(one.status == "settled" for one in world.leases(0)), 120)
    lease = world.leases(1)[0]
    more = change(lease.last, number=lease.last.number + 1, final=False, cost=Amount(lease.last.cost))
    push = effects.PushReceipts(lease.lease_id, lease.terms.submitter, (), (more,), id="more", lane="more")
    task = machine.spawn(machine.perform(push))
    vouchered = dict(world.guard.vouchered)
    world.run_until(lambda: task.done.is_done, 60)
    with pytest.raises(Permanent, match="nothing more is signed"):
        task.done.result()
    assert world.guard.vouchered == vouchered


def test_receipts_of_the_lease_of_another_submitter_are_refused() -> None:
    world = make_world()
    thief = world.add_provider(2)
    thief.alter = lambda push: push
    world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.run_until(lambda: any(one.status == "running" for one in world.leases(0)), 60)
    lease = next(one for one in world.leases(0) if isinstance(one, SubmitterLease))
    holder = 1 if world.leases(1) else 2
    other = world.machines[3 - holder]
    other.alter = lambda push: push
    receipt = change(lease.last, number=lease.last.number + 1)
    push = effects.PushReceipts(lease.lease_id, lease.terms.submitter, (), (receipt,), id="theft", lane="theft")
    task = other.spawn(other.perform(push))
    world.run_until(lambda: task.done.is_done, 60)
    with pytest.raises(Permanent, match="no lease of yours"):
        task.done.result()
    world.run_until_settled()


def test_a_liar_that_goes_on_talking_keeps_no_money() -> None:
    world = make_world()
    make_liar(world, raise_cost, comes_later)
    world.network.blocks = lambda source, target, method, is_answer: method == message.LEASE_NEWS

    async def say_that_it_runs(_caller: bytes, body: bytes) -> bytes:
        lease_id = decode_strict(body, message.LeaseQuery).lease_id
        return encode(effects.LeaseReport(lease_id, "running", None, "", None, None))

    for method in (message.LEASE_ASK, message.LEASE_STOP):
        world.network.stations[world.machines[1].address].methods[method] = say_that_it_runs
    job_hash = world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.run_until(lambda: any(one.end_reason == "receipt_refused" for one in world.leases(0)), 60)
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "receipt_refused"


def test_a_provider_that_goes_on_after_our_stop_is_not_paid_for_it() -> None:
    world = make_world()
    job_hash = world.submit(behaviour=Behaviour(run_ns=600 * SECOND))
    world.run_for(10)
    world.network.stations[world.machines[1].address].methods[message.LEASE_STOP] = ignore_stop
    world.stop(job_hash)
    world.run_until(lambda: any(one.end_reason == "receipt_refused" for one in world.leases(0)), 120)
    lease = next(iter(world.leases(0)))
    assert lease.refusal.code == "receipt_running_ns"
    assert lease.stop_asked_at_ns is not None
    assert lease.last.running_ns <= lease.stop_asked_at_ns + 71 * SECOND - lease.requested_at_ns
    world.run_until_settled()


def test_a_grace_after_our_stop_is_paid_like_any_other_time() -> None:
    """However long the grace that the job itself asked for, silent as the provider is in it."""
    world = make_world()
    grace_ns = 110 * SECOND
    behaviour = Behaviour(run_ns=600 * SECOND, stop_ns=grace_ns)
    job_hash = world.submit(behaviour=behaviour, stop_grace_ns=grace_ns)
    world.run_for(15)
    world.stop(job_hash)
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "stopped_by_submitter"
    assert {one.end_reason for one in world.leases(1)} == {"stopped_by_submitter"}
    lease = next(iter(world.leases(0)))
    assert lease.last.final and lease.last.running_ns > 110 * SECOND


async def ignore_stop(_caller: object, body: bytes) -> bytes:
    """A provider that says it runs, whatever is asked of it."""
    query = decode_strict(body, message.LeaseQuery)
    return encode(effects.LeaseReport(query.lease_id, "running", None, "", None, None))
