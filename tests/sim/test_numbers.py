"""Numbers: no honest node signs two different things under one, whatever it forgets. Every signature of every history in
these tests goes to a witness (Guard.on_sign), which raises for what FaultProver would slash."""

from __future__ import annotations

import random

import pytest

import metering.receipt
import xnode.node.provider.quote
from metering.codec import encode
from metering.units import NANOS_PER_SECOND
from tests.make.values import TOKEN, address_of, make_job, make_tariff
from tests.sim.containers import Behaviour
from tests.sim.world import World, make_market
from xnode.node.changes import PricesSet
from xnode.node.message import QUOTE_REQUEST, QuoteAsk

SECOND = NANOS_PER_SECOND


def ask_quotes(world: World, count: int) -> None:
    """A stranger asks for quotes, which the provider signs."""
    provider = world.machines[1]
    world.ledger.caps[world.payer, address_of(77)] = 1000 * TOKEN
    for _ in range(count):
        job = make_job(submitter=address_of(77), nonce=world.entropy.randbytes(16))
        provider.tell(PricesSet(make_tariff(vcpu_hour=world.entropy.randint(1, 10**17))))
        station = world.network.stations[provider.address]
        asked = encode(QuoteAsk(job, world.payer))
        provider.spawn(station.methods[QUOTE_REQUEST](address_of(77), asked))  # type: ignore[arg-type]
        world.run_for(0.1)


def run_with_old_backup(seed: int) -> World:
    """A provider serves a job and gives quotes, and comes back with a disk as it was some seconds to a minute before."""
    world = make_market(seed)
    entropy = random.Random(seed)
    world.submit(behaviour=Behaviour(run_ns=120 * SECOND))
    world.wait_running()
    world.run_for(entropy.uniform(0, 20))
    backup = world.machines[1].disk.make_backup()
    ask_quotes(world, 3)
    world.run_for(entropy.uniform(0, 60))
    world.machines[1].faults.down_ns = entropy.randint(0, 10 * SECOND)
    world.machines[1].restore(backup)
    world.run_for(11)
    ask_quotes(world, 3)
    return world


@pytest.mark.parametrize("seed", range(20))
def test_a_provider_restored_from_an_old_backup_signs_nothing_that_could_be_slashed(seed: int) -> None:
    world = run_with_old_backup(seed)
    before = world.guard.signatures
    world.run_until_settled()
    assert world.guard.signatures > before
    lease = next(one for one in world.leases(0) if one.lease_id)
    assert lease.end_reason == "completed", "the submitter has lost nothing, and need not even notice"
    assert world.paid_to(1) == lease.last.cost


@pytest.mark.parametrize("module", [metering.receipt, xnode.node.provider.quote])
def test_numbers_that_only_count_are_given_twice_after_an_old_backup(
    module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "next_number", lambda last, passed_ns: last + 1)
    with pytest.raises(AssertionError, match="two different documents"):
        for seed in range(20):
            run_with_old_backup(seed).run_until_settled()
