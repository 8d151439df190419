"""Net: other nodes: calls, streams, records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from metering.units import Address


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node and where it may be reached (multiaddrs without /p2p, may be empty: then the DHT is asked)."""

    address: Address
    multiaddrs: tuple[str, ...] = ()


RpcHandler = Callable[[Address, bytes], Awaitable[bytes]]
"""(caller's proven address, request body) -> response body; raises RpcRefused to say no."""


StreamHandler = Callable[[Address, bytes, Callable[[bytes], Awaitable[None]]], Awaitable[None]]
"""(caller, request body, send one frame): answers with frames until it returns."""


class RpcRefused(Exception):
    """The peer (or our handler) says no: `body` is an encoded metering Refusal."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        super().__init__("refused")


class Net(Protocol):
    """libp2p behind one narrow door. Raises Retryable when a peer cannot be reached or breaks off."""

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        """One request, one response. Raises RpcRefused when the peer refuses, Permanent when it does not know the method."""
        ...

    def stream(self, peer: Peer, method: str, body: bytes) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """One request, many frames."""
        ...

    async def publish_record(self, record: bytes, wait_s: float = 0.0) -> None:
        """Make our node's own (already signed) record known, beside; wait_s: how long to wait for that."""
        ...

    async def find_providers(self, tell: Callable[[Address], None] | None = None) -> tuple[Address, ...]:
        """Every node that is claimed to be a provider, once all that could be asked have answered or are late; tell: called
        with each as soon as one of them names it."""
        ...

    async def get_record(self, address: Address) -> bytes | None:
        """The freshest valid record of a node, or None."""
        ...

    def multiaddrs(self) -> tuple[str, ...]:
        """Where we listen."""
        ...
