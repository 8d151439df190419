"""Round trips, smoothed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.latency import LEAST_WINDOW_NS, next_latency


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50))
def test_the_smoothed_value_stays_between_the_samples(samples: list[int]) -> None:
    latency = None
    for at_ns, sample in enumerate(samples):
        latency = next_latency(latency, sample, at_ns)
    assert latency is not None
    assert min(samples) == latency.least_us <= latency.smoothed_us <= max(samples)
    assert latency.samples == len(samples)


def test_a_steady_round_trip_is_reached_from_both_sides() -> None:
    for first in (0, 500_000):
        latency = next_latency(None, first, 0)
        for at_ns in range(200):
            latency = next_latency(latency, 20_000, at_ns)
        assert latency.smoothed_us == 20_000


def test_an_old_least_is_forgotten() -> None:
    latency = next_latency(next_latency(None, 5, 0), 100, LEAST_WINDOW_NS - 1)
    assert latency.least_us == 5
    assert next_latency(latency, 80, LEAST_WINDOW_NS).least_us == 80


def test_a_clock_that_went_back_gives_no_negative_time() -> None:
    assert next_latency(None, -3, 0).smoothed_us == 0
