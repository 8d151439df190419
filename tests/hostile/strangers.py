"""Strangers: what nodes that nobody knows do to one node, all at once: sockets, connections, streams, quotes, records, text.

python -m tests.hostile.strangers ADDRESS MULTIADDR SEPARATOR SECONDS [KIND...]

They are made of the product's own net, so that they speak its protocol to the letter, and break it only where they mean to.
One line of JSON at the end says how often each did what it does.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio

from metering.codec import encode
from metering.resources import Resources
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from scheduler.job import Image, Job
from tests.xnode.net.node import KeySigner
from tests.xnode.net.remote import in_s
from xnode.clock import SystemClock
from xnode.errors import Permanent, Retryable
from xnode.net.counters import NetCounters
from xnode.net.edge import NetSettings, open_net
from xnode.net.host import Host, open_host
from xnode.net.identity import node_address_of
from xnode.net.multiaddr import parse_multiaddr
from xnode.net.records import NodeRecord, make_record
from xnode.net.rpc import Rpc
from xnode.net.ways import Ways
from xnode.net.wire import MAX_BODY_BYTES, PROTOCOL_ID
from xnode.node import message
from xnode.ports.net import Peer, RpcRefused

SOCKETS = 330
"""More than a node takes connections in all."""

IDLERS = 120
STREAMS = 300
HOARDERS = 4
WRITERS = 4
SYBILS = 8
"""At a time, as many as one process bears beside the others: each is a whole libp2p node with a DHT."""

CALL_S = 10.0
SOCKET_S = 20.0
"""How long a silent socket waits to be dropped, before it is counted as kept and opened anew."""

PAUSE_S = 0.05

METHODS = (
    message.OFFER_GET, message.QUOTE_REQUEST, message.QUOTE_DROP, message.LEASE_OPEN, message.LEASE_ASK, message.LEASE_STOP,
    message.LEASE_NEWS, message.LEASE_PROGRESS, message.RECEIPTS_PUSH, "blob.read", "no.such", "x" * 64,
)  # fmt: skip

_FAULTS = (Retryable, Permanent, RpcRefused, OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass
class Raid:
    """One target and what was done to it. done: how often, by what."""

    target: Peer
    separator: Hash32
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)

    async def ask(self, rpc: Rpc, method: str, body: bytes) -> str:
        """How one call ended."""
        try:
            await rpc.call(self.target, method, body, trio.current_time() + CALL_S)
        except RpcRefused:
            return "refused"
        except _FAULTS as error:
            return type(error).__name__
        return "ok"


Attack = Callable[[Raid], Awaitable[None]]


@asynccontextmanager
async def open_stranger(secret: bytes | None = None) -> AsyncIterator[tuple[Rpc, Address]]:
    """A peer with a key that nobody has seen."""
    secret = secret or secrets.token_bytes(32)
    async with open_host(secret, ()) as host:
        yield make_rpc(host), node_address_of(secret)


def make_rpc(host: Host) -> Rpc:
    return Rpc(host, NetCounters(), Ways(host))


# ------------------------------------------------------------------------------------------------------------------ attacks


async def keep_silent_sockets(raid: Raid) -> None:
    """Open sockets that say nothing, again as soon as they are dropped."""
    endpoint = parse_multiaddr(raid.target.multiaddrs[0])
    assert endpoint is not None

    async def one() -> None:
        while True:
            with suppress(OSError):
                async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as stream:
                    raid.done["sockets"] += 1
                    with trio.move_on_after(SOCKET_S):
                        while await stream.receive_some(1024):
                            pass
            await trio.sleep(PAUSE_S)

    await _many(one, SOCKETS)


async def keep_idle_connections(raid: Raid) -> None:
    """Prove a key each, and then stay without a word; again when dropped."""

    async def one() -> None:
        while True:
            with suppress(*_FAULTS, ExceptionGroup):
                async with open_stranger() as (rpc, _):
                    await rpc.host.connect(raid.target, trio.current_time() + CALL_S)
                    raid.done["connections"] += 1
                    while rpc.host.find_connected(raid.target.address):  # noqa: ASYNC110  libp2p tells nobody
                        await trio.sleep(1)
            await trio.sleep(PAUSE_S)

    await _many(one, IDLERS)


async def keep_idle_streams(raid: Raid) -> None:
    """Open streams and never ask anything on them."""

    async def one() -> None:
        while True:
            with suppress(*_FAULTS, ExceptionGroup):
                async with open_stranger() as (rpc, _):
                    peer_id = await rpc.host.connect(raid.target, trio.current_time() + CALL_S)
                    for _ in range(STREAMS // HOARDERS):
                        await rpc.host.open_stream(peer_id, PROTOCOL_ID, trio.current_time() + CALL_S)
                        raid.done["streams"] += 1
                    await trio.sleep(SOCKET_S)
            await trio.sleep(PAUSE_S)

    await _many(one, HOARDERS)


async def hoard_quotes(raid: Raid) -> None:
    """Ask for as much as is given, for nothing: halve until it fits; a new key each time."""

    async def one() -> None:
        while True:
            with suppress(*_FAULTS, ExceptionGroup):
                async with open_stranger() as (rpc, me):
                    for _ in range(20):
                        vcpus = 4000
                        while vcpus >= 20:
                            how = await raid.ask(rpc, message.QUOTE_REQUEST, _make_query(raid.rng, me, vcpus))
                            raid.done[f"quotes {how}"] += 1
                            vcpus = vcpus if how == "ok" else vcpus // 2
                        await trio.sleep(1)
            await trio.sleep(PAUSE_S)

    await _many(one, HOARDERS)


async def write_rubbish(raid: Raid) -> None:
    """Every method, with bytes that are not what it takes: noise, edges of every number, text by the megabyte."""

    async def one() -> None:
        while True:
            with suppress(*_FAULTS, ExceptionGroup):
                async with open_stranger() as (rpc, me):
                    for _ in range(50):
                        how = await raid.ask(rpc, raid.rng.choice(METHODS), _make_rubbish(raid.rng, me))
                        raid.done[f"rubbish {how}"] += 1
                        await trio.sleep(PAUSE_S)

    await _many(one, WRITERS)


async def announce_sybils(raid: Raid) -> None:
    """Nodes that nobody has registered say to the DHT that they offer, at an address that swallows every call."""

    async def one() -> None:
        while True:
            secret = secrets.token_bytes(32)
            settings = NetSettings(
                secret=secret,
                listen=("/ip4/127.0.0.1/tcp/0",),
                separator=raid.separator,
                bootstrap=raid.target.multiaddrs,
            )
            address = node_address_of(secret)
            with suppress(*_FAULTS, ExceptionGroup):
                async with open_net(settings, SystemClock().now_ns) as net:
                    for number in range(1, 10):
                        record = NodeRecord(address, number, in_s(600), ("/ip4/192.0.2.1/tcp/4001",), b"x" * 512)
                        await net.publish_record(make_record(record, KeySigner(secret, address)), CALL_S)
                        raid.done["records"] += 1
            await trio.sleep(PAUSE_S)

    await _many(one, SYBILS)


ATTACKS: dict[str, Attack] = {
    "sockets": keep_silent_sockets,
    "connections": keep_idle_connections,
    "streams": keep_idle_streams,
    "quotes": hoard_quotes,
    "text": write_rubbish,
    "records": announce_sybils,
}


# -------------------------------------------------------------------------------------------------------------------- words


def _make_query(rng: random.Random, me: Address, vcpus: int) -> bytes:
    resources = Resources(vcpus, vcpus << 20, 0, 0, "")
    job = Job(
        name="x", submitter=me, nonce=rng.randbytes(16), image=Image("sha256:" + "ab" * 32, 1000, "example.org/x"),
        command=("a",), env=(), inputs=(), resources=resources, duration_limit_ns=60 * NANOS_PER_SECOND,
        asset=Address(bytes(20)), budget=Amount(10**18),
    )  # fmt: skip
    return encode(job)


def _make_rubbish(rng: random.Random, me: Address) -> bytes:
    edges: tuple[Any, ...] = (0, -1, 2**63, 2**64 - 1, "", "\x1b[2J\x00", b"", b"\xff" * 32, None, [], {}, me)
    shape = rng.randrange(4)
    if shape == 0:
        return rng.randbytes(rng.randrange(1 << rng.randrange(1, 16)))
    if shape == 1:
        return encode([rng.choice(edges) for _ in range(rng.randrange(20))])
    if shape == 2:
        return encode([[me] * 2, "x" * (MAX_BODY_BYTES - 100)])
    return b"\x91" * rng.randrange(1, 100_000) + b"\xc0"


async def _many(one: Callable[[], Awaitable[None]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
            await trio.sleep(0.01)


async def raid_for(raid: Raid, seconds: float, kinds: tuple[str, ...]) -> None:
    """All of these kinds, together; then leave without a goodbye, as strangers do."""
    async with trio.open_nursery() as nursery:
        for kind in kinds:
            nursery.start_soon(ATTACKS[kind], raid)
        await trio.sleep(seconds)
        sys.stdout.write(json.dumps(raid.done) + "\n")
        sys.stdout.flush()
        os._exit(0)


def main(arguments: list[str]) -> None:
    """See above."""
    address, multiaddr, separator, seconds, *kinds = arguments
    target = Peer(Address(bytes.fromhex(address.removeprefix("0x"))), (multiaddr,))
    raid = Raid(target, Hash32(bytes.fromhex(separator.removeprefix("0x"))), random.Random(secrets.token_bytes(8)))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(raid_for, raid, float(seconds), tuple(kinds) or tuple(ATTACKS))


if __name__ == "__main__":
    main(sys.argv[1:])
