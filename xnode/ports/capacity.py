"""Capacity: challenges on chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from metering.capacity import SignedVerdict
from metering.units import Address, Hash32
from xnode.node.credit_term import NO_TERM, CreditTerm

ChallengeStage = Literal["none", "requested", "drawn", "passed", "failed", "lapsed"]
"""In the order of CapacityRegistry's Stage."""


@dataclass(frozen=True, slots=True)
class DeclaredClass:
    """So many devices of one class, as a challenge judges them: see ICapacityRegistry.Class."""

    class_id: int
    count: int
    name: str
    kind: Literal["gpu", "cpu"]
    weight_milli: int
    n: int
    time_limit_ms: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """A capacity challenge on chain. seed, panel (providers' addresses, ascending), quorum, deadline and drawn_at (the
    chain's seconds) are those of the draw, and empty before it."""

    challenge_id: Hash32
    provider: Address
    stage: ChallengeStage
    draw_block: int
    deadline: int
    seed: Hash32
    panel: tuple[Address, ...]
    quorum: int
    declared: tuple[DeclaredClass, ...]
    drawn_at: int = 0


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest block: its number and its time in the chain's own seconds."""

    number: int
    time: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verdict in force says that a provider has, in doubt or not; zeros when there is none. term: until when its
    leases may run; in_doubt_until_s: 0 when the capacity is not in doubt; in_default: by its credits."""

    vcpus: int
    gpus: int
    term: CreditTerm = NO_TERM
    in_doubt_until_s: int = 0
    is_jailed: bool = False
    in_default: bool = False


class CapacityChain(Protocol):
    """CapacityRegistry, as challenges need it. Raises as Chain does."""

    async def read_head(self) -> ChainHead: ...

    async def list_challenges(self, first_block: int, last_block: int) -> tuple[Hash32, ...]:
        """Those that something happened to in these blocks; a hint where to look, as every log is."""
        ...

    async def read_challenge(self, challenge_id: Hash32, *, confirmed: bool = False) -> Challenge:
        """As it is in the newest block, or in the newest one that is final."""
        ...

    async def find_open(self, provider: Address) -> Hash32 | None:
        """The provider's open challenge."""
        ...

    async def read_verified(self, provider: Address) -> Verified:
        """What is verified of the provider, and what its credits ask of its leases."""
        ...

    async def list_verifiers(self) -> tuple[Address, ...]:
        """The providers that are verifiers now."""
        ...

    async def list_nodes(self, providers: tuple[Address, ...]) -> tuple[Address, ...]:
        """The node key of each, zero for one that is no longer a provider."""
        ...

    async def draw(self, challenge_id: Hash32, *, at_once: bool = False) -> None:
        """Have it drawn; nothing when another has. at_once: in the first block that may, which is not there yet."""
        ...

    async def record(
        self, challenge_id: Hash32, roots: tuple[Hash32, ...], verdicts: tuple[tuple[Address, SignedVerdict], ...]
    ) -> None:
        """Hand in the verdicts of a quorum, by verifier, ascending, with the roots that they passed; nothing when another has."""
        ...

    async def count_misses(self, verifier: Address) -> int:
        """How many challenges in a row it was drawn for without a verdict of its own on chain."""
        ...

    async def show(self, challenge_id: Hash32, verifier: Address, verdict: SignedVerdict) -> None:
        """Show a verdict that no quorum took up, so that its verifier does not count as absent."""
        ...
