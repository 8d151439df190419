"""Network: messages between nodes, with latency, loss, duplicates, partitions and peers that are down."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from metering.units import NANOS_PER_SECOND, Address, Hash32
from scheduler.job import Blob, OutputFile
from scheduler.outputs import OutputSummary, encode_inventory, read_inventory
from tests.sim.clockwork import Clockwork, Future, Task
from tests.sim.hostclock import HostClock
from xnode.errors import Retryable
from xnode.node.records import OutputsHere
from xnode.peers.output_taker import make_here, note_fetched
from xnode.ports.net import Peer, RpcRefused
from xnode.ports.store import Fetched

DIAL_FAILS_NS = NANOS_PER_SECOND

Handler = Callable[[Address, bytes], Awaitable[bytes]]


@dataclass(slots=True)
class Station:
    """A node as the network sees it. spawn: runs a handler, so that it dies with its node. A paused node is up: what is
    sent to it waits at its door."""

    methods: dict[str, Handler]
    spawn: Callable[[Coroutine[Any, None, Any]], Task[Any]]
    is_up: bool = True
    clock: HostClock | None = None


@dataclass(slots=True)
class Network:
    """latency_ns: least and most; loss, duplicates: of a hundred messages; blocks: says which messages never arrive."""

    clockwork: Clockwork
    entropy: random.Random
    latency_ns: tuple[int, int] = (5_000_000, 40_000_000)
    loss: int = 0
    duplicates: int = 0
    stations: dict[Address, Station] = field(default_factory=dict)
    cut: set[frozenset[Address]] = field(default_factory=set)
    blobs: dict[Hash32, bytes] = field(default_factory=dict)
    lost: set[Blob] = field(default_factory=set)
    blocks: Callable[[Address, Address, str, bool], bool] = lambda source, target, method, is_answer: False
    on_sent: Callable[[Address, Address, str], None] = lambda source, target, method: None

    async def call(self, source: Address, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        """One request, one response. Raises RpcRefused, or Retryable when no answer comes in time (by the caller's clock)."""
        station, ours = self.stations.get(peer.address), self.stations.get(source)
        if station is None or not station.is_up or (ours is not None and not ours.is_up):
            await self.clockwork.sleep(DIAL_FAILS_NS)
            raise Retryable(f"0x{peer.address.hex()[:8]} cannot be reached")
        self.on_sent(source, peer.address, method)
        answer: Future[bytes] = Future()
        late = Retryable(f"{method}: no answer in time")
        clock = self._clock_of(source)
        if clock is None:
            self.clockwork.at(deadline_ns, lambda: answer.fail(late))
        else:
            clock.after(deadline_ns - clock.now_ns, lambda: answer.fail(late))
        copies = 2 if self.entropy.randrange(100) < self.duplicates else 1
        for _ in range(copies):
            if self._arrives(source, peer.address, method, is_answer=False):
                deliver = lambda: self._deliver(source, peer.address, method, body, answer)  # noqa: E731
                self.clockwork.at(self.clockwork.now_ns + self.entropy.randint(*self.latency_ns), deliver)
        return await answer

    def _deliver(self, source: Address, target: Address, method: str, body: bytes, answer: Future[bytes]) -> None:
        station = self.stations[target]
        if station.is_up:
            station.spawn(self._handle(station.methods[method], source, target, method, body, answer))

    async def _handle(
        self, handler: Handler, source: Address, target: Address, method: str, body: bytes, answer: Future[bytes]
    ) -> None:
        refused: RpcRefused | None = None
        response = b""
        try:
            response = await handler(source, body)
        except RpcRefused as error:
            refused = error
        if not self._arrives(target, source, method, is_answer=True):
            return
        arrive = (lambda: answer.fail(refused)) if refused is not None else (lambda: answer.set(response))
        clock = self._clock_of(source)
        call = arrive if clock is None else (lambda: clock.arrive(arrive))
        self.clockwork.at(self.clockwork.now_ns + self.entropy.randint(*self.latency_ns), call)

    def _clock_of(self, node: Address) -> HostClock | None:
        station = self.stations.get(node)
        return station.clock if station is not None else None

    def _arrives(self, source: Address, target: Address, method: str, is_answer: bool) -> bool:
        if frozenset((source, target)) in self.cut or self.blocks(source, target, method, is_answer):
            return False
        return self.entropy.randrange(100) >= self.loss


@dataclass(frozen=True, slots=True)
class NetPort:
    """xnode.ports.Net for one node."""

    network: Network
    address: Address

    async def call(self, peer: Peer, method: str, body: bytes, deadline_ns: int) -> bytes:
        return await self.network.call(self.address, peer, method, body, deadline_ns)

    def multiaddrs(self) -> tuple[str, ...]:
        return (f"/memory/{self.address.hex()[:8]}",)


@dataclass(slots=True)
class Blobs:
    """xnode.ports.Blobs: a blob is fetched when its peer is up."""

    network: Network
    clockwork: Clockwork
    source: Address

    def path(self, sha256: bytes) -> Any:
        from pathlib import Path

        return Path("/blobs") / sha256.hex()

    async def add_bytes(self, data: bytes) -> Blob:
        blob = Blob(Hash32(hashlib.sha256(data).digest()), len(data))
        self.network.blobs[blob.sha256] = data
        return blob

    async def fetch(self, peer: Peer, _blob: Any, _progress: Callable[[int], None]) -> None:
        await self.clockwork.sleep(20_000_000)
        station = self.network.stations.get(peer.address)
        if station is None or not station.is_up or frozenset((self.source, peer.address)) in self.network.cut:
            raise Retryable(f"0x{peer.address.hex()[:8]} cannot be reached")


@dataclass(slots=True)
class Outputs:
    """xnode.ports.Outputs: the list comes as the provider made it, and every file in it is as good as here but for those lost."""

    blobs: Blobs

    async def take(
        self, peer: Peer, _lease_id: Hash32, left: OutputSummary, limit_bytes: int, only: tuple[str, ...],
        _older: tuple[OutputFile, ...] = (),
    ) -> OutputsHere:  # fmt: skip
        await self.blobs.fetch(peer, left.inventory, lambda _done: None)
        if left.inventory is None:
            return OutputsHere()
        found = read_inventory(self.blobs.network.blobs[left.inventory.sha256], limit_bytes, left.left_out)
        here = make_here(found, await self.blobs.add_bytes(encode_inventory(found)), only)
        lost = self.blobs.network.lost
        return note_fetched(here, Fetched(missing=tuple(file.blob for file in found.files() if file.blob in lost)))

    async def deliver(self, here: OutputsHere, _only: tuple[str, ...], into: str, _other: str) -> OutputsHere:
        return replace(here, folder=into, placed=here.entries - here.missing)
