"""Time words: a duration in a text for people, as a job file spells it."""

from __future__ import annotations

from metering.units import NANOS_PER_SECOND

_UNITS = (("d", 86400 * NANOS_PER_SECOND), ("h", 3600 * NANOS_PER_SECOND), ("m", 60 * NANOS_PER_SECOND))


def say_duration(duration_ns: int) -> str:
    """Exact, largest unit first: "100d", "1h30m", "10s"; parts of a second as a decimal: "0.5s"."""
    parts, left = [], duration_ns
    for unit, unit_ns in _UNITS:
        count, left = divmod(left, unit_ns)
        if count:
            parts.append(f"{count}{unit}")
    seconds, nanos = divmod(left, NANOS_PER_SECOND)
    if left or not parts:
        parts.append(f"{seconds}.{nanos:09d}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)
