"""Sizes, times and money, read exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.units import U128_MAX
from xnode.text.quantity import Money, read_duration_ns, read_milli, read_money, read_ppm, read_size


@given(st.integers(0, U128_MAX), st.integers(0, 18))
def test_money_is_exact_both_ways(amount: int, decimals: int) -> None:
    money = Money(amount, decimals, "OPENX")
    assert money.to_amount(decimals) == amount
    assert read_money(str(money)).to_amount(decimals) == amount
    assert Fraction(str(money).split()[0]) == Fraction(amount, 10**decimals)


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [("0.1 OPENX", 18, 10**17), ("5", 6, 5_000_000), ("1.50 USDC", 2, 150), ("0", 0, 0), ("0.000", 0, 0)],
)
def test_money_reads_as_written(text: str, decimals: int, amount: int) -> None:
    assert read_money(text).to_amount(decimals) == amount


def test_money_finer_than_the_asset_or_beyond_all_is_refused() -> None:
    with pytest.raises(ValueError, match="more decimals than the asset's 6"):
        read_money("0.0000001").to_amount(6)
    with pytest.raises(ValueError, match="more than any amount"):
        read_money("9" * 39).to_amount(18)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", ".5", "5.", "1,5", "0x1", "١", "1 2", "nan", "5OPENX", "5  OPENX", "5\n"]
)
def test_other_spellings_of_money_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        read_money(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("512MiB", 512 << 20), ("1.5 GiB", 3 << 29), ("10GB", 10**10), ("0.5kB", 500), ("1TiB", 1 << 40)],
)
def test_sizes_read_exactly(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "hint"),
    [("512M", "512MiB"), ("512mb", "512MB"), ("1.5 gib", "1.5GiB"), ("2g", "2GiB"), ("1Gib", "1GiB")],
)
def test_a_near_unit_is_suggested(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {hint}"):
        read_size(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("2d1s", 172_801)])
def test_times_read_exactly(text: str, seconds: int) -> None:
    assert read_duration_ns(text) == seconds * 10**9


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1s", "1m1h", "1s1s", "1 h", "0s", "999999999d999999999d"])
def test_other_spellings_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        read_duration_ns(text)


@pytest.mark.parametrize("read", [read_size, read_duration_ns, read_milli])
def test_nothing_passes_64_bits(read: object) -> None:
    text = {read_size: "99999999TiB", read_duration_ns: "999999999d", read_milli: "9" * 20}[read]  # type: ignore[index]
    with pytest.raises(ValueError, match="more than any machine"):
        read(text)  # type: ignore[operator]


def test_vcpus_are_thousandths() -> None:
    assert (read_milli("1.5"), read_milli("0.001"), read_milli("64")) == (1_500, 1, 64_000)
    with pytest.raises(ValueError, match="finer"):
        read_milli("0.0001")


@pytest.mark.parametrize(
    ("text", "ppm"), [("0", 0), ("1", 10**6), ("0.99", 990_000), ("0.000001", 1), ("1.000", 10**6)]
)
def test_parts_read_exactly(text: str, ppm: int) -> None:
    assert read_ppm(text) == ppm


@pytest.mark.parametrize(
    ("text", "words"),
    [("1.1", "more than 1"), ("0.0000001", "finer"), ("99%", "not a fraction"), ("-1", "not a fraction")],
)
def test_other_parts_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_ppm(text)
