"""Evidence: the documents of leases, from the journal and the records; see metering.evidence."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from metering.checks import check_receipts, check_voucher
from metering.eip712 import Domain
from metering.evidence import (
    CoveredVoucher,
    LeaseDocument,
    LeaseEvidence,
    NumberedDocument,
    PrepaidVoucher,
    make_numbered_document,
)
from metering.receipt import SignedReceipt, make_first
from metering.signature import is_signed_by
from metering.terms import Escrow, lease_id_of
from metering.units import ZERO, ZERO_HASH, Hash32
from metering.voucher import SignedVoucher, Voucher, fold_receipts
from scheduler.book import Equivocation
from xnode.errors import ExitCode, UserError
from xnode.node import changes
from xnode.node.changes import Change
from xnode.node.records import ProviderEscrow, ProviderLease, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.ports.wallet import Signer
from xnode.store.journal import Journal

MAX_ENTRIES = 200_000
"""Of one lease: a receipt every ten seconds for three weeks, some 60 MB."""

_UNSIGNED = ("requested", "refused")


@dataclass(frozen=True, slots=True)
class EvidenceMaker:
    """Collects documents. Our own signatures are made anew, which gives the ones that were given: the same digest always has
    the same signature."""

    journal: Journal
    signer: Signer
    domain: Domain

    def make_contradiction(self, proof: Equivocation) -> tuple[NumberedDocument, NumberedDocument]:
        """The two different offers that a node signed under one number."""
        first, second = proof.first, proof.second
        return (
            make_numbered_document(self.domain, "Offer", first.offer, first.signature),
            make_numbered_document(self.domain, "Offer", second.offer, second.signature),
        )

    async def make_paid(self, escrow_id: Hash32) -> list[LeaseEvidence]:
        """All leases on an escrow that we pay from, the last voucher with the last of them: it pays them all in one sum."""
        escrow = await self.journal.read_record(SubmitterEscrow, escrow_id)
        leases = await self.journal.read_about(SubmitterLease, escrow_id)
        jobs = await self.journal.read_some(SubmitterJob, {one.job_hash for one in leases})
        network = {one.job_hash: one.job.network_bytes for one in jobs}
        assert escrow is not None
        found = []
        for lease in leases:
            if _is_on(lease, escrow_id):
                signature = await self._find_countersignature(lease)
                document = self._make_document(lease, escrow.escrow, countersignature=signature)
                receipts = await self.read_accepted(lease, network.get(lease.job_hash, 0))
                found.append(LeaseEvidence(document, receipts, ()))
        found.sort(key=_lease_number)
        if found:
            found[-1] = replace(found[-1], vouchers=self._make_last_voucher(escrow), ahead=self._make_ahead(escrow))
        return found

    async def make_earned(self, escrow_id: Hash32) -> list[LeaseEvidence]:
        """All leases that we serve on an escrow that pays us."""
        found = []
        for lease in await self.journal.read_about(ProviderLease, escrow_id):
            if _is_on(lease, escrow_id):
                document = self._make_document(lease, lease.escrow, submitter_signature=lease.terms_signature)
                receipts, vouchers = await self._read_vouchered(lease)
                found.append(LeaseEvidence(document, receipts, vouchers, await self._read_ahead(lease)))
        return sorted(found, key=_lease_number)

    def _make_document(
        self,
        lease: ProviderLease | SubmitterLease,
        escrow: Escrow,
        submitter_signature: bytes | None = None,
        countersignature: bytes | None = None,
    ) -> LeaseDocument:
        if lease_id_of(self.domain.separator(), lease.terms) != lease.lease_id:
            # Signed anew under these contracts, it would be evidence of a lease that never was.
            raise UserError(
                f"lease 0x{lease.lease_id.hex()[:16]} was made on other contracts, or by another version of xnode",
                hint="export its evidence with the manifest, and the version, that made it",
                code=ExitCode.REFUSED,
            )
        ours = self.signer.sign("LeaseTerms", lease.terms)
        return LeaseDocument(
            self.domain.chain_id,
            self.domain.contract,
            escrow,
            lease.terms,
            ours if submitter_signature is None else submitter_signature,
            ours if countersignature is None else countersignature,
        )

    # ------------------------------------------------------------------------------------------------- submitter's side

    def _make_last_voucher(self, escrow: SubmitterEscrow) -> tuple[CoveredVoucher, ...]:
        if not escrow.cumulative:
            return ()
        coverage = escrow.coverage
        receipts_hash = fold_receipts(coverage.prefix, coverage.digests)
        voucher = Voucher(escrow.escrow_id, escrow.cumulative, receipts_hash)
        return (CoveredVoucher(SignedVoucher(voucher, self.signer.sign("Voucher", voucher)), coverage),)

    def _make_ahead(self, escrow: SubmitterEscrow) -> tuple[PrepaidVoucher, ...]:
        """The highest promise: how much of it is claimed is the provider's to say, and the chain's."""
        if escrow.ahead <= escrow.cumulative:
            return ()
        coverage = escrow.ahead_coverage
        voucher = Voucher(escrow.escrow_id, escrow.ahead, fold_receipts(coverage.prefix, coverage.digests))
        return (PrepaidVoucher(SignedVoucher(voucher, self.signer.sign("Voucher", voucher)), coverage),)

    async def _find_countersignature(self, lease: SubmitterLease) -> bytes:
        for change in await self._read(lease.lease_id, "LeaseAccepted"):
            assert isinstance(change, changes.LeaseAccepted)
            if is_signed_by(lease.terms.node, lease.lease_id, change.signature):
                return change.signature
        return b""

    async def read_accepted(self, lease: SubmitterLease, network_bytes: int) -> tuple[SignedReceipt, ...]:
        """The receipts that we accepted: the journal has also the ones that we refused, and repetitions."""
        separator, limit_ns = self.domain.separator(), lease.terms.duration_limit_ns
        accepted: list[SignedReceipt] = []
        last = make_first(lease.lease_id, 0)
        for change in await self._read(lease.lease_id, "ReceiptsReceived"):
            assert isinstance(change, changes.ReceiptsReceived)
            fresh = tuple(one for one in change.receipts if last.number < one.receipt.number <= lease.last.number)
            if fresh and check_receipts(last, fresh, lease.terms, separator, limit_ns, network_bytes) is None:
                accepted += fresh
                last = fresh[-1].receipt
        return tuple(accepted)

    # -------------------------------------------------------------------------------------------------- provider's side

    async def _read_vouchered(
        self, lease: ProviderLease
    ) -> tuple[tuple[SignedReceipt, ...], tuple[CoveredVoucher, ...]]:
        """Every receipt and every good voucher; what no voucher answers is in the record still."""
        receipts: dict[int, SignedReceipt] = {}
        vouchers: list[CoveredVoucher] = []
        last, separator = Voucher(lease.terms.escrow_id, ZERO, ZERO_HASH), self.domain.separator()
        for change in await self._read(lease.lease_id, "VoucherReceived"):
            assert isinstance(change, changes.VoucherReceived)
            receipts |= {one.receipt.number: one for one in change.receipts}
            if check_voucher(last, change.signed, change.coverage, lease.escrow, separator) is None:
                last = change.signed.voucher
                vouchers.append(CoveredVoucher(change.signed, change.coverage))
        for issued in lease.issued:
            signature = self.signer.sign("Receipt", issued.receipt)
            receipts[issued.receipt.number] = SignedReceipt(issued.receipt, signature)
        return tuple(receipts[number] for number in sorted(receipts)), tuple(vouchers)

    async def _read_ahead(self, lease: ProviderLease) -> tuple[PrepaidVoucher, ...]:
        """The vouchers signed ahead that were claimed, and the one that pays the escrow's leases now, as far as this lease's
        receipts brought them."""
        escrow_id = lease.terms.escrow_id
        record = await self.journal.read_record(ProviderEscrow, escrow_id)
        payable = record.payable if isinstance(record, ProviderEscrow) else None
        claims = await self._read(escrow_id, "ClaimConfirmed")
        claimed = {change.claimed for change in claims if isinstance(change, changes.ClaimConfirmed)}
        found: dict[SignedVoucher, PrepaidVoucher] = {}
        for change in await self._read(lease.lease_id, "VoucherReceived"):
            assert isinstance(change, changes.VoucherReceived)
            for one in change.ahead:
                if one == payable or one.voucher.cumulative in claimed:
                    found.setdefault(one, PrepaidVoucher(one, change.coverage))
        return tuple(sorted(found.values(), key=lambda one: one.signed.voucher.cumulative))

    async def _read(self, lease_id: Hash32, kind: str) -> list[Change]:
        return [entry.change for entry in await self.journal.read_entries(lease_id, (kind,), MAX_ENTRIES)]


def _lease_number(evidence: LeaseEvidence) -> int:
    return evidence.document.terms.lease_number


def _is_on(lease: ProviderLease | SubmitterLease, escrow_id: Hash32) -> bool:
    return lease.terms.escrow_id == escrow_id and lease.status not in _UNSIGNED
