"""Demands: those of this node that are open, by when they are due, and whether they can be met. No chain is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from metering.capacity import ElementProof
from metering.units import ZERO_HASH, Hash32
from xnode.ports.reveals import Demand, DemandedLeaf

MAX_OPEN = 10_000
"""Demands that are known at once; later ones are due later, and are read from the chain when there is room."""

URGENT_S = 7_200
"""What cannot be answered now, and is due so soon, is in danger."""

MAX_REASON_CHARS = 300


@dataclass(slots=True)
class Asked:
    """One open demand. try_at: not before (trio's clock); proofs: those that are made; reason: why the last try failed;
    is_hopeless: no later try will do better."""

    demand: Demand
    try_at: float = 0.0
    challenge_id: Hash32 = ZERO_HASH
    leaves: tuple[DemandedLeaf, ...] = ()
    proofs: dict[DemandedLeaf, ElementProof] = field(default_factory=dict)
    reason: str = ""
    is_hopeless: bool = False

    @property
    def is_proven(self) -> bool:
        return bool(self.leaves) and all(leaf in self.proofs for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class RevealState:
    """What a person is told. open: known demands; has_more: further ones may be open that were not read yet; until_s: when the
    first is due, by the chain's clock (0: none is open); late: how many will not be met in time as things are; reason: why."""

    open: int = 0
    has_more: bool = False
    until_s: int = 0
    late: int = 0
    reason: str = ""

    def describe(self) -> str:
        """One line, "" when none is open."""
        if not self.open:
            return ""
        count = f"{self.open}{' or more' if self.has_more else ''}"
        plural = "s" if self.open > 1 or self.has_more else ""
        until = datetime.fromtimestamp(self.until_s, UTC)
        said = f"{count} demand{plural} to show leaves of recorded answers, the first due by {until:%Y-%m-%d %H:%M UTC}"
        return f"{said}; {self.late} cannot be met in time: {self.reason}" if self.late else said

    def find_problem(self) -> str:
        """As describe(), "" also when all will be met."""
        return self.describe() if self.late else ""


NONE_OPEN = RevealState()


class OpenDemands:
    """In the order in which they are due, which is the order of their numbers."""

    def __init__(self) -> None:
        self._open: dict[int, Asked] = {}
        self.has_more = False
        self.pace_s = 0.0
        """What one answer took lately."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Asked]:
        return iter(self._open.values())

    @property
    def has_room(self) -> bool:
        return len(self._open) < MAX_OPEN

    def add(self, demand: Demand) -> None:
        """A later number than any before."""
        self._open.setdefault(demand.number, Asked(demand))

    def close(self, numbers: Iterable[int]) -> None:
        """These are answered or over."""
        for number in numbers:
            self._open.pop(number, None)

    def close_late(self, now_s: int) -> list[int]:
        """Those whose time is over are closed; their numbers."""
        over = [asked.demand.number for asked in self if asked.demand.deadline < now_s]
        self.close(over)
        return over

    def find_due(self, now: float, most: int) -> list[Asked]:
        """Those to try now, the first due first. now: trio's clock."""
        due = (asked for asked in self if asked.try_at <= now and not asked.is_hopeless)
        return [asked for asked, _ in zip(due, range(most), strict=False)]

    def judge(self, now_s: int) -> RevealState:
        """How it stands. now_s: the chain's time."""
        late, reasons = 0, []
        for place, asked in enumerate(self, 1):
            left_s = asked.demand.deadline - now_s
            if asked.is_hopeless or (asked.reason and left_s < URGENT_S):
                reasons.append(asked.reason)
            elif place * self.pace_s <= left_s:
                continue
            late += 1
        reason = reasons[0] if reasons else f"one answer takes {self.pace_s:.0f} s"
        until_s = next((asked.demand.deadline for asked in self), 0)
        return RevealState(len(self), self.has_more, until_s, late, reason[:MAX_REASON_CHARS] if late else "")
