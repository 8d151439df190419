"""Prices: one rounding, never falling, never above the ceiling."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.resources import Resources
from metering.tariff import Tariff, cost_ceiling_of, cost_of, find_higher_price, hourly_price_of
from metering.units import BYTES_PER_GB, BYTES_PER_GIB, NANOS_PER_HOUR, U128, U128_MAX, Amount
from metering.usage import NO_USAGE, USAGE_FIELDS, Counters, Usage, find_fall, usage_ceiling_of, usage_of
from tests.metering.strategies import (
    any_tariffs,
    durations_ns,
    network_bytes,
    prices,
    resources,
    small_usages,
    tariffs,
    usages,
)

FREE = Tariff(*(Amount(0) for _ in range(6)))


def _only(usage: Usage, name: str) -> Usage:
    return msgspec.structs.replace(NO_USAGE, **{name: getattr(usage, name)})


@given(small_usages, small_usages, tariffs)
def test_cost_never_falls_when_usage_grows(usage: Usage, more: Usage, tariff: Tariff) -> None:
    grown = Usage(*(U128(getattr(usage, name) + getattr(more, name)) for name in USAGE_FIELDS))
    assert cost_of(usage, tariff) <= cost_of(grown, tariff)


@given(small_usages, tariffs, tariffs)
def test_cost_never_falls_when_prices_grow(usage: Usage, tariff: Tariff, more: Tariff) -> None:
    fields = Tariff.__struct_fields__
    higher = Tariff(*(Amount(getattr(tariff, name) + getattr(more, name)) for name in fields))
    assert cost_of(usage, tariff) <= cost_of(usage, higher)
    assert find_higher_price(tariff, higher) is None


@given(small_usages, tariffs)
def test_the_whole_is_rounded_once(usage: Usage, tariff: Tariff) -> None:
    """Rounding each line down would lose up to one unit a line; cumulative billing would lose it every interval."""
    parts = min(sum(cost_of(_only(usage, name), tariff) for name in USAGE_FIELDS), U128_MAX)
    assert parts <= cost_of(usage, tariff) < parts + len(USAGE_FIELDS)


@given(small_usages, tariffs)
def test_cost_is_the_exact_quotient(usage: Usage, tariff: Tariff) -> None:
    hours = NANOS_PER_HOUR
    exact = (
        usage.vcpu_ns * tariff.vcpu_hour * BYTES_PER_GIB * BYTES_PER_GB
        + usage.gpu_ns * tariff.gpu_hour * BYTES_PER_GIB * BYTES_PER_GB
        + usage.memory_byte_ns * tariff.memory_gib_hour * BYTES_PER_GB
        + usage.disk_byte_ns * tariff.disk_gib_hour * BYTES_PER_GB
        + usage.ingress_bytes * tariff.ingress_gb * hours * BYTES_PER_GIB
        + usage.egress_bytes * tariff.egress_gb * hours * BYTES_PER_GIB
    )
    assert cost_of(usage, tariff) == min(exact // (hours * BYTES_PER_GIB * BYTES_PER_GB), U128_MAX)


@given(usages, any_tariffs)
def test_no_usage_and_no_price_makes_the_cost_raise(usage: Usage, tariff: Tariff) -> None:
    assert 0 <= cost_of(usage, tariff) <= U128_MAX


@pytest.mark.parametrize(
    ("name", "price", "used"),
    [
        ("vcpu_ns", "vcpu_hour", NANOS_PER_HOUR),
        ("memory_byte_ns", "memory_gib_hour", NANOS_PER_HOUR * BYTES_PER_GIB),
        ("disk_byte_ns", "disk_gib_hour", NANOS_PER_HOUR * BYTES_PER_GIB),
        ("gpu_ns", "gpu_hour", NANOS_PER_HOUR),
        ("ingress_bytes", "ingress_gb", BYTES_PER_GB),
        ("egress_bytes", "egress_gb", BYTES_PER_GB),
    ],
)
def test_each_line_is_paid_by_its_own_price(name: str, price: str, used: int) -> None:
    usage = msgspec.structs.replace(NO_USAGE, **{name: U128(used)})
    tariff = msgspec.structs.replace(FREE, **{price: Amount(777)})
    assert cost_of(usage, tariff) == 777
    assert cost_of(msgspec.structs.replace(NO_USAGE, **{name: U128(used - 1)}), tariff) == 776


@st.composite
def _within_limits(draw: st.DrawFn) -> tuple[Resources, int, int, Counters]:
    limits, duration_ns, moved = draw(resources), draw(durations_ns), draw(network_bytes)
    running_ns = draw(st.integers(0, duration_ns))
    counters = Counters(
        running_ns,
        draw(st.integers(0, limits.vcpu_milli * running_ns // 1_000)),
        draw(st.integers(0, moved)),
        draw(st.integers(0, moved)),
    )
    return limits, duration_ns, moved, counters


@given(_within_limits(), tariffs)
def test_the_cost_ceiling_holds_for_any_usage_within_the_limits(
    case: tuple[Resources, int, int, Counters], tariff: Tariff
) -> None:
    limits, duration_ns, moved, counters = case
    usage = usage_of(counters, limits)
    assert find_fall(usage, usage_ceiling_of(limits, duration_ns, moved)) is None
    assert cost_of(usage, tariff) <= cost_ceiling_of(limits, tariff, duration_ns, moved)


@given(resources, tariffs, durations_ns, durations_ns, network_bytes)
def test_the_cost_ceiling_never_falls_with_time(
    limits: Resources, tariff: Tariff, first_ns: int, second_ns: int, moved: int
) -> None:
    early, late = sorted((first_ns, second_ns))
    assert 1 <= cost_ceiling_of(limits, tariff, early, moved) <= cost_ceiling_of(limits, tariff, late, moved)


@given(resources, prices)
def test_the_hourly_price_is_one_hour_of_full_use(limits: Resources, price: Amount) -> None:
    tariff = msgspec.structs.replace(FREE, vcpu_hour=price, egress_gb=Amount(5))
    assert hourly_price_of(limits, tariff) == limits.vcpu_milli * price // 1_000


@given(any_tariffs, any_tariffs)
def test_the_price_found_above_the_bid_is_above_it(tariff: Tariff, bid: Tariff) -> None:
    name = find_higher_price(tariff, bid)
    above = [field for field in Tariff.__struct_fields__ if getattr(tariff, field) > getattr(bid, field)]
    assert name == (above[0] if above else None)
