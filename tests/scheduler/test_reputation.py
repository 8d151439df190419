"""Our experience with a node, in millionths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metering.units import PPM
from scheduler.reputation import HALF_LIFE_NS, NO_REPUTATION, next_reputation, success_ppm_of


def _after(outcomes: list[bool], at_ns: int = 0) -> int:
    reputation = NO_REPUTATION
    for outcome in outcomes:
        reputation = next_reputation(reputation, outcome, at_ns)
    return success_ppm_of(reputation, at_ns)


@given(st.lists(st.booleans(), max_size=60))
def test_a_success_never_lowers_and_a_failure_never_raises_it(outcomes: list[bool]) -> None:
    before = _after(outcomes)
    assert 0 < _after([*outcomes, False]) <= before <= _after([*outcomes, True]) < PPM


def test_a_stranger_stands_between_the_good_and_the_bad() -> None:
    assert _after([False] * 5) < _after([]) < _after([True] * 5) < _after([True] * 500)
    assert 600_000 < _after([]) < 700_000
    assert _after([True] * 500) > 980_000


@given(st.integers(0, 2**63), st.integers(0, 500), st.integers(0, 500))
def test_experience_fades_to_none(now_ns: int, good: int, bad: int) -> None:
    reputation = NO_REPUTATION
    for outcome in [True] * good + [False] * bad:
        reputation = next_reputation(reputation, outcome, 0)
    fresh, stranger = success_ppm_of(reputation, 0), success_ppm_of(NO_REPUTATION, 0)
    assert 0 < success_ppm_of(reputation, now_ns) < PPM
    far = success_ppm_of(reputation, now_ns + 60 * HALF_LIFE_NS)
    assert far == stranger
    assert (fresh - stranger) * (far - stranger) >= 0


def test_one_half_life_halves_the_weight() -> None:
    reputation = next_reputation(next_reputation(NO_REPUTATION, True, 0), False, HALF_LIFE_NS)
    assert (reputation.successes_milli, reputation.failures_milli) == (500, 1_000)
    later = next_reputation(reputation, True, HALF_LIFE_NS + HALF_LIFE_NS // 2)
    assert (later.successes_milli, later.failures_milli) == (1_375, 750)
