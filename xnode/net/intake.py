"""Intake: how much of others' asking we take on at once and over time, each peer alone and all together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from metering.units import Address

MAX_BUCKETS = 4096
"""Peers whose rate is remembered; the longest silent is forgotten, and a bucket that is full again holds no information."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """at_once: open requests, of one peer and in total; rate and burst: requests a second of one peer. paced: one above the
    rate waits until it is due; it counts as open meanwhile, so no more than at_once_peer ever wait."""

    at_once_peer: int
    at_once_total: int
    rate: float
    burst: float
    paced: bool = False


CALL_LIMITS = IntakeLimits(at_once_peer=32, at_once_total=512, rate=500.0, burst=1000.0)
"""A submitter with 100 leases and a receipt a second for each is at a fifth of the rate."""

STREAM_LIMITS = IntakeLimits(at_once_peer=32, at_once_total=256, rate=20.0, burst=64.0, paced=True)
"""Logs and blobs: few and long. Each holds a task and at most one frame. An honest reader of many small ones is slowed down
by at most at_once_peer / rate, rather than told that we are busy."""


@dataclass(slots=True)
class Intake:
    """Counts and token buckets. Pure: the time comes in, seconds of any steady clock."""

    limits: IntakeLimits
    _open: Counter[Address] = field(default_factory=Counter)
    _buckets: dict[Address, tuple[float, float]] = field(default_factory=dict)

    @property
    def open_requests(self) -> int:
        return self._open.total()

    def enter(self, peer: Address, now: float) -> float | str:
        """Take a request on, to be begun after so many seconds; or why not. Every number is paid back by one leave()."""
        if self._open[peer] >= self.limits.at_once_peer:
            return f"more than {self.limits.at_once_peer} requests open at once"
        if self._open.total() >= self.limits.at_once_total:
            return "too many requests open, of all peers together"
        level = self._take_token(peer, now)
        if level < 0 and not self.limits.paced:
            return f"more than {self.limits.rate:.0f} requests a second"
        self._open[peer] += 1
        return max(0.0, -level / self.limits.rate)

    def leave(self, peer: Address) -> None:
        """A request that was taken on has ended."""
        self._open[peer] -= 1
        if self._open[peer] <= 0:
            del self._open[peer]

    def _take_token(self, peer: Address, now: float) -> float:
        """What is left in the peer's bucket; below zero: how far it is ahead of its rate."""
        level, then = self._buckets.pop(peer, (self.limits.burst, now))
        level = min(self.limits.burst, level + (now - then) * self.limits.rate) - 1.0
        # Popped and put back: the dict's order is that of the last request, oldest first.
        self._buckets[peer] = (level if level >= 0 or self.limits.paced else level + 1.0, now)
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return level
