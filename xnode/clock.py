"""Clock: the system's time, made to never go back."""

from __future__ import annotations

import time

STEP_NS = 1_000_000_000
"""The wall clock this far ahead of ours has been set: a smaller difference is the two clocks' own pace."""


class SystemClock:
    """Wall time at the start plus the time since, sleep included; where the wall clock is set forward, it follows.

    A wall clock set back does not make a lease run backwards: this one goes on, ahead of the wall, until the next start.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - _since_boot_ns()

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        now_ns = _since_boot_ns() + self._offset_ns
        ahead_ns = time.time_ns() - now_ns
        if ahead_ns > STEP_NS:
            # The clock was set at last, as after a boot without a network: others would refuse what we date in the past.
            self._offset_ns += ahead_ns
            now_ns += ahead_ns
        return now_ns


def _since_boot_ns() -> int:
    # CLOCK_MONOTONIC stands still while the host sleeps: everything signed after a suspend would be dated before it.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
