"""Honest evidence passes the audit; whatever is changed in it has its own reason, also when a liar signs it anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from metering.audit import Audit, audit_evidence
from metering.evidence import CoveredVoucher, LeaseEvidence
from metering.receipt import SignedReceipt, next_receipt
from metering.signature import sign_digest
from metering.units import NANOS_PER_SECOND, U128, Address, Amount, Hash32
from metering.usage import Counters
from metering.voucher import SignedVoucher, fold_receipts
from tests.make.documents import (
    make_document,
    make_evidence,
    make_receipts,
    make_voucher,
    sign_document,
    sign_receipt,
    sign_voucher,
)
from tests.make.values import SEPARATOR, make_escrow, make_key, make_tariff

Change = Callable[[LeaseEvidence], LeaseEvidence]


def audit_changed(change: Change, index: int = 0) -> Audit:
    """The audit of honest evidence in which one lease is changed."""
    leases = list(make_evidence())
    leases[index] = change(leases[index])
    return audit_evidence(leases)


def flip(data: bytes, at: int = 5) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def change_receipt(number: int, **changes: Any) -> Change:
    """A receipt changed and signed anew by its node."""

    def change(lease: LeaseEvidence) -> LeaseEvidence:
        receipts = [sign_receipt(one, **changes) if one.receipt.number == number else one for one in lease.receipts]
        return replace(lease, receipts=tuple(receipts))

    return change


def change_voucher(change: Callable[[CoveredVoucher], CoveredVoucher], index: int = -1) -> Change:
    def changed(lease: LeaseEvidence) -> LeaseEvidence:
        vouchers = list(lease.vouchers)
        vouchers[index] = change(vouchers[index])
        return replace(lease, vouchers=tuple(vouchers))

    return changed


def change_document(**changes: Any) -> Change:
    return lambda lease: replace(lease, document=replace(lease.document, **changes))


def change_signed_terms(**changes: Any) -> Change:
    """Terms changed and signed anew by both."""
    return lambda lease: replace(
        lease, document=sign_document(replace(lease.document, terms=replace(lease.document.terms, **changes)))
    )


def test_honest_evidence_passes_and_says_what_was_checked() -> None:
    first, second = make_evidence()
    audit = audit_evidence((first, second))
    assert audit.refusal is None
    assert [(one.signatures, one.receipts, one.vouchers) for one in audit.tallies] == [(8, 3, 3), (6, 2, 2)]
    assert [one.cost for one in audit.tallies] == [first.receipts[-1].receipt.cost, second.receipts[-1].receipt.cost]
    assert [one.covered for one in audit.tallies] == [one.cost for one in audit.tallies]


def test_a_last_voucher_alone_pays_for_everything_folded_or_not() -> None:
    first, second = make_evidence()
    escrow_id, last = first.document.terms.escrow_id, (first.receipts[-1], second.receipts[-1])
    for voucher in (
        make_voucher(escrow_id, last),
        make_voucher(escrow_id, last[1:], last[:1]),
        make_voucher(escrow_id, (), last),
    ):
        audit = audit_evidence((replace(first, vouchers=()), replace(second, vouchers=(voucher,))))
        assert audit.refusal is None
        assert [one.covered for one in audit.tallies] == [one.cost for one in audit.tallies]


def test_an_unpaid_last_receipt_and_a_lost_countersignature_are_no_fault() -> None:
    first, second = make_evidence()
    unpaid = replace(first, vouchers=first.vouchers[:-1], document=replace(first.document, node_signature=b""))
    audit = audit_evidence((unpaid,))
    assert audit.refusal is None
    assert audit.tallies[0].covered == first.receipts[1].receipt.cost < audit.tallies[0].cost
    assert audit_evidence((replace(first, vouchers=()), replace(second, vouchers=()))).refusal is None


def test_a_lease_that_never_was_counts_as_nothing_in_the_fold() -> None:
    third = make_document(1)
    receipts = make_receipts(third.terms, 1)
    voucher = make_voucher(third.terms.escrow_id, receipts)
    coverage = replace(voucher.coverage, digests=(Hash32(bytes(32)), *voucher.coverage.digests))
    changed = replace(voucher.signed.voucher, receipts_hash=fold_receipts(coverage.prefix, coverage.digests))
    signed = sign_voucher(CoveredVoucher(SignedVoucher(changed, b""), coverage))
    assert audit_evidence((LeaseEvidence(third, receipts, (signed,)),)).refusal is None


CHANGES: dict[str, tuple[str, Change]] = {
    "escrow's terms": ("escrow_id", change_document(escrow=make_escrow(nonce=2))),
    "another chain": ("escrow_id", change_document(chain_id=1)),
    "another contract": ("escrow_id", change_document(contract=Address(b"\xcd" * 20))),
    "another asset than the escrow's": ("escrow_terms", change_signed_terms(asset=Address(b"\xab" * 20))),
    "terms after the signatures": (
        "terms_signature",
        lambda lease: replace(
            lease, document=replace(lease.document, terms=replace(lease.document.terms, cost_limit=Amount(9)))
        ),
    ),
    "submitter's signature": (
        "terms_signature",
        lambda lease: change_document(submitter_signature=flip(lease.document.submitter_signature))(lease),
    ),
    "node's signature": (
        "terms_countersignature",
        lambda lease: change_document(node_signature=flip(lease.document.node_signature))(lease),
    ),
    "signatures changed over": (
        "terms_signature",
        lambda lease: change_document(
            submitter_signature=lease.document.node_signature, node_signature=lease.document.submitter_signature
        )(lease),
    ),
    "terms that say nothing of unpaid work": ("terms_exposure", change_signed_terms(exposure_intervals=0)),
    "less unpaid cost than the intervals come to": (
        "terms_exposure_limit",
        change_signed_terms(exposure_limit=Amount(1)),
    ),
    "receipts of other terms": ("receipt_wrong_lease", change_signed_terms(tariff=make_tariff(vcpu_hour=1))),
    "receipt's signature": (
        "receipt_signature",
        lambda lease: replace(
            lease,
            receipts=(*lease.receipts[:-1], replace(lease.receipts[-1], signature=flip(lease.receipts[-1].signature))),
        ),
    ),
    "an earlier receipt's signature": (
        "receipt_signature",
        lambda lease: replace(
            lease,
            receipts=(replace(lease.receipts[0], signature=lease.receipts[1].signature), *lease.receipts[1:]),
        ),
    ),
    "a receipt left out": ("coverage_digest", lambda lease: replace(lease, receipts=lease.receipts[1:])),
    "a receipt twice": ("receipt_number", lambda lease: replace(lease, receipts=lease.receipts[:1] * 2)),
    "the last receipt left out": ("coverage_digest", lambda lease: replace(lease, receipts=lease.receipts[:-1])),
    "an early final": ("receipt_after_final", change_receipt(1, final=True)),
    "an earlier time": ("receipt_time_fell", change_receipt(2, at_ns=1)),
    "a more expensive receipt": ("receipt_cost", change_receipt(3, cost=Amount(10**18))),
    "a cheaper receipt": ("receipt_cost_fell", change_receipt(3, cost=Amount(1))),
    "longer than the lease": ("receipt_running_ns", change_receipt(3, running_ns=601 * 10**9)),
    "more than the limits": (
        "receipt_usage_above_limit",
        lambda lease: change_receipt(3, usage=replace(lease.receipts[2].receipt.usage, gpu_ns=U128(10**18)))(lease),
    ),
    "less than before": (
        "receipt_usage_fell",
        lambda lease: change_receipt(3, usage=replace(lease.receipts[2].receipt.usage, vcpu_ns=U128(0)))(lease),
    ),
    "another receipt, well signed": ("coverage_digest", change_receipt(3, at_ns=1_900_000_000 * 10**9)),
    "voucher's signature": (
        "voucher_signature",
        change_voucher(lambda one: replace(one, signed=replace(one.signed, signature=flip(one.signed.signature)))),
    ),
    "voucher's sum, well signed": (
        "voucher_cumulative",
        change_voucher(
            lambda one: sign_voucher(
                replace(
                    one,
                    signed=replace(
                        one.signed,
                        voucher=replace(one.signed.voucher, cumulative=Amount(one.signed.voucher.cumulative + 1)),
                    ),
                )
            )
        ),
    ),
    "voucher's hash, well signed": (
        "voucher_receipts_hash",
        change_voucher(
            lambda one: sign_voucher(
                replace(
                    one,
                    signed=replace(one.signed, voucher=replace(one.signed.voucher, receipts_hash=Hash32(b"\x01" * 32))),
                )
            )
        ),
    ),
    "voucher of another escrow": (
        "voucher_wrong_escrow",
        lambda lease: replace(lease, vouchers=(make_voucher(Hash32(b"\x02" * 32), lease.receipts[:1]),)),
    ),
    "vouchers the other way round": ("voucher_fell", lambda lease: replace(lease, vouchers=lease.vouchers[::-1])),
    "coverage's prefix": (
        "voucher_receipts_hash",
        change_voucher(lambda one: replace(one, coverage=replace(one.coverage, prefix=Hash32(b"\x03" * 32)))),
    ),
    "coverage without a receipt": (
        "voucher_receipts_hash",
        change_voucher(lambda one: replace(one, coverage=replace(one.coverage, digests=()))),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_has_its_own_reason(name: str) -> None:
    code, change = CHANGES[name]
    audit = audit_changed(change)
    assert audit.refusal is not None and audit.refusal.code == code, audit.refusal
    lease = "0x" + change(make_evidence()[0]).lease_id.hex()[:16]
    assert lease in audit.refusal.detail or code == "coverage_digest"


def test_a_folded_lease_that_is_not_shown_is_missed() -> None:
    audit = audit_evidence(make_evidence()[1:])
    assert audit.refusal is not None and audit.refusal.code == "coverage_prefix"


def test_a_voucher_that_pays_an_older_receipt_than_before_is_found() -> None:
    first, second = make_evidence()
    escrow_id = first.document.terms.escrow_id
    back = make_voucher(escrow_id, (first.receipts[0], second.receipts[-1]))
    later = make_voucher(escrow_id, (first.receipts[1],))
    assert back.signed.voucher.cumulative >= later.signed.voucher.cumulative
    audit = audit_evidence((replace(first, vouchers=(later, back)), replace(second, vouchers=())))
    assert audit.refusal is not None and audit.refusal.code == "coverage_fell"


def test_vouchers_of_one_sum_are_in_the_order_of_the_receipts_they_name() -> None:
    first, second = make_evidence()
    terms, earlier = first.document.terms, first.receipts[1].receipt
    counters = Counters(running_ns=earlier.running_ns, vcpu_ns=earlier.running_ns // 4)
    idle = next_receipt(earlier, terms, counters, earlier.at_ns + NANOS_PER_SECOND, final=False)
    assert idle.cost == earlier.cost
    receipts = (*first.receipts[:2], sign_receipt(SignedReceipt(idle, b"")))
    sums = [make_voucher(terms.escrow_id, (one, second.receipts[0])) for one in receipts[1:]]
    assert len({one.signed.voucher.cumulative for one in sums}) == 1
    # The later one with the lease that comes first, and the other way round.
    for ones, twos in ((sums[1:], sums[:1]), (sums[:1], sums[1:]), (sums, []), ([], sums[::-1])):
        leases = (
            replace(first, receipts=receipts, vouchers=tuple(ones)),
            replace(second, receipts=second.receipts[:1], vouchers=tuple(twos)),
        )
        assert audit_evidence(leases).refusal is None


def test_two_leases_cannot_have_one_number() -> None:
    first, _ = make_evidence()
    other = make_document(0, open_until_ns=1)
    audit = audit_evidence((first, LeaseEvidence(other, (), ())))
    assert audit.refusal is not None and audit.refusal.code == "lease_number"


def test_a_voucher_that_folds_without_end_costs_no_time() -> None:
    first, _ = make_evidence()
    voucher = first.vouchers[-1]
    endless = replace(voucher, coverage=replace(voucher.coverage, folded=2**64 - 1))
    audit = audit_evidence((replace(first, vouchers=(sign_voucher(endless),)),))
    assert audit.refusal is not None and audit.refusal.code == "coverage_digest"


def test_a_signature_of_the_right_digest_by_another_key_is_none() -> None:
    def change(lease: LeaseEvidence) -> LeaseEvidence:
        return change_document(node_signature=sign_digest(make_key(7), lease.document.lease_id))(lease)

    audit = audit_changed(change)
    assert audit.refusal is not None and audit.refusal.code == "terms_countersignature"
    assert make_evidence()[0].document.separator == SEPARATOR
