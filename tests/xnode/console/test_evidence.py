"""What nodes can show of the leases of a whole market holds before an auditor, from either side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from metering.audit import audit_evidence
from metering.codec import decode
from metering.eip712 import Domain
from metering.evidence import LeaseEvidence
from metering.units import NANOS_PER_SECOND, ZERO, Address, Hash32
from metering.voucher import SignedVoucher
from tests.make.values import DOMAIN
from tests.sim.containers import Behaviour
from tests.sim.disk import Disk
from tests.sim.world import World, make_default_market, make_market
from xnode.console.evidence import EvidenceMaker
from xnode.errors import UserError
from xnode.node.changes import Entry
from xnode.node.records import Record, SubmitterJob
from xnode.node.state import kind_of
from xnode.store.journal import find_subject

SECOND = NANOS_PER_SECOND


@dataclass(frozen=True)
class DiskJournal:
    """Reads a simulated disk as xnode.store.journal reads its database."""

    disk: Disk

    async def read_entries(self, subject: bytes, kinds: tuple[str, ...], limit: int) -> tuple[Entry, ...]:
        entries = (decode(data, Entry) for _, data in self.disk.entries)
        found = [one for one in entries if find_subject(one) == subject and type(one.change).__name__ in kinds]
        return tuple(found[:limit])

    async def read_record(self, record_type: type[Record], key: bytes) -> Record | None:
        data, _ = self.disk.records.get((kind_of(record_type), key), (None, False))
        return decode(data, Record) if data is not None else None  # type: ignore[arg-type]

    async def read_some(self, record_type: type[Record], keys: Iterable[bytes]) -> tuple[Record, ...]:
        found = [await self.read_record(record_type, key) for key in keys]
        return tuple(one for one in found if one is not None)

    async def read_about(self, record_type: type[Any], escrow_id: Hash32) -> tuple[Any, ...]:
        wanted = kind_of(record_type)
        found = [decode(data, Record) for (kind, _), (data, _) in self.disk.records.items() if kind == wanted]  # type: ignore[arg-type, var-annotated]
        return tuple(one for one in found if one.terms.escrow_id == escrow_id)


def make_maker(world: World, number: int) -> EvidenceMaker:
    machine = world.machines[number]
    return EvidenceMaker(DiskJournal(machine.disk), machine.signer, DOMAIN)  # type: ignore[arg-type]


async def make_both(world: World) -> tuple[list[LeaseEvidence], list[LeaseEvidence]]:
    """The submitter's and the provider's documents of all their leases."""
    (escrow_id,) = world.ledger.escrows
    return await make_maker(world, 0).make_paid(escrow_id), await make_maker(world, 1).make_earned(escrow_id)


def check_all(world: World, documents: list[LeaseEvidence]) -> dict[Hash32, int]:
    """The cost that vouchers cover, by lease; everything must hold and be paid."""
    audit = audit_evidence(documents)
    assert audit.refusal is None, audit.refusal
    assert sum(tally.covered for tally in audit.tallies) == world.paid_to(1) > 0
    return {tally.lease_id: tally.covered for tally in audit.tallies}


async def test_both_sides_of_several_jobs_on_one_escrow_hold_and_agree() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=30 * SECOND))
    world.submit(behaviour=Behaviour(run_ns=12 * SECOND))
    world.run_until_settled()
    world.submit(behaviour=Behaviour(run_ns=20 * SECOND))
    world.run_until_settled()
    paid, earned = await make_both(world)
    assert check_all(world, paid) == check_all(world, earned)
    assert len(paid) == 3
    for ours, theirs in zip(paid, earned, strict=True):
        assert ours.document == theirs.document
        assert ours.receipts == theirs.receipts
    assert earned[-1].vouchers[-1].signed == paid[-1].vouchers[-1].signed


async def test_documents_of_a_running_job_hold_too() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=60 * SECOND))
    world.run_for(27)
    for documents in await make_both(world):
        assert audit_evidence(documents).refusal is None
        assert len(documents[0].receipts) >= 3 and documents[0].vouchers
    world.run_until_settled()


async def test_what_a_prepaid_lease_was_paid_while_its_submitter_slept_holds() -> None:
    world = make_default_market(3)
    world.run_for(5)
    world.submit(behaviour=Behaviour(run_ns=300 * SECOND), prepay_ns=1800 * SECOND, duration_limit_ns=3600 * SECOND)
    world.wait_running()
    world.run_for(20)
    world.pause(0, 900)
    world.run_until(lambda: world.paid_to(1) > 0, 900)
    (escrow_id,) = world.ledger.escrows
    claimed = world.paid_to(1)
    for number in (0, 1):
        maker = make_maker(world, number)
        documents = await (maker.make_earned if number else maker.make_paid)(escrow_id)
        audit = audit_evidence(documents)
        assert audit.refusal is None, audit.refusal
        (tally,) = audit.tallies
        assert tally.covered + tally.ahead >= claimed > tally.covered, "more was claimed than any receipt shows"
        low = msgspec.structs.replace(documents[0].ahead[0].signed.voucher, cumulative=ZERO)
        signed = SignedVoucher(low, world.machines[0].signer.sign("Voucher", low))
        forged = msgspec.structs.replace(documents[0].ahead[0], signed=signed)
        refusal = audit_evidence([msgspec.structs.replace(documents[0], ahead=(forged,))]).refusal
        assert refusal is not None and refusal.code == "voucher_ahead"
    world.run_for(60)
    (lease,) = world.leases(1)
    assert lease.status == "settled", "what follows is asked after the escrow's record has folded the lease away"
    later = await make_maker(world, 1).make_earned(escrow_id)
    assert audit_evidence(later).refusal is None
    assert max(one.signed.voucher.cumulative for one in later[0].ahead) == claimed
    world.run_until_settled(8000)
    assert {job.end_reason for job in world.machines[0].loop.state.all(SubmitterJob)} == {"completed"}  # type: ignore[union-attr]


async def test_no_document_of_a_lease_is_signed_for_other_contracts_than_its_own() -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=12 * SECOND))
    world.run_until_settled()
    (escrow_id,) = world.ledger.escrows
    elsewhere = Domain(DOMAIN.chain_id, Address(b"\xcd" * 20))
    submitter, provider = (replace(make_maker(world, number), domain=elsewhere) for number in (0, 1))
    for make in (submitter.make_paid, provider.make_earned):
        with pytest.raises(UserError, match="other contracts"):
            await make(escrow_id)


@pytest.mark.parametrize("seed", range(5))
async def test_documents_hold_when_messages_get_lost_and_nodes_fall(seed: int) -> None:
    world = make_market(seed)
    world.network.loss, world.network.duplicates = 15, 15
    for _ in range(2):
        world.submit(behaviour=Behaviour(run_ns=25 * SECOND))
    world.run_for(9)
    world.machines[1].crash()
    world.run_for(7)
    world.machines[0].crash()
    world.run_until_settled()
    for documents in await make_both(world):
        check_all(world, documents)
