"""Intake: how much of others' asking we take on at once and over time, each peer alone and all together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from metering.units import Address
from xnode.net.entrance import Pace
from xnode.net.standing import Standing

MAX_BUCKETS = 4096
"""Peers whose rate is remembered; the longest silent is forgotten, and a bucket that is full again holds no information."""


@dataclass(frozen=True, slots=True)
class Share:
    """What strangers get. at_once: open requests of all of them together, the rest is kept for those we know; rate and burst: of
    one; all_rate and all_burst: of all together, beyond which only those are served that have asked little."""

    at_once: int
    rate: float
    burst: float
    all_rate: float
    all_burst: float


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """at_once: open requests, of one peer and in total; rate and burst: requests a second of one peer. paced: one above the
    rate waits until it is due; it counts as open meanwhile, so no more than at_once_peer ever wait. strangers: their share;
    None: as everybody's."""

    at_once_peer: int
    at_once_total: int
    rate: float
    burst: float
    paced: bool = False
    strangers: Share | None = None


CALL_LIMITS = IntakeLimits(
    at_once_peer=32,
    at_once_total=512,
    rate=500.0,
    burst=1000.0,
    strangers=Share(at_once=256, rate=20.0, burst=400.0, all_rate=150.0, all_burst=1500.0),
)
"""A submitter with 100 leases and a receipt a second for each is at a fifth of the rate. A stranger that looks around asks for a
record of each node it has heard of, and a stranger that buys makes ten calls; all together take a fifth of a processor."""

STREAM_LIMITS = IntakeLimits(
    at_once_peer=32,
    at_once_total=256,
    rate=20.0,
    burst=64.0,
    paced=True,
    strangers=Share(at_once=64, rate=5.0, burst=32.0, all_rate=20.0, all_burst=64.0),
)
"""Logs and blobs: few and long. Each holds a task and at most one frame. An honest reader of many small ones is slowed down
by at most at_once_peer / rate, rather than told that we are busy."""


FREE_BYTES = 32 << 10
"""Bytes of one request or answer that are not counted: most have far less."""

STRANGERS_BYTES = 16 << 20
"""What strangers together may have us hold of longer ones: a frame of 1 MiB that never ends costs them nothing else."""


@dataclass(slots=True)
class Room:
    """How many bytes are held for strangers."""

    most: int = STRANGERS_BYTES
    held: int = 0

    def take(self, size: int) -> bool:
        """False when there is no room for so many more."""
        if self.held + size > self.most:
            return False
        self.held += size
        return True

    def give(self, size: int) -> None:
        """So many are held no longer."""
        self.held -= size


@dataclass(slots=True)
class Intake:
    """Counts and token buckets. Pure: the time comes in, seconds of any steady clock."""

    limits: IntakeLimits
    _open: Counter[Address] = field(default_factory=Counter)
    _strangers: Counter[Address] = field(default_factory=Counter)
    _buckets: dict[Address, tuple[float, float]] = field(default_factory=dict)
    _shared: Pace = field(init=False)

    def __post_init__(self) -> None:
        share = self.limits.strangers
        self._shared = Pace(share.all_rate, share.all_burst) if share else Pace(1.0, 1.0)

    @property
    def open_requests(self) -> int:
        return self._open.total()

    def enter(self, peer: Address, now: float, standing: Standing = Standing.PARTNER) -> float | str:
        """Take a request on, to be begun after so many seconds; or why not. Every number is paid back by one leave()."""
        share = self.limits.strangers if standing < Standing.PARTNER else None
        if self._open[peer] >= self.limits.at_once_peer:
            return f"more than {self.limits.at_once_peer} requests open at once"
        if self._open.total() >= self.limits.at_once_total or (share and self._strangers.total() >= share.at_once):
            return "too many requests open, of all peers together"
        is_stranger = share is not None and standing is Standing.STRANGER
        rate, burst = (share.rate, share.burst) if share and is_stranger else (self.limits.rate, self.limits.burst)
        level = self._take_token(peer, now, rate, burst)
        if level < 0 and not self.limits.paced:
            return f"more than {rate:.0f} requests a second"
        if is_stranger and not self._shared.try_take(now) and level < burst / 2:
            return "too many requests of strangers; ask again later"
        self._open[peer] += 1
        if share:
            self._strangers[peer] += 1
        return max(0.0, -level / rate)

    def leave(self, peer: Address) -> None:
        """A request that was taken on has ended."""
        for counter in (self._open, self._strangers):
            if peer in counter:
                counter[peer] -= 1
                if counter[peer] <= 0:
                    del counter[peer]

    def _take_token(self, peer: Address, now: float, rate: float, burst: float) -> float:
        """What is left in the peer's bucket; below zero: how far it is ahead of its rate."""
        level, then = self._buckets.pop(peer, (burst, now))
        level = min(burst, level + (now - then) * rate) - 1.0
        # Popped and put back: the dict's order is that of the last request, oldest first.
        self._buckets[peer] = (level if level >= 0 or self.limits.paced else level + 1.0, now)
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return level
