"""Whole-number money and the two divisions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.resources import NO_RESOURCES, Resources
from metering.units import U64_MAX, U128, U128_MAX, Amount, mul_div_down, mul_div_up
from tests.metering.strategies import resources


@given(st.integers())
def test_an_amount_is_within_its_range_or_cannot_be_built(value: int) -> None:
    if 0 <= value <= U128_MAX:
        assert Amount(value) == value
    else:
        with pytest.raises(ValueError, match="between 0 and"):
            Amount(value)


@pytest.mark.parametrize("kind", [U128, Amount])
def test_the_ends_of_the_range(kind: type[U128]) -> None:
    assert (kind(0), kind(U128_MAX)) == (0, U128_MAX)
    for value in (-1, U128_MAX + 1):
        with pytest.raises(ValueError, match=kind.__name__):
            kind(value)


@given(st.integers(0, U128_MAX), st.integers(0, U128_MAX), st.integers(1, U128_MAX))
def test_the_two_divisions_round_as_their_names_say(a: int, b: int, divisor: int) -> None:
    exact = Fraction(a) * b / divisor
    assert mul_div_down(a, b, divisor) == floor(exact)
    assert mul_div_up(a, b, divisor) == ceil(exact)


def test_money_is_divided_by_no_other_way() -> None:
    with pytest.raises(TypeError, match="mul_div_down or mul_div_up"):
        Amount(7) // 2
    with pytest.raises(TypeError, match="mul_div_down or mul_div_up"):
        Amount(7) / 2
    assert mul_div_down(Amount(7), Amount(1), Amount(2)) == 3


@pytest.mark.parametrize("name", ["vcpu_milli", "memory_bytes", "disk_bytes", "gpus"])
@pytest.mark.parametrize("value", [-1, U64_MAX + 1])
def test_resources_outside_64_bits_cannot_be_built(name: str, value: int) -> None:
    sizes: dict[str, Any] = {"vcpu_milli": 1, "memory_bytes": 1, "disk_bytes": 1}
    with pytest.raises(ValueError, match=name):
        Resources(**{**sizes, name: value})


def test_a_long_gpu_model_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="gpu_model"):
        Resources(1, 1, 1, 1, "x" * 65)


@given(resources, resources)
def test_taking_and_giving_back_leaves_the_same(free: Resources, asked: Resources) -> None:
    both = free.plus(asked)
    assert asked.fits_in(both) and free.fits_in(both)
    assert both.minus(asked) == free
    assert free.minus(both) == NO_RESOURCES


@given(resources, resources)
def test_fitting_means_every_number_fits(asked: Resources, free: Resources) -> None:
    names = ("vcpu_milli", "memory_bytes", "disk_bytes", "gpus")
    assert asked.fits_in(free) == all(getattr(asked, name) <= getattr(free, name) for name in names)
