"""Capacity trial: a challenge as one verifier judges it, and how this node speaks with the others in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from metering.capacity import SignedVerdict
from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import Address, Hash32
from xnode.ports.capacity import Challenge
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused
from xnode.repeated_event import RepeatedEvent

LOOK_S = 1.0
"""Between looks at a challenge that is open: no more than this is lost of anybody's time limit."""

T = TypeVar("T")


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


def read_refusal(refused: RpcRefused) -> Refusal:
    """Why another said no."""
    try:
        return decode_strict(refused.body, Refusal)
    except ValueError:
        return Refusal("malformed_refusal", "the node's no cannot be read")


def describe(error: Exception) -> str:
    """A fault or a no, for the log."""
    return read_refusal(error).code if isinstance(error, RpcRefused) else str(error)[:200]


def read_request(body: bytes, kind: type[T]) -> T:
    """A stranger's request. Raises RpcRefused."""
    try:
        return decode_strict(body, kind)
    except ValueError as error:
        raise refuse("malformed", f"the request is not a {kind.__name__}: {str(error)[:200]}") from None


def refuse(code: str, detail: str) -> RpcRefused:
    """Our own no."""
    return RpcRefused(encode(Refusal(code, detail)))
