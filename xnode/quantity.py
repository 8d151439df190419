"""Quantity: sizes and durations as people write them ("2GiB", "1h30m"), exactly."""

from __future__ import annotations

import re
from fractions import Fraction

from metering.units import NANOS_PER_SECOND, U64_MAX

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
_DURATION_UNITS = {
    "ms": NANOS_PER_SECOND // 1000,
    "s": NANOS_PER_SECOND,
    "m": 60 * NANOS_PER_SECOND,
    "h": 3_600 * NANOS_PER_SECOND,
    "d": 86_400 * NANOS_PER_SECOND,
}
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,12})?)\s*([A-Za-z]*)")
_DURATION = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,12})?)(ms|s|m|h|d)")


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError with what a size looks like."""
    found = _SIZE.fullmatch(text.strip())
    if not found or found[2].lower() not in _SIZE_UNITS:
        raise ValueError(f'"{text[:40]}" is not a size; write it like "512MiB" or "2GiB"')
    size = Fraction(found[1]) * _SIZE_UNITS[found[2].lower()]
    if size.denominator != 1 or size > U64_MAX:
        raise ValueError(f'"{text[:40]}" is not a whole number of bytes below 2**64')
    return int(size)


def parse_duration_ns(text: str) -> int:
    """Nanoseconds. Raises ValueError with what a duration looks like."""
    compact = text.strip().replace(" ", "")
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise ValueError(f'"{text[:40]}" is not a duration; write it like "90s", "10m" or "1h30m"')
    total = sum((Fraction(number) * _DURATION_UNITS[unit] for number, unit in parts), Fraction(0))
    if total.denominator != 1 or total > U64_MAX:
        raise ValueError(f'"{text[:40]}" is not a whole number of nanoseconds below 2**64')
    return int(total)


def format_size(size_bytes: int) -> str:
    """Three significant figures in the largest fitting binary unit: "1.5 GiB"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes >= _SIZE_UNITS[unit.lower()]:
            return f"{size_bytes / _SIZE_UNITS[unit.lower()]:.3g} {unit}"
    return f"{size_bytes} B"


def format_duration(duration_ns: int) -> str:
    """The two largest units that are not zero: "1h 30m", "4.2s", "180ms"."""
    if duration_ns < NANOS_PER_SECOND:
        return f"{duration_ns / 1e6:.0f}ms"
    if duration_ns < 60 * NANOS_PER_SECOND:
        return f"{duration_ns / NANOS_PER_SECOND:.3g}s"
    left, parts = duration_ns, []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _DURATION_UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
