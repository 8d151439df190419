"""Bench of the market's search, by tests.bench.matching: one row for each size of market.

python -m tests.bench.run --only matching
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bench import matching
from tests.bench.row import Row, judge, show_rate, show_times

TARGET_PER_CORE_S = 5_000
TARGET_P99_MS = 3.0
TARGET_OFFERS = 100_000
"""The size of market that the target is for."""


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Ours against looking at every offer as an object."""
    say("matching: making markets, then searching them for some seconds each")
    by_size: dict[int, list[dict[str, Any]]] = {}
    for found in matching.run((1_000, 10_000, TARGET_OFFERS)):
        by_size.setdefault(found["offers"], []).append(found)
    return [_make_row(size, rows) for size, rows in by_size.items()]


def _make_row(size: int, rows: list[dict[str, Any]]) -> Row:
    naive = next(row for row in rows if "naive" in row["way"])
    ours = next(row for row in rows if "naive" not in row["way"])
    rate = ours["searches_per_s"]
    met = rate >= TARGET_PER_CORE_S and ours["p99_ms"] <= TARGET_P99_MS
    return Row(
        what=f"match of one job among {size:,} offers, pure Python",
        ours=f"{_show(ours)}",
        other=f"scan of every offer: {_show(naive)}",
        ratio=show_times(rate / naive["searches_per_s"]),
        target=f">= {TARGET_PER_CORE_S:,} /s/core, p99 <= {TARGET_P99_MS:.0f} ms" if size == TARGET_OFFERS else "",
        verdict=judge(met) if size == TARGET_OFFERS else "",
    )


def _show(row: dict[str, Any]) -> str:
    return f"{show_rate(row['searches_per_s'])}/core, p50 {row['p50_ms']:.3g} ms, p99 {row['p99_ms']:.3g} ms"
