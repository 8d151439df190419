"""Pulse: what our own requests show of a chain node: whether it is there, how far it is, and how fast its blocks come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import NamedTuple

import trio

from xnode.text.wait import show_wait

SAID_AFTER_S = 2.0
"""A shorter fault is a hiccup that the next try mends."""

FORGOTTEN_AFTER_S = 60.0
"""A fault that has not come again for so long is over, though what failed was not asked since."""

REWOUND_AFTER_S = 30.0
"""A node that is behind for so long without a break does not lag: its chain has gone back, and that is the truth now."""

FROZEN_AFTER_S = 60.0
"""The least time without a block that counts as frozen; slower chains get it by their own pace."""

FROZEN_BLOCKS = 20
"""Usual block times without a block after which a chain is frozen."""


IRREGULAR = 10
"""A chain whose longest wait for a block is so many times the usual makes blocks when it likes: it is never frozen."""


class BlockPace(NamedTuple):
    """Seconds between blocks: usual is the median, or the mean where most come within one second, as blocks' times have no
    parts of a second; longest is the longest of those looked at."""

    usual_s: float
    longest_s: float


def pace_of(timestamps: Sequence[int]) -> BlockPace | None:
    """By the times of blocks that follow each other, oldest first; None of fewer than three."""
    gaps = [later - earlier for earlier, later in pairwise(timestamps)]
    if len(gaps) < 2:
        return None
    return BlockPace(float(median(gaps) or mean(gaps)), float(max(gaps)))


class _Fault(NamedTuple):
    since: float
    last: float
    sentence: str


class Pulse:
    """One chain node's. where: for people; now: seconds that never go back."""

    def __init__(self, where: str, now: Callable[[], float] = trio.current_time) -> None:
        self._where, self._now = where, now
        self._faults: dict[str, _Fault] = {}
        self._behind_since: float | None = None
        self._moved_at: float | None = None
        self.head = -1
        """The newest block that we have seen."""
        self.pace: BlockPace | None = None

    def heard(self, subject: str) -> None:
        """It gave an answer that fits: see failed."""
        self._faults.pop(subject, None)
        self._faults.pop("", None)

    def failed(self, subject: str, sentence: str) -> None:
        """It did not. subject: the method, or "" when it cannot be reached at all."""
        known, now = self._faults.get(subject), self._now()
        since = known.since if known and now - known.last < FORGOTTEN_AFTER_S else now
        self._faults[subject] = _Fault(since, now, sentence)

    def saw_head(self, number: int) -> int:
        """How many blocks it is behind what we have seen: 0 when what it says now is the newest that there is."""
        now = self._now()
        if number >= self.head or self._is_rewound(now):
            if number != self.head:
                self.head, self._moved_at = number, now
            self._behind_since = None
            return 0
        if self._behind_since is None:
            self._behind_since = now
        return self.head - number

    def _is_rewound(self, now: float) -> bool:
        return self._behind_since is not None and now - self._behind_since >= REWOUND_AFTER_S

    @property
    def still_s(self) -> float:
        """For how long the newest block has stayed the newest; 0 before any was seen."""
        return self._now() - self._moved_at if self._moved_at is not None else 0.0

    def describe(self) -> str:
        """One line about what is wrong with it now, "" when nothing is."""
        now = self._now()
        faults = [
            (subject, fault)
            for subject, fault in self._faults.items()
            if fault.last - fault.since >= SAID_AFTER_S and now - fault.last < FORGOTTEN_AFTER_S
        ]
        if faults:
            _, fault = min(faults, key=lambda one: (one[0] != "", one[1].since))
            return f"{fault.sentence}, for {show_wait(now - fault.since)} now"
        if self._behind_since is not None and now - self._behind_since >= SAID_AFTER_S:
            return f"the chain node at {self._where} is behind block {self.head}, which it has shown before"
        return self._describe_frozen(now)

    def _describe_frozen(self, now: float) -> str:
        if self.pace is None or self._moved_at is None:
            return ""
        stands = _describe_standstill(self.pace, now - self._moved_at)
        return f"the chain at {self._where} {stands}" if stands else ""


def find_standstill(timestamps: Sequence[int], now_s: float) -> str:
    """What the times of a chain's newest blocks say at this time UTC: "has made no block for 5 min ...", "" when it goes on."""
    pace = pace_of(timestamps)
    return _describe_standstill(pace, now_s - timestamps[-1]) if pace else ""


def _describe_standstill(pace: BlockPace, still_s: float) -> str:
    if pace.longest_s > IRREGULAR * max(1.0, pace.usual_s):
        return ""
    if still_s < max(FROZEN_AFTER_S, FROZEN_BLOCKS * pace.usual_s, 3 * pace.longest_s):
        return ""
    return f"has made no block for {show_wait(still_s)} (usually one comes each {pace.usual_s:g} s)"
