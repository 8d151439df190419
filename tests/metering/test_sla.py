"""What goes back when a workload ran less than was promised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from metering.receipt import Receipt
from metering.sla import CLAIM_TIME_NS, LEAST_SILENCE_NS, NO_PROMISE, Promise, find_breach, find_silence, show_percent
from metering.units import NANOS_PER_SECOND, PPM, U64_MAX, U128_MAX, Amount, Hash32
from metering.usage import NO_USAGE
from tests.make.values import NOW_NS, TOKEN, make_terms

SECOND = NANOS_PER_SECOND
TERMS = make_terms(open_until_ns=NOW_NS, availability_ppm=990_000, refund_ppm=100_000)
LAST = Receipt(Hash32(bytes(32)), 9, NOW_NS + 100 * SECOND, 98 * SECOND, NO_USAGE, Amount(TOKEN + 19), True)


def find(**changes: Any) -> Amount | None:
    return find_breach(TERMS, replace(LAST, **changes))


def test_less_than_promised_gives_its_part_of_the_cost_back_rounded_down() -> None:
    assert find() == TOKEN // 10 + 1


def test_one_nanosecond_decides() -> None:
    assert find(running_ns=99 * SECOND) is None
    assert find(running_ns=99 * SECOND - 1) == TOKEN // 10 + 1


@pytest.mark.parametrize(
    "changes",
    [{"final": False}, {"cost": Amount(0)}, {"cost": Amount(9)}, {"at_ns": NOW_NS}, {"at_ns": NOW_NS - SECOND}],
    ids=["not final", "cost nothing", "too little to give back", "at the last moment to open", "before it"],
)
def test_there_is_nothing_to_claim(changes: dict[str, Any]) -> None:
    assert find(running_ns=0, **changes) is None


@given(st.integers(0, U64_MAX), st.integers(0, U64_MAX), st.integers(0, U128_MAX))
def test_without_a_promise_nothing_ever_goes_back(at_ns: int, running_ns: int, cost: int) -> None:
    last = replace(LAST, at_ns=at_ns, running_ns=running_ns, cost=Amount(cost))
    assert find_breach(make_terms(), last) is None
    assert find_breach(replace(TERMS, refund_ppm=0), last) is None


@given(st.integers(0, PPM), st.integers(0, PPM), st.integers(0, U64_MAX), st.integers(0, U128_MAX))
def test_never_more_than_the_cost_goes_back(availability: int, refund: int, running_ns: int, cost: int) -> None:
    terms = replace(TERMS, availability_ppm=availability, refund_ppm=refund)
    found = find_breach(terms, replace(LAST, running_ns=running_ns, cost=Amount(cost)))
    assert found is None or 0 < found <= cost


@given(st.integers(1, U64_MAX - NOW_NS), st.integers(0, PPM))
def test_a_workload_that_ran_all_the_time_never_breaches(passed_ns: int, availability: int) -> None:
    assume(passed_ns)
    terms = replace(TERMS, availability_ppm=availability, refund_ppm=PPM)
    assert find_breach(terms, replace(LAST, at_ns=NOW_NS + passed_ns, running_ns=passed_ns)) is None


@pytest.mark.parametrize(
    ("ppm", "text"), [(0, "0 %"), (1, "0.0001 %"), (99_000, "9.9 %"), (999_900, "99.99 %"), (PPM, "100 %")]
)
def test_parts_are_shown_exactly(ppm: int, text: str) -> None:
    assert show_percent(ppm) == text


def test_a_promise_is_one_line() -> None:
    assert Promise(990_000, 100_000).describe() == "99 %, or 10 % back"
    assert NO_PROMISE.describe() == Promise(990_000, 0).describe() == ""


# -------------------------------------------------------------------------------------------------------------- silence

KNOWN = replace(LAST, final=False, running_ns=100 * SECOND)
PROMISE = replace(TERMS, duration_limit_ns=1000 * LEAST_SILENCE_NS)


def ask(passed_ns: int, **changes: Any) -> Amount | None:
    """So long after the receipt."""
    return find_silence(PROMISE, replace(KNOWN, **changes), KNOWN.at_ns + passed_ns)


def test_a_provider_is_silent_from_an_hour_to_three_days_after_a_receipt_that_is_not_the_last() -> None:
    assert ask(LEAST_SILENCE_NS) == ask(CLAIM_TIME_NS) == TOKEN // 10 + 1
    assert ask(LEAST_SILENCE_NS - 1) is None and ask(CLAIM_TIME_NS + 2 * SECOND) is None
    assert ask(LEAST_SILENCE_NS, final=True) is None
    patient = replace(PROMISE, interval_ns=LEAST_SILENCE_NS, exposure_intervals=3)
    assert find_silence(patient, KNOWN, KNOWN.at_ns + 3 * LEAST_SILENCE_NS - 1) is None
    assert find_silence(patient, KNOWN, KNOWN.at_ns + 3 * LEAST_SILENCE_NS) is not None


def test_a_silent_lease_ends_at_its_time_limit_at_the_latest() -> None:
    limited = replace(PROMISE, duration_limit_ns=101 * SECOND)
    assert find_silence(limited, KNOWN, KNOWN.at_ns + LEAST_SILENCE_NS) is None, "100 of 101 seconds"
    limited = replace(PROMISE, duration_limit_ns=102 * SECOND)
    assert find_silence(limited, KNOWN, KNOWN.at_ns + LEAST_SILENCE_NS) is not None
