"""The stopwatch of a workload: clocks that are set, and hosts that sleep, bill nothing."""

from __future__ import annotations

from pathlib import Path

from xnode.runtime.conmon.stopwatch import CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE, start_stopwatch

SECOND = 1_000_000_000
STARTED = 1_800_000_000 * SECOND


class Host:
    def __init__(self) -> None:
        self.clocks = {CLOCK_REALTIME_COARSE: STARTED + SECOND // 100, CLOCK_MONOTONIC_COARSE: 77 * SECOND}

    def read(self, clock: int) -> int:
        return self.clocks[clock]

    def run(self, seconds: int) -> None:
        for clock in self.clocks:
            self.clocks[clock] += seconds * SECOND

    def step(self, seconds: int) -> None:
        """The wall clock is set, or the host sleeps for so long."""
        self.clocks[CLOCK_REALTIME_COARSE] += seconds * SECOND


def test_time_in_which_the_host_slept_or_the_clock_was_set_is_not_running_time(tmp_path: Path) -> None:
    host = Host()
    watch = start_stopwatch(tmp_path / "watch", STARTED, host.read)
    host.run(60)
    for step in (3600, -7200):
        host.step(step)
        assert watch.running_ns() == 60 * SECOND + SECOND // 100
    host.step(3600)
    host.run(5)
    assert watch.ran_ns(host.read(CLOCK_REALTIME_COARSE)) == 65 * SECOND + SECOND // 100
    host.step(3600)
    assert watch.ran_ns(host.read(CLOCK_REALTIME_COARSE)) <= 65 * SECOND + SECOND // 100
    host.step(-90 * 60)
    assert watch.ran_ns(host.read(CLOCK_REALTIME_COARSE)) == 0, "it is the caller that remembers what it read before"


def test_a_restarted_daemon_goes_on_with_the_same_stopwatch(tmp_path: Path) -> None:
    host = Host()
    start_stopwatch(tmp_path / "watch", STARTED, host.read)
    host.run(10)
    host.step(3600)
    assert start_stopwatch(tmp_path / "watch", STARTED, host.read).running_ns() == 10 * SECOND + SECOND // 100
