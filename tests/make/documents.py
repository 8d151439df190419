"""Documents: the evidence of two leases on one escrow, made by the metering functions and real keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from metering.eip712 import typed_digest
from metering.evidence import CoveredVoucher, LeaseDocument, LeaseEvidence
from metering.receipt import SignedReceipt, make_first, next_receipt, receipt_digest_of
from metering.signature import sign_digest
from metering.terms import Escrow, LeaseTerms, escrow_id_of, lease_id_of
from metering.units import NANOS_PER_SECOND, ZERO_HASH, Amount, Hash32
from metering.usage import Counters
from metering.voucher import Coverage, SignedVoucher, Voucher, fold_receipts, voucher_digest_of
from tests.make.values import DOMAIN, NOW_NS, SEPARATOR, make_escrow, make_key, make_terms

SUBMITTER, NODE = 0, 1


def make_document(number: int, escrow: Escrow | None = None, **changes: Any) -> LeaseDocument:
    """Terms of lease `number` on the escrow, signed by both."""
    escrow = escrow or make_escrow()
    terms = make_terms(escrow_id=escrow_id_of(SEPARATOR, escrow), lease_number=number, **changes)
    return sign_document(LeaseDocument(DOMAIN.chain_id, DOMAIN.contract, escrow, terms, b"", b""))


def sign_document(document: LeaseDocument) -> LeaseDocument:
    """The document with both signatures made anew."""
    lease_id = document.lease_id
    ours, theirs = (sign_digest(make_key(number), lease_id) for number in (SUBMITTER, NODE))
    return replace(document, submitter_signature=ours, node_signature=theirs)


def make_receipts(terms: LeaseTerms, count: int) -> tuple[SignedReceipt, ...]:
    """So many receipts, ten seconds apart, the last one final."""
    last = make_first(lease_id_of(SEPARATOR, terms), NOW_NS)
    made = []
    for number in range(1, count + 1):
        passed = number * 10 * NANOS_PER_SECOND
        counters = Counters(running_ns=passed, vcpu_ns=passed // 4)
        last = next_receipt(last, terms, counters, NOW_NS + passed, final=number == count)
        made.append(SignedReceipt(last, sign_digest(make_key(NODE), receipt_digest_of(SEPARATOR, last))))
    return tuple(made)


def make_voucher(
    escrow_id: Hash32, named: Sequence[SignedReceipt], folded: Sequence[SignedReceipt] = (), **changes: Any
) -> CoveredVoucher:
    """A voucher over the receipts it names, one of each lease in order, the folded leases before them."""
    digests, before = ([receipt_digest_of(SEPARATOR, one.receipt) for one in some] for some in (named, folded))
    coverage = Coverage(len(folded), fold_receipts(ZERO_HASH, before), tuple(digests))
    cumulative = Amount(sum(one.receipt.cost for one in (*folded, *named)))
    voucher = Voucher(escrow_id, cumulative, fold_receipts(coverage.prefix, coverage.digests))
    return sign_voucher(CoveredVoucher(SignedVoucher(replace(voucher, **changes), b""), coverage))


def sign_voucher(voucher: CoveredVoucher) -> CoveredVoucher:
    """The voucher with its signature made anew."""
    inner = voucher.signed.voucher
    signature = sign_digest(make_key(SUBMITTER), voucher_digest_of(SEPARATOR, inner))
    return replace(voucher, signed=SignedVoucher(inner, signature))


def sign_receipt(signed: SignedReceipt, **changes: Any) -> SignedReceipt:
    """The receipt with these fields changed, signed by the node all the same."""
    receipt = replace(signed.receipt, **changes)
    return SignedReceipt(receipt, sign_digest(make_key(NODE), typed_digest(SEPARATOR, "Receipt", receipt)))


def make_evidence() -> tuple[LeaseEvidence, LeaseEvidence]:
    """Two leases: a voucher for each receipt, the first lease folded away in the vouchers of the second."""
    first, second = make_document(0), make_document(1)
    escrow_id = first.terms.escrow_id
    ones, twos = make_receipts(first.terms, 3), make_receipts(second.terms, 2)
    return (
        LeaseEvidence(first, ones, tuple(make_voucher(escrow_id, [one]) for one in ones)),
        LeaseEvidence(second, twos, tuple(make_voucher(escrow_id, [two], ones[-1:]) for two in twos)),
    )
