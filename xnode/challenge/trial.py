"""Capacity trial: a challenge as one verifier judges it, and how this node speaks with the others in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from metering.capacity import SignedVerdict
from metering.units import Address, Hash32
from xnode.ports.capacity import Challenge
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer
from xnode.repeated_event import RepeatedEvent

LOOK_S = 1.0
"""Between looks at a challenge that is open: at most this is lost of a time limit."""


@dataclass(slots=True)
class Trial:
    """A challenge that this verifier judges. seen_ns: when the draw was; watched_ns: since when this process looks."""

    challenge: Challenge
    node: Address
    """The challenged node's key."""
    nodes: dict[Address, Address]
    """Panel member by node key."""
    seen_ns: int
    watched_ns: int
    deadline_ns: int
    """On our clock; the chain's own may go differently, so it is read anew for each challenge."""
    roots: tuple[Hash32, ...] = ()
    """Of all devices' answers, as the node gave them to us."""
    verdicts: dict[Address, SignedVerdict] = field(default_factory=dict)
    changed: RepeatedEvent = field(default_factory=RepeatedEvent)
    """Set at each new verdict."""

    @property
    def challenge_id(self) -> Hash32:
        return self.challenge.challenge_id


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls other nodes, each for so long and no longer."""

    net: Net
    clock: Clock

    async def call(self, node: Address, method: str, body: bytes, wait_ns: int) -> bytes:
        """As Net.call."""
        return await self.net.call(Peer(node), method, body, self.clock.now_ns() + wait_ns)
