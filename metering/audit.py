"""Audit: whether evidence holds: every signature, number, sum and hash of it, from nothing but the documents themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from metering.checks import check_receipt, check_voucher
from metering.evidence import CoveredVoucher, LeaseDocument, LeaseEvidence, PrepaidVoucher
from metering.receipt import Receipt, make_first, receipt_digest_of
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.tariff import cost_ceiling_of
from metering.terms import LeaseTerms, escrow_id_of
from metering.units import U64_MAX, ZERO, ZERO_HASH, Amount, Hash32
from metering.voucher import Voucher, fold_receipts

UNLIMITED_BYTES = U64_MAX
"""How much a job may move over the network is in the job, which is not part of the evidence."""


@dataclass(slots=True)
class LeaseTally:
    """What was checked of one lease. cost: of the last receipt; covered: of the last receipt that a voucher names; ahead:
    the most that vouchers signed ahead promise beyond the receipts that they name."""

    lease_id: Hash32
    signatures: int = 0
    receipts: int = 0
    vouchers: int = 0
    cost: int = 0
    covered: int = 0
    ahead: int = 0


@dataclass(slots=True)
class Audit:
    """tallies: as far as the audit got; refusal: the first thing that is wrong."""

    tallies: list[LeaseTally] = field(default_factory=list)
    refusal: Refusal | None = None


def audit_evidence(evidence: Sequence[LeaseEvidence]) -> Audit:
    """Check all documents. Leases that draw on one escrow are checked together: its vouchers pay them all in one sum."""
    audit = Audit()
    by_escrow: dict[Hash32, list[LeaseEvidence]] = {}
    for lease in evidence:
        tally = LeaseTally(lease.lease_id)
        audit.tallies.append(tally)
        audit.refusal = _check_lease(lease, tally)
        if audit.refusal is not None:
            return audit
        by_escrow.setdefault(lease.document.terms.escrow_id, []).append(lease)
    for leases in by_escrow.values():
        audit.refusal = _check_escrow(leases, {tally.lease_id: tally for tally in audit.tallies})
        if audit.refusal is not None:
            break
    return audit


# ------------------------------------------------------------------------------------------------------------ one lease


def _check_lease(lease: LeaseEvidence, tally: LeaseTally) -> Refusal | None:
    document = lease.document
    refusal = _check_document(document) or _check_signatures(lease, tally) or _check_exposure(document.terms)
    if refusal is not None:
        return _name(lease, refusal)
    last = make_first(lease.lease_id, 0)
    terms, separator = document.terms, document.separator
    for signed in lease.receipts:
        refusal = check_receipt(last, signed, terms, separator, terms.duration_limit_ns, UNLIMITED_BYTES)
        if refusal is not None:
            return _name(lease, refusal)
        last = signed.receipt
        tally.receipts += 1
        tally.signatures += 1
    tally.cost = last.cost
    return None


def _check_document(document: LeaseDocument) -> Refusal | None:
    terms, escrow = document.terms, document.escrow
    if escrow_id_of(document.separator, escrow) != terms.escrow_id:
        return Refusal("escrow_id", "the terms draw on another escrow than the one shown, or in another domain")
    if (escrow.signer, escrow.provider, escrow.asset) != (terms.submitter, terms.provider, terms.asset):
        return Refusal("escrow_terms", "the escrow names another signer, provider or asset than the lease")
    return None


def _check_exposure(terms: LeaseTerms) -> Refusal | None:
    # How long a provider really worked unpaid is in no document; that both agreed on one limit, in time and cost, is.
    if not terms.exposure_intervals:
        return Refusal("terms_exposure", "the terms do not say how many intervals of work may go unpaid")
    duration_ns = min(terms.interval_ns * terms.exposure_intervals, terms.duration_limit_ns)
    least = cost_ceiling_of(terms.resources, terms.tariff, duration_ns)
    if terms.exposure_limit < least:
        detail = f"exposure_limit {terms.exposure_limit} is below the {least} that {terms.exposure_intervals} intervals can cost"
        return Refusal("terms_exposure_limit", detail)
    return None


def _check_signatures(lease: LeaseEvidence, tally: LeaseTally) -> Refusal | None:
    document, lease_id = lease.document, lease.lease_id
    if not is_signed_by(document.terms.submitter, lease_id, document.submitter_signature):
        return Refusal("terms_signature", f"the terms are not signed by submitter 0x{document.terms.submitter.hex()}")
    tally.signatures += 1
    if document.node_signature:
        if not is_signed_by(document.terms.node, lease_id, document.node_signature):
            return Refusal("terms_countersignature", f"the terms are not signed by node 0x{document.terms.node.hex()}")
        tally.signatures += 1
    return None


def _name(lease: LeaseEvidence, refusal: Refusal) -> Refusal:
    return Refusal(refusal.code, f"lease 0x{lease.lease_id.hex()[:16]}: {refusal.detail}")


# ----------------------------------------------------------------------------------------------------------- one escrow


@dataclass(slots=True)
class _Account:
    """The leases of one escrow by number, each with its receipts by digest, and how far vouchers have come."""

    leases: dict[int, LeaseEvidence]
    receipts: dict[int, dict[Hash32, Receipt]]
    covered: dict[int, Receipt] = field(default_factory=dict)

    def last_digest(self, number: int) -> Hash32:
        """Of the last receipt of a lease, zero for a lease without any, and for one that is not there."""
        return next(reversed(self.receipts.get(number, {})), ZERO_HASH)

    def covered_digest(self, number: int) -> Hash32:
        """Of the last receipt that a voucher has named, else of the last one."""
        covered = self.covered.get(number)
        found = (digest for digest, receipt in self.receipts.get(number, {}).items() if receipt == covered)
        return next(found, self.last_digest(number))


def _check_escrow(leases: list[LeaseEvidence], tallies: dict[Hash32, LeaseTally]) -> Refusal | None:
    account = _Account({}, {})
    for lease in leases:
        number = lease.document.terms.lease_number
        if number in account.leases:
            return _name(lease, Refusal("lease_number", f"another lease of the escrow has number {number} too"))
        account.leases[number] = lease
        digests = {receipt_digest_of(lease.document.separator, one.receipt): one.receipt for one in lease.receipts}
        account.receipts[number] = digests
    checks = (_check_vouchers(lease, tallies[lease.lease_id]) for lease in leases)
    refusal = next(filter(None, checks), None)
    if refusal is not None:
        return refusal
    for lease, voucher in _sort_vouchers(account, leases):
        refusal = _check_coverage(account, voucher)
        if refusal is not None:
            return _name(lease, refusal)
    for number, receipt in account.covered.items():
        tallies[account.leases[number].lease_id].covered = receipt.cost
    checks = (_check_ahead(account, lease, tallies[lease.lease_id]) for lease in leases)
    return next(filter(None, checks), None)


def _sort_vouchers(account: _Account, leases: list[LeaseEvidence]) -> list[tuple[LeaseEvidence, CoveredVoucher]]:
    """In the order in which they can have been signed: by what they come to, and, where a receipt cost nothing more than the one
    before, by how far the receipts go that they name."""
    pairs = [(lease, voucher) for lease in leases for voucher in lease.vouchers]
    alike = Counter(voucher.signed.voucher.cumulative for _, voucher in pairs)

    def rank(pair: tuple[LeaseEvidence, CoveredVoucher]) -> tuple[Amount, int]:
        cumulative = pair[1].signed.voucher.cumulative
        named = _find_named(account, pair[1]) if alike[cumulative] > 1 else {}
        return cumulative, 0 if isinstance(named, Refusal) else sum(receipt.number for receipt in named.values())

    return sorted(pairs, key=rank)


def _check_vouchers(lease: LeaseEvidence, tally: LeaseTally) -> Refusal | None:
    document = lease.document
    last = Voucher(document.terms.escrow_id, ZERO, ZERO_HASH)
    for covered in lease.vouchers:
        refusal = check_voucher(last, covered.signed, covered.coverage, document.escrow, document.separator)
        if refusal is not None:
            return _name(lease, refusal)
        last = covered.signed.voucher
        tally.vouchers += 1
        tally.signatures += 1
    return None


def _check_ahead(account: _Account, lease: LeaseEvidence, tally: LeaseTally) -> Refusal | None:
    """Vouchers signed ahead are the submitter's, over receipts that are shown, and never below what those come to."""
    zero = Voucher(lease.document.terms.escrow_id, ZERO, ZERO_HASH)
    for voucher in lease.ahead:
        document, cumulative = lease.document, voucher.signed.voucher.cumulative
        refusal = check_voucher(zero, voucher.signed, voucher.coverage, document.escrow, document.separator)
        named = refusal or _find_named(account, voucher)
        if isinstance(named, Refusal):
            return _name(lease, named)
        due = sum(receipt.cost for receipt in named.values())
        if cumulative < due:
            detail = f"cumulative {cumulative} signed ahead is below the {due} that its receipts come to"
            return _name(lease, Refusal("voucher_ahead", detail))
        tally.ahead = max(tally.ahead, cumulative - due)
        tally.signatures += 1
    return None


