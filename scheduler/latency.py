"""Latency: the measured round trips to one node, smoothed."""

from __future__ import annotations

import msgspec

from metering.units import NANOS_PER_SECOND, U64

LEAST_WINDOW_NS = 600 * NANOS_PER_SECOND
"""After ten minutes a least round trip counts no more: routes change."""

_SMOOTHING = 8
"""Each sample moves the smoothed value by an eighth of the difference, as TCP does (RFC 6298)."""


class Latency(msgspec.Struct, frozen=True, array_like=True):
    """least_us: the shortest round trip since `least_at_ns`, near the true distance; smoothed_us: to expect now."""

    least_us: U64
    least_at_ns: U64
    smoothed_us: U64
    samples: U64


def next_latency(last: Latency | None, sample_us: int, at_ns: int) -> Latency:
    """What is known after one more round trip of `sample_us` microseconds."""
    sample_us = max(0, sample_us)
    if last is None:
        return Latency(sample_us, at_ns, sample_us, 1)
    keeps_least = last.least_us < sample_us and at_ns - last.least_at_ns < LEAST_WINDOW_NS
    least_us, least_at_ns = (last.least_us, last.least_at_ns) if keeps_least else (sample_us, at_ns)
    # Rounded towards the sample, so that a steady sample is reached and not only approached.
    step = sample_us - last.smoothed_us
    moved = -(-step // _SMOOTHING) if step > 0 else step // _SMOOTHING
    return Latency(least_us, least_at_ns, last.smoothed_us + moved, last.samples + 1)
