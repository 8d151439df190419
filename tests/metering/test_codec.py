"""One byte form for each value, and no other is taken."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metering.codec import NotCanonical, check_readable, decode, decode_strict, encode
from metering.receipt import Receipt, SignedReceipt
from metering.refusal import Refusal
from metering.resources import Resources
from metering.terms import Escrow, LeaseTerms, Opening
from metering.units import U128, U128_MAX, Amount, Hash32
from metering.usage import Usage
from metering.voucher import Coverage, SignedVoucher, Voucher
from scheduler.job import Job
from scheduler.offer import Offer, SignedOffer
from scheduler.quote import Quote
from tests.make.values import make_job, make_offer, make_quote_body, make_signed_offer, make_signed_quote, make_terms
from tests.metering.strategies import (
    answers,
    any_resources,
    escrows,
    hashes,
    nanos,
    openings,
    releases,
    terms,
    u64,
    u128,
    usages,
    verdicts,
    vouchers,
)

signatures = st.binary(max_size=65)
receipts = st.builds(Receipt, hashes, u64, nanos, nanos, usages, u128.map(Amount), st.booleans())
values = st.one_of(
    escrows,
    openings,
    terms,
    usages,
    any_resources,
    receipts,
    st.builds(SignedReceipt, receipts, signatures),
    vouchers,
    releases,
    answers,
    verdicts,
    st.builds(SignedVoucher, vouchers, signatures),
    st.builds(Coverage, u64, hashes, st.lists(hashes, max_size=4).map(tuple)),
)


@given(values)
def test_every_value_comes_back_from_its_bytes(value: Any) -> None:
    data = encode(value)
    assert decode_strict(data, type(value)) == value
    assert decode(data, type(value)) == value


@given(values, st.integers(min_value=0), st.integers(0, 255))
def test_the_check_of_bytes_says_what_reading_them_says(value: Any, place: int, byte: int) -> None:
    data = bytearray(encode(value))
    check_readable(bytes(data), type(value))
    data[place % len(data)] = byte
    with suppress(ValueError, RecursionError):
        decode(bytes(data), type(value))
        return check_readable(bytes(data), type(value))
    with pytest.raises((ValueError, RecursionError)):
        check_readable(bytes(data), type(value))
    return None


@pytest.mark.parametrize("value", [make_job(), make_offer(), make_signed_offer(), make_signed_quote(make_job()).quote])
def test_market_values_come_back_from_their_bytes(value: Any) -> None:
    assert decode_strict(encode(value), type(value)) == value


@pytest.mark.parametrize("fields", [15, 17])
def test_lease_terms_kept_before_a_field_was_added_still_open_with_zero_in_it(fields: int) -> None:
    full = make_terms(availability_ppm=990_000, refund_ppm=100_000, exposure_intervals=2)
    kept = decode(encode(tuple(getattr(full, name) for name in LeaseTerms.__struct_fields__[:fields])), LeaseTerms)
    added = LeaseTerms.__struct_fields__[fields:]
    assert kept == replace(full, **dict.fromkeys(added, 0))
    assert added == ("availability_ppm", "refund_ppm", "exposure_intervals")[fields - 15 :]


@pytest.mark.parametrize("fields", [15, 17])
def test_lease_terms_without_their_last_fields_are_not_taken_from_a_stranger(fields: int) -> None:
    full = make_terms(availability_ppm=0, refund_ppm=0, exposure_intervals=0)
    with pytest.raises(NotCanonical):
        decode_strict(encode(tuple(getattr(full, name) for name in LeaseTerms.__struct_fields__[:fields])), LeaseTerms)


@given(st.integers(0, U128_MAX))
def test_an_amount_is_sixteen_bytes(value: int) -> None:
    data = encode(Amount(value))
    assert data == b"\xc4\x10" + value.to_bytes(16, "big")
    assert type(decode_strict(data, Amount)) is Amount


@pytest.mark.parametrize("data", [b"\x05", b"\xc4\x01\x05", b"\xc4\x11" + bytes(17), b"\xa1\x05"])
def test_an_amount_of_another_width_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_strict(data, Amount)


RESOURCES = Resources(5, 6, 7, 1, "x")


@pytest.mark.parametrize(
    "data",
    [
        encode(RESOURCES).replace(b"\x05", b"\xcc\x05", 1),  # 5 as uint8
        encode(RESOURCES).replace(b"\x05", b"\xcd\x00\x05", 1),  # 5 as uint16
        encode(RESOURCES).replace(b"\x05", b"\xd0\x05", 1),  # 5 as int8
        encode(RESOURCES).replace(b"\xa1x", b"\xd9\x01x", 1),  # "x" as str8
        b"\xdc\x00\x05" + encode(RESOURCES)[1:],  # a list of five as array16
        encode(Resources(5, 6, 7))[:1].replace(b"\x95", b"\x93") + b"\x05\x06\x07",  # defaults left out
    ],
)
def test_another_spelling_of_the_same_value_is_refused(data: bytes) -> None:
    assert decode(data, Resources).vcpu_milli == 5, "it does mean the same"
    with pytest.raises(NotCanonical):
        decode_strict(data, Resources)


def test_a_key_that_stands_twice_is_refused() -> None:
    data = encode(make_job())
    count = data[0] & 0x0F if data[0] < 0xDE else int.from_bytes(data[1:3], "big")
    body = data[1:] if data[0] < 0xDE else data[3:]
    doubled = b"\xde" + (count + 1).to_bytes(2, "big") + encode("name") + encode("first") + body
    assert decode(doubled, Job).name == "hello"
    with pytest.raises(NotCanonical):
        decode_strict(doubled, Job)


@pytest.mark.parametrize("extra", [b"\x00", b"\xc0", b"\x91"])
def test_bytes_behind_the_value_are_refused(extra: bytes) -> None:
    with pytest.raises((NotCanonical, msgspec.DecodeError)):
        decode_strict(encode(RESOURCES) + extra, Resources)


@given(
    st.binary(max_size=300), st.sampled_from([Receipt, SignedReceipt, LeaseTerms, Escrow, Opening, Voucher, Offer, Job])
)
def test_no_bytes_raise_anything_but_a_value_error(data: bytes, kind: type[Any]) -> None:
    try:
        value = decode_strict(data, kind)
    except ValueError:
        return
    assert encode(value) == data


@given(st.data())
def test_no_changed_byte_gives_the_same_value(data: st.DataObject) -> None:
    good = encode(data.draw(receipts))
    place = data.draw(st.integers(0, len(good) - 1))
    changed = good[:place] + bytes((good[place] ^ data.draw(st.integers(1, 255)),)) + good[place + 1 :]
    with suppress(ValueError):
        assert decode_strict(changed, Receipt) != decode_strict(good, Receipt)


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises((NotCanonical, msgspec.DecodeError)):
        decode_strict(b"\x91" * 100_000, Usage)


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": b"short"},
        {"node": bytes(21)},
        {"number": -1},
        {"expires_at_ns": -1},
    ],
)
def test_values_that_no_digest_can_take_are_refused_when_decoded(wrong: dict[str, Any]) -> None:
    signed = make_signed_quote(make_job()).quote
    data = encode(msgspec.structs.replace(signed, **wrong))
    with pytest.raises(msgspec.ValidationError):
        decode_strict(data, Quote)
    offer = encode(SignedOffer(msgspec.structs.replace(make_offer(), **wrong), b""))
    with pytest.raises(msgspec.ValidationError):
        decode_strict(offer, SignedOffer)


def test_a_quote_body_with_a_short_hash_is_refused_when_decoded() -> None:
    body = make_quote_body(make_job(), job_hash=b"short")
    with pytest.raises(msgspec.ValidationError):
        decode_strict(encode(body), type(body))


def test_a_value_without_a_byte_form_is_a_bug_and_raises() -> None:
    with pytest.raises(TypeError):
        encode(object())
    assert encode(U128(1)) == encode(Amount(1))


LATEST_S = (2**63 - 1) // 10**9


@pytest.mark.parametrize(
    ("value", "field", "most"),
    [
        (make_terms(), "open_until_ns", 2**63 - 1),
        (make_terms(), "interval_ns", 2**63 - 1),
        (make_terms(), "duration_limit_ns", 2**63 - 1),
        (Opening(Hash32(bytes(32)), Amount(1), bytes(32), 1), "deadline", LATEST_S),
        (make_signed_quote(make_job()).quote, "expires_at_ns", 2**63 - 1),
        (make_job(), "duration_limit_ns", 2**63 - 1),
        (make_job(), "prepay_ns", 2**63 - 1),
    ],
)
def test_a_time_that_no_sum_may_be_made_of_is_refused_when_decoded(value: Any, field: str, most: int) -> None:
    assert getattr(decode_strict(encode(replace(value, **{field: most})), type(value)), field) == most
    for beyond in (most + 1, 2**64 - 1):
        with pytest.raises(msgspec.ValidationError, match="<="):
            decode_strict(encode(replace(value, **{field: beyond})), type(value))


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("regions", ("r" * 64,) * 64),
        ("name", "n" * 64),
        ("command", ("a",) * 1_024),
        ("args", ("a",) * 1_024),
        ("env", (("A", "b"),) * 1_024),
        ("stop_signal", "S" * 16),
    ],
)
def test_a_text_or_list_of_a_job_that_is_too_long_is_refused_when_decoded(field: str, most: Any) -> None:
    assert decode_strict(encode(make_job(**{field: most})), Job)
    more = most + most[:1] if isinstance(most, tuple) else most + "x"
    with pytest.raises(msgspec.ValidationError, match=field):
        decode_strict(encode(make_job(**{field: more})), Job)


def test_a_refusal_that_we_make_is_never_too_long_to_be_read() -> None:
    refusal = Refusal("c" * 1_000, "d" * 1_000_000)
    assert (len(refusal.code), len(refusal.detail)) == (64, 4_096) and refusal.detail.endswith("d...")
    assert decode_strict(encode(refusal), Refusal) == refusal
    with pytest.raises(msgspec.ValidationError):
        decode_strict(encode({"code": "c", "detail": "d" * 4_097}), Refusal)
