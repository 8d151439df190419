"""Clock: the system's time, made to never go back."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time at start plus monotonic time since: a clock set back does not make a lease run backwards."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        return time.monotonic_ns() + self._offset_ns
