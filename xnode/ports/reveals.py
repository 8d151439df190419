"""Reveals: demands on chain to show leaves of recorded capacity answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from metering.capacity import ElementProof
from metering.units import Address, Hash32

DemandStage = Literal["none", "demanded", "revealed", "unrevealed", "proven_wrong"]
"""In the order of AnswerReveals' Stage."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand. deadline: the chain's seconds; at_block: whose log has its leaves."""

    number: int
    provider: Address
    stage: DemandStage
    deadline: int
    at_block: int


@dataclass(frozen=True, slots=True)
class DemandedLeaf:
    """A leaf that is asked for: number `index` of the tree of a device's product. seed, n: of the device's matrices; root: as
    recorded."""

    device: int
    index: int
    n: int
    seed: Hash32
    root: Hash32


class RevealChain(Protocol):
    """AnswerReveals, as a challenged node needs it. Raises as Chain does."""

    async def read_time(self) -> int:
        """The newest block's time in the chain's own seconds."""
        ...

    async def count_demands(self) -> int:
        """The number of the last demand; deadlines ascend with numbers."""
        ...

    async def read_demands(self, first: int, last: int) -> tuple[Demand, ...]:
        """Those with these numbers, both ends included."""
        ...

    async def read_leaves(self, demand: Demand) -> tuple[Hash32, tuple[DemandedLeaf, ...]]:
        """The challenge that a demand is about, and the leaves; Retryable when the log is not there yet."""
        ...

    async def reveal(self, demand: Demand, leaves: tuple[DemandedLeaf, ...], proofs: tuple[ElementProof, ...]) -> None:
        """Shows the leaves."""
        ...
