"""Bench of the meter and of the engine's start, by tests.bench.metering_error.

python -m tests.bench.run --only meter
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.bench import metering_error
from tests.bench.row import Row, show_times


def run(say: Callable[[str], None] = print) -> list[Row]:
    """CPU time against what the load itself used, then the engine's start against bare podman."""
    say("meter: four loads of known size, then starts in turns")
    found = metering_error.run()
    loads = [row for row in found if "error_percent" in row]
    starts = {row["what"]: row for row in found if "ms_p50" in row}
    return [*(_make_load_row(row) for row in loads), _make_start_row(starts)]


def _make_load_row(row: dict[str, Any]) -> Row:
    return Row(
        what=row["what"],
        ours=f"{row['metered_s']:.3f} s",
        other=f"the load's own getrusage: {row['known_s']:.3f} s",
        ratio=f"{row['error_percent']:+.2f} %",
    )


def _make_start_row(starts: dict[str, dict[str, Any]]) -> Row:
    ours, bare = starts["engine.start"], starts["bare podman run -d"]
    return Row(
        what="start of a workload: own disk, cgroup, user namespace, locked down",
        ours=f"p50 {ours['ms_p50']:.0f} ms, p90 {ours['ms_p90']:.0f} ms",
        other=f"bare `podman run -d`: p50 {bare['ms_p50']:.0f} ms, p90 {bare['ms_p90']:.0f} ms",
        ratio=show_times(ours["ms_p50"] / bare["ms_p50"]),
    )
