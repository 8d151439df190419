"""Control methods that hand out signed documents: receipts, and all that an auditor or a report of a fault needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

import msgspec

from metering.codec import encode
from metering.evidence import LeaseEvidence
from metering.receipt import SignedReceipt
from xnode.console.console import Console
from xnode.console.job import JobParams, find_escrow, find_job, find_lease
from xnode.console.job_maker import find_lease_id
from xnode.console.method import NoParams, control_method
from xnode.control.views import Document, ReceiptRow
from xnode.errors import ExitCode, UserError
from xnode.node.records import ProviderLease, SubmitterEscrow, SubmitterLease
from xnode.text.hex import to_hex


class LeaseParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """lease_id: of a lease that this node serves, or any beginning of it that no other lease has."""

    lease_id: str


@control_method("job.receipts")
async def receipts(console: Console, params: JobParams) -> AsyncIterator[ReceiptRow]:
    """Every receipt that we accepted, with its signature."""
    job = await find_job(console, params.job_id)
    lease = await find_lease(console, job)
    if lease is None:
        return
    escrow = await find_escrow(console, lease)
    for one in await console.evidence.read_accepted(lease, job.job.network_bytes):
        yield console.presenter.receipt(one, lease, is_vouchered(one, escrow))


@control_method("job.evidence")
async def job_evidence(console: Console, params: JobParams) -> AsyncIterator[Document]:
    """The documents of a job's leases, and of the others on their escrows, for an auditor."""
    job = await find_job(console, params.job_id)
    lease_ids = {one for one in (job.lease_id, *(one for one, _ in job.failed)) if one is not None}
    leases = await console.journal.read_some(SubmitterLease, lease_ids)
    for escrow_id in sorted({one.terms.escrow_id for one in leases}):
        for evidence in await console.evidence.make_paid(escrow_id):
            for document in show_documents(evidence):
                yield document


@control_method("provider.evidence")
async def provider_evidence(console: Console, params: LeaseParams) -> AsyncIterator[Document]:
    """The documents of a lease that this node serves, and of the other leases on its escrow, for an auditor."""
    lease_id = await find_lease_id(params.lease_id, partial(console.journal.find_keys, ProviderLease))
    lease = await console.journal.read_record(ProviderLease, lease_id)
    if lease is None:
        raise UserError(f"lease {params.lease_id[:70]} was not found", code=ExitCode.NOT_FOUND)
    for evidence in await console.evidence.make_earned(lease.terms.escrow_id):
        for document in show_documents(evidence):
            yield document


@control_method("provider.documents")
async def provider_documents(console: Console, _params: NoParams) -> AsyncIterator[Document]:
    """What other providers signed in challenges and should not have, kept for a report."""
    console.require_provider()
    assert console.capacity_documents is not None
    async for kind, data in console.capacity_documents.read_all():
        yield Document(kind, to_hex(data))


@control_method("offer.contradictions")
async def contradictions(console: Console, _params: NoParams) -> list[Document]:
    """The documents of every two different offers that a node signed under one number and that reached us."""
    proofs = console.market.book.offers.proofs
    documents = [one for proof in proofs for one in console.evidence.make_contradiction(proof)]
    return [Document(one.kind, to_hex(encode(one))) for one in documents]


def show_documents(evidence: LeaseEvidence) -> Iterator[Document]:
    """Each document of a lease, the lease's own first."""
    for one in (evidence.document, *evidence.receipts, *evidence.vouchers, *evidence.ahead):
        yield Document(type(one).__name__, to_hex(encode(one)), to_hex(evidence.lease_id))


def is_vouchered(signed: SignedReceipt, escrow: SubmitterEscrow | None) -> bool:
    """True when the escrow's voucher covers the receipt: by the lease's line, or as one of the leases folded before it."""
    if escrow is None:
        return False
    receipt = signed.receipt
    line = next((one for one in escrow.lines if one.lease_id == receipt.lease_id), None)
    return line.cost >= receipt.cost if line else escrow.folded > 0
