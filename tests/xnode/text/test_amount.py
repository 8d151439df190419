"""Amounts as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.units import U128_MAX, Amount
from xnode.errors import UserError
from xnode.text.amount import OPENX_DECIMALS, brief_amount, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("12.5", 18, 125 * 10**17),
        ("0", 18, 0),
        (".5", 1, 5),
        (" 7 ", 0, 7),
        ("1_000.25", 2, 100025),
        ("1.500", 1, 15),
        ("0.000000000000000001", 18, 1),
    ],
)
def test_amount_is_read(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize("text", ["", ".", "-1", "1e3", "1,5", "0x10", "1.", "½", "１", "nan", "1.05", "9" * 60])
def test_what_is_no_amount_is_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_amount(text, 1, where="--amount")
    assert str(caught.value).startswith("--amount: ")
    assert "\n" not in str(caught.value)


@given(st.integers(0, U128_MAX), st.integers(0, 36))
def test_what_is_shown_reads_back_the_same(units: int, decimals: int) -> None:
    assert parse_amount(format_amount(Amount(units), decimals), decimals) == units


def test_amount_is_shown_in_full() -> None:
    assert format_amount(125 * 10**17, 18, "OPENX") == "12.5 OPENX"
    assert format_amount(1, 18) == "0.000000000000000001"
    assert format_amount(-5, 1) == "-0.5"
    assert format_amount(30, 0) == "30"


@given(st.integers(1, U128_MAX))
def test_what_there_is_is_never_shown_as_more_and_what_is_needed_never_as_less(units: int) -> None:
    exact = format_amount(units, OPENX_DECIMALS)
    shown, needed = (Decimal(brief_amount(exact, is_needed=is_needed)) for is_needed in (False, True))
    assert shown <= Decimal(exact) <= needed
    assert needed - shown <= Decimal(exact) / 1000
