"""Reputation: how often a node did what it quoted, by our own experience, fading with age."""

from __future__ import annotations

from math import isqrt

import msgspec

from metering.units import NANOS_PER_HOUR, PPM, U64

HALF_LIFE_NS = 7 * 24 * NANOS_PER_HOUR
"""A week: hosts get fixed and get worse; last month's failures say little."""

_PRIOR_SUCCESSES_MILLI, _PRIOR_FAILURES_MILLI = 4_000, 1_000
"""A stranger counts as four good jobs and one bad: worth trying, not worth preferring."""

_LEAST_PPM = 50_000
"""Never below one in twenty, so that a score stays finite and a node that was fixed can come back."""


class Reputation(msgspec.Struct, frozen=True, array_like=True):
    """Thousandths of jobs that went well and badly, as they weighed at `at_ns`."""

    successes_milli: U64
    failures_milli: U64
    at_ns: U64


NO_REPUTATION = Reputation(0, 0, 0)


def next_reputation(last: Reputation, succeeded: bool, at_ns: int) -> Reputation:
    """What is known after one more job."""
    good, bad = _fade(last, at_ns)
    return Reputation(good + (1_000 if succeeded else 0), bad + (0 if succeeded else 1_000), max(at_ns, last.at_ns))


def success_ppm_of(reputation: Reputation, now_ns: int) -> int:
    """A cautious probability of success in millionths: one standard deviation below the mean of a Beta posterior."""
    if reputation == NO_REPUTATION:
        # Of most nodes nothing is known, and nothing fades into nothing.
        return _STRANGER_PPM
    return _cautious_ppm_of(*_fade(reputation, now_ns))


def _cautious_ppm_of(good: int, bad: int) -> int:
    good, bad = good + _PRIOR_SUCCESSES_MILLI, bad + _PRIOR_FAILURES_MILLI
    total = good + bad
    mean = good * PPM // total
    # The Beta's variance is good x bad / (total^2 x (total + 1)), here with counts in thousandths.
    deviation = isqrt(good * bad * 1_000 * PPM * PPM // (total * total * (total + 1_000)))
    return max(_LEAST_PPM, mean - deviation)


_STRANGER_PPM = _cautious_ppm_of(0, 0)


def _fade(reputation: Reputation, now_ns: int) -> tuple[int, int]:
    age_ns = max(0, now_ns - reputation.at_ns)
    # More than 64 halvings leave nothing, and a shift by a huge number would cost memory.
    halvings, rest_ns = min(age_ns // HALF_LIFE_NS, 64), age_ns % HALF_LIFE_NS

    def fade(value: int) -> int:
        halved = value >> halvings
        return halved - halved * rest_ns // (2 * HALF_LIFE_NS)

    return fade(reputation.successes_milli), fade(reputation.failures_milli)
