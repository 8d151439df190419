"""Clock: the system's time, made to never go back."""

from __future__ import annotations

import time

STEP_NS = 1_000_000_000
"""The wall clock this far from ours has been set: a smaller difference is the two clocks' own pace."""


class SystemClock:
    """Wall time at the start plus the time since, sleep included; where the wall clock is set forward, it follows.

    A wall clock set back does not make a lease run backwards: this one goes on, ahead of the wall, until the next start.
    """

    def __init__(self, offset_ns: int | None = None, follows: bool = True) -> None:
        """offset_ns: UTC less the time since the host's boot, where it is to go on as before; follows: False where somebody
        else says when a wall clock that was set is followed (kept_clock)."""
        self._offset_ns = read_offset_ns() if offset_ns is None else offset_ns
        self._follows = follows

    @property
    def offset_ns(self) -> int:
        """UTC by this clock less the time since the host's boot."""
        return self._offset_ns

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        if self._follows:
            # The clock was set at last, as after a boot without a network: others would refuse what we date in the past.
            self.take_step(self.find_step_ns())
        return _since_boot_ns() + self._offset_ns

    def find_step_ns(self) -> int:
        """How far the wall clock was set ahead of this one, below zero where it was set back; 0 when it was not set."""
        step_ns = read_offset_ns() - self._offset_ns
        return step_ns if abs(step_ns) > STEP_NS else 0

    def take_step(self, step_ns: int) -> None:
        """Follow a step ahead; one back changes nothing."""
        self._offset_ns += max(0, step_ns)


def read_offset_ns() -> int:
    """UTC by the wall clock less the time since the host's boot."""
    return time.time_ns() - _since_boot_ns()


def _since_boot_ns() -> int:
    # CLOCK_MONOTONIC stands still while the host sleeps: everything signed after a suspend would be dated before it.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
