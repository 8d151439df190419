"""Plan: what a field run does to its nodes, all of it from one seed: who is hit how, when, and for how long it is away."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill -9", "SIGTERM", "SIGSTOP"]

KINDS: tuple[Kind, ...] = ("kill -9", "SIGTERM", "SIGSTOP")
SIDES: tuple[tuple[str, ...], ...] = (("provider",), ("submitter",), ("provider", "submitter"))

AWAY_S = (0.0, 30.0)
"""Together with a slow start below a minute: what both sides sign for by default may go unpaid for so long."""

GAP_S = (1.0, 15.0)
"""Between two blows: less than a node needs to catch up, or more than two intervals of receipts."""


@dataclass(frozen=True, slots=True)
class Blow:
    """after_s: since the last one was over; away_s: until the nodes are started again, or go on."""

    sides: tuple[str, ...]
    kind: Kind
    after_s: float
    away_s: float

    def __str__(self) -> str:
        return f"{self.kind} of {' and '.join(self.sides)}, away for {self.away_s:.1f} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """Of a long run. load: processes that do nothing but compute, beside it; on_memory: whether homes are on a tmpfs."""

    minutes: float
    leases: int
    load: int
    seed: int
    on_memory: bool

    def blows(self) -> Iterator[Blow]:
        """One after the other, without end."""
        entropy = random.Random(self.seed)
        while True:
            yield Blow(entropy.choice(SIDES), entropy.choice(KINDS), entropy.uniform(*GAP_S), entropy.uniform(*AWAY_S))

    def __str__(self) -> str:
        where = "memory" if self.on_memory else "disk"
        return (
            f"FIELD_MINUTES={self.minutes:g} FIELD_LEASES={self.leases} FIELD_LOAD={self.load} FIELD_SEED={self.seed}"
            f" FIELD_HOME={where}"
        )


def read_plan() -> Plan:
    """The plan that the environment asks for; ten minutes under ten leases without a word."""
    return Plan(
        minutes=float(os.environ.get("FIELD_MINUTES", "10")),
        leases=int(os.environ.get("FIELD_LEASES", "10")),
        load=int(os.environ.get("FIELD_LOAD", "8")),
        seed=int(os.environ.get("FIELD_SEED") or secrets.randbits(32)),
        on_memory=os.environ.get("FIELD_HOME", "memory") == "memory",
    )


DECISIVE = (
    Blow(("provider",), "kill -9", 6.0, 15.0),
    Blow(("submitter",), "SIGTERM", 3.0, 12.0),
    Blow(("provider",), "SIGSTOP", 3.0, 14.0),
    Blow(("provider", "submitter"), "kill -9", 3.0, 2.0),
)
"""One of each kind that has ended paid work, under a minute of them."""