def _find_named(account: _Account, voucher: CoveredVoucher | PrepaidVoucher) -> dict[int, Receipt] | Refusal:
    """The receipts that a voucher names, by lease number; each must be shown."""
    coverage, cumulative = voucher.coverage, voucher.signed.voucher.cumulative
    folded = _find_folded(account, voucher)
    if folded is None:
        return Refusal(
            "coverage_prefix",
            f"the voucher over {cumulative} folds {coverage.folded} leases into a prefix that their receipts do not give",
        )
    found = {}
    for number, digest in {**dict(enumerate(folded)), **dict(enumerate(coverage.digests, coverage.folded))}.items():
        if digest == ZERO_HASH:
            continue
        receipt = account.receipts.get(number, {}).get(digest)
        if receipt is None:
            detail = f"the voucher over {cumulative} names a receipt of lease {number} of the escrow that is not shown"
            return Refusal("coverage_digest", detail)
        found[number] = receipt
    return found


def _check_coverage(account: _Account, voucher: CoveredVoucher) -> Refusal | None:
    """The receipts that a voucher names are there, none is older than one that was paid before, and they come to its sum."""
    cumulative = voucher.signed.voucher.cumulative
    named = _find_named(account, voucher)
    if isinstance(named, Refusal):
        return named
    due = 0
    for number, receipt in named.items():
        before = account.covered.get(number)
        if before is not None and receipt.number < before.number:
            detail = f"the voucher over {cumulative} names receipt {receipt.number}; {before.number} was paid before"
            return Refusal("coverage_fell", detail)
        account.covered[number] = receipt
        due += receipt.cost
    if due != cumulative:
        return Refusal("voucher_cumulative", f"cumulative {cumulative} is not the {due} that its receipts come to")
    return None


def _find_folded(account: _Account, voucher: CoveredVoucher | PrepaidVoucher) -> tuple[Hash32, ...] | None:
    """The digests that give the voucher's prefix. A provider may show a last receipt that was never paid."""
    coverage = voucher.coverage
    for candidate in _candidates(account, coverage.folded):
        if fold_receipts(ZERO_HASH, candidate) == coverage.prefix:
            return candidate
    return None


def _candidates(account: _Account, folded: int) -> Iterator[tuple[Hash32, ...]]:
    # A stranger's number of leases is not ours to count to: beyond the leases shown there is nothing to fold.
    numbers = range(folded if folded <= max(account.leases) + 1 else 0)
    yield tuple(account.last_digest(number) for number in numbers)
    yield tuple(account.covered_digest(number) for number in numbers)
