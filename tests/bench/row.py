"""Row: one line of the benchmark page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

Verdict = Literal["met", "not met", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """what: the thing measured; ours, other: figures with units; ratio: between the two, from one run; target: of the
    design, with `verdict` saying whether it is met."""

    what: str
    ours: str
    other: str = ""
    ratio: str = ""
    target: str = ""
    verdict: Verdict = ""


def judge(holds: bool) -> Verdict:
    """Whether a target is met, in words."""
    return "met" if holds else "not met"


def show_rate(per_s: float) -> str:
    """So many a second, to three digits."""
    return f"{_round(per_s):,} /s"


def show_times(factor: float) -> str:
    """A ratio."""
    return f"{factor:,.0f}x" if factor >= 20 else f"{factor:.1f}x"


def show_ms(values_s: Iterable[float]) -> str:
    """p50 and p95 of times in seconds."""
    values = list(values_s)
    return f"p50 {median(values) * 1e3:,.0f} ms, p95 {find_p95(values) * 1e3:,.0f} ms"


def find_p95(values: list[float]) -> float:
    """The 95th percentile, between the samples around it."""
    return quantiles(values, n=20, method="inclusive")[18] if len(values) > 1 else values[0]


def _round(value: float) -> int:
    digits = max(0, len(str(int(value))) - 3)
    return int(round(value / 10**digits) * 10**digits)
