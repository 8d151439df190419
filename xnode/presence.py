"""Presence: how long this process was not there, as far as it can tell from the gaps between two looks at the clock.

A stopped process (SIGSTOP, a paused virtual machine), a host that sleeps, a clock that is set and a processor that is too
busy for us look alike from inside: the clock moved, and we did nothing meanwhile. What others did then we could not see.
"""

from __future__ import annotations

PACE_S = 0.25
"""Between two looks while nothing else happens."""

GAP_NS = 1_000_000_000
"""A gap longer than this was an absence; a shorter one is a busy moment, and every deadline between nodes is longer."""


class Presence:
    """The absences of one process so far."""

    def __init__(self, now_ns: int, away_ns: int = 0) -> None:
        """away_ns: how long it was away before it started."""
        self._seen_ns = now_ns
        self._away_ns = away_ns

    def look(self, now_ns: int) -> int:
        """How long the absence was that this look ends; 0 when there was none."""
        gap_ns = self._gap_ns(now_ns)
        self._seen_ns = now_ns
        self._away_ns += gap_ns
        return gap_ns

    def away_ns(self, now_ns: int) -> int:
        """All absences together, with one that may be ending now."""
        return self._away_ns + self._gap_ns(now_ns)

    def _gap_ns(self, now_ns: int) -> int:
        gap_ns = now_ns - self._seen_ns
        return gap_ns if gap_ns > GAP_NS else 0
