"""Vouchers: cumulative, committed to their receipts, signed by the escrow's signer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.checks import check_voucher
from metering.eip712 import keccak
from metering.signature import sign_digest
from metering.terms import escrow_id_of
from metering.units import ZERO_HASH, Amount, Hash32
from metering.voucher import NO_COVERAGE, Coverage, SignedVoucher, Voucher, fold_receipts, voucher_digest_of
from tests.make.values import SEPARATOR, make_escrow, make_key
from tests.metering.strategies import hashes
from tests.metering.test_signature import malleate

ESCROW = make_escrow()
ESCROW_ID = escrow_id_of(SEPARATOR, ESCROW)
COVERAGE = Coverage(4, keccak(b"settled before"), (keccak(b"lease 4"), keccak(b"lease 5")))
LAST = Voucher(ESCROW_ID, Amount(100), ZERO_HASH)
NEXT = Voucher(ESCROW_ID, Amount(150), fold_receipts(COVERAGE.prefix, COVERAGE.digests))


def sign(voucher: Voucher, key: int = 0) -> SignedVoucher:
    """Signed by key `key`; the escrow's signer is 0."""
    return SignedVoucher(voucher, sign_digest(make_key(key), voucher_digest_of(SEPARATOR, voucher)))


def code_of(signed: SignedVoucher, coverage: Coverage = COVERAGE, last: Voucher = LAST) -> Any:
    """The refusal's code, or None."""
    refusal = check_voucher(last, signed, coverage, ESCROW, SEPARATOR)
    return refusal and refusal.code


def test_an_honest_voucher_passes_and_so_does_the_same_again() -> None:
    assert code_of(sign(NEXT)) is None
    assert code_of(sign(NEXT), last=NEXT) is None


@given(st.integers(0, 10**30), st.integers(0, 10**30))
@settings(max_examples=40)
def test_voucher_never_falls(first: int, second: int) -> None:
    last = msgspec.structs.replace(LAST, cumulative=Amount(first))
    signed = sign(msgspec.structs.replace(NEXT, cumulative=Amount(second)))
    assert code_of(signed, last=last) == ("voucher_fell" if second < first else None)


def test_another_escrows_voucher_is_refused() -> None:
    assert code_of(sign(msgspec.structs.replace(NEXT, escrow_id=ZERO_HASH))) == "voucher_wrong_escrow"


@pytest.mark.parametrize(
    "coverage",
    [
        NO_COVERAGE,
        Coverage(4, ZERO_HASH, COVERAGE.digests),
        Coverage(4, COVERAGE.prefix, COVERAGE.digests[:1]),
        Coverage(4, COVERAGE.prefix, COVERAGE.digests[::-1]),
        Coverage(4, COVERAGE.prefix, (*COVERAGE.digests, ZERO_HASH)),
    ],
)
def test_a_voucher_for_other_receipts_is_refused(coverage: Coverage) -> None:
    assert code_of(sign(NEXT), coverage) == "voucher_receipts_hash"


def test_a_voucher_with_another_fold_is_refused() -> None:
    assert code_of(sign(msgspec.structs.replace(NEXT, receipts_hash=keccak(b"x")))) == "voucher_receipts_hash"


def _bad_signatures() -> dict[str, bytes]:
    good = sign(NEXT).signature
    return {
        "another signer": sign(NEXT, key=3).signature,
        "the provider's node": sign(NEXT, key=1).signature,
        "another voucher": sign(LAST).signature,
        "high s": malleate(good),
        "v 0 or 1": good[:64] + bytes((good[64] - 27,)),
        "64 bytes": good[:64],
        "empty": b"",
    }


@pytest.mark.parametrize("name", _bad_signatures())
def test_a_wrong_signature_is_refused(name: str) -> None:
    assert code_of(SignedVoucher(NEXT, _bad_signatures()[name])) == "voucher_signature"


def test_a_coverage_names_the_digest_of_each_lease_it_has_not_folded_away() -> None:
    found = [COVERAGE.digest_of(number) for number in range(3, 7)]
    assert found == [None, keccak(b"lease 4"), keccak(b"lease 5"), None]


digests = st.lists(hashes, max_size=6)


@given(hashes, digests, digests)
def test_folding_may_be_taken_up_anywhere(prefix: Hash32, first: list[Hash32], rest: list[Hash32]) -> None:
    assert fold_receipts(prefix, first + rest) == fold_receipts(fold_receipts(prefix, first), rest)


@given(hashes)
def test_folding_nothing_gives_the_prefix(prefix: Hash32) -> None:
    assert fold_receipts(prefix, ()) == prefix


@given(hashes, hashes)
def test_one_fold_is_one_hash_of_both(prefix: Hash32, digest: Hash32) -> None:
    assert fold_receipts(prefix, (digest,)) == keccak(prefix + digest)


@given(hashes, st.lists(hashes, min_size=1, max_size=6), st.data())
def test_any_other_receipt_or_order_gives_another_fold(
    prefix: Hash32, all_of: list[Hash32], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(all_of) - 1))
    changed = [*all_of[:place], data.draw(hashes), *all_of[place + 1 :]]
    shuffled = data.draw(st.permutations(all_of))
    for other in (changed, shuffled, all_of[:-1], [*all_of, ZERO_HASH]):
        assert (fold_receipts(prefix, other) == fold_receipts(prefix, all_of)) == (list(other) == all_of)


def test_the_fold_of_known_digests() -> None:
    """A golden value, so that the contract's fold and this one cannot drift together unseen."""
    folded = fold_receipts(ZERO_HASH, (Hash32(b"\x11" * 32), Hash32(b"\x22" * 32)))
    assert folded == keccak(keccak(bytes(32) + b"\x11" * 32) + b"\x22" * 32)
