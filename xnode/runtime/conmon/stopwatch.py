"""Stopwatch: how long a workload has run, by a clock that nobody sets and that stands still while the host sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xnode.durable import replace_file

CLOCK_REALTIME_COARSE = 5
"""The clock that stamps files. A finer one would run ahead of the time of the exit that is read from a file later."""

CLOCK_MONOTONIC_COARSE = 6
"""It ticks together with the one that stamps files."""

ReadClock = Callable[[int], int]
"""A clock's number -> nanoseconds, as time.clock_gettime_ns."""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """stamped_ns: when the workload started, as the host's wall clock stamped it; began_ns: the same moment by the clock that
    this goes by."""

    stamped_ns: int
    began_ns: int
    read: ReadClock = time.clock_gettime_ns

    def running_ns(self) -> int:
        """Since the start, of a workload that runs."""
        return max(0, self.read(CLOCK_MONOTONIC_COARSE) - self.began_ns)

    def ran_ns(self, finished_ns: int) -> int:
        """Until this stamp of the wall clock: never more than has passed, where that clock was set meanwhile."""
        return min(max(0, finished_ns - self.stamped_ns), self.running_ns())


def start_stopwatch(path: Path, stamped_ns: int, read: ReadClock = time.clock_gettime_ns) -> Stopwatch:
    """The workload's stopwatch: as an earlier call left it in the file, which must not outlive the host's boot; else begun
    now, a moment after the start, before anybody can have set a clock."""
    try:
        began_ns = int(path.read_text())
    except (FileNotFoundError, ValueError):
        began_ns = read(CLOCK_MONOTONIC_COARSE) - max(0, read(CLOCK_REALTIME_COARSE) - stamped_ns)
        replace_file(path, str(began_ns), sync=False)
    return Stopwatch(stamped_ns, began_ns, read)
