"""Clock: what time it is."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The only place that knows what time it is."""

    def now_ns(self) -> int:
        """Nanoseconds UTC; never goes back within one process."""
        ...
