"""Strangers: everything that nodes without money can do to one node, all at once, in one process of its own.

python -m tests.hostile.strangers MULTIADDR-WITH-PEER-ID SEPARATOR SECONDS [KIND...]

They are made of the product's own net, so that they speak its protocol to the letter, and break it only where they mean to.
One line of JSON at the end says how often each did what it does.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
import trio

from metering.codec import encode
from metering.resources import Resources
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from scheduler.job import Image, Job
from tests.hostile import attackers
from tests.hostile.attackers import NET_FAULTS, PATIENCE_S, Done, peer_of
from tests.xnode.net.remote import in_s
from xnode.clock import SystemClock
from xnode.net.counters import NetCounters
from xnode.net.edge import NetSettings, open_net
from xnode.net.host import open_host
from xnode.net.identity import node_address_of
from xnode.net.records import NodeRecord, make_record
from xnode.net.rpc import Rpc
from xnode.net.ways import Ways
from xnode.net.wire import MAX_BODY_BYTES
from xnode.node import message
from xnode.ports.net import RpcRefused

SOURCES = tuple(f"127.0.0.{number}" for number in range(2, 12))
"""Where sockets come from: a limit for each address is not what saves a node."""

SOCKETS = 330
"""More than a node takes connections in all."""

HANDSHAKES = 40
IDLERS = 60
STREAM_OPENERS = 4
HALF_FRAMERS = 4
ASKERS = 8
RECORD_PUTTERS = 2
HOARDERS = 4
WRITERS = 4
SYBILS = 4
"""Each a whole libp2p node with a DHT."""

PAUSE_S = 0.05
VCPUS = 4000
LEAST_VCPUS = 20

METHODS = (
    message.OFFER_GET, message.QUOTE_REQUEST, message.QUOTE_DROP, message.LEASE_OPEN, message.LEASE_ASK, message.LEASE_STOP,
    message.LEASE_NEWS, message.LEASE_PROGRESS, message.RECEIPTS_PUSH, "blob.read", "no.such", "x" * 64,
)  # fmt: skip

Act = Callable[[str, Done], Awaitable[None]]
"""(the victim's multiaddr with /p2p, what was done)."""


# ------------------------------------------------------------------------------------------------------------------ attacks


async def hold_sockets(target: str, done: Done) -> None:
    """Silent sockets, from some addresses."""
    async with trio.open_nursery() as nursery:
        for source in SOURCES:
            nursery.start_soon(attackers.hold_silent_sockets, target, SOCKETS // len(SOURCES), done, source)
            nursery.start_soon(attackers.hold_half_handshakes, target, HANDSHAKES // len(SOURCES), done, source)


async def hoard_quotes(target: str, done: Done) -> None:
    """Ask for as much as is given, for nothing: halve until it fits; a new key again and again."""

    async def hoard(rpc: Rpc, me: Address, rng: random.Random) -> None:
        for _ in range(10):
            vcpus = VCPUS
            while vcpus >= LEAST_VCPUS:
                how = await _ask(rpc, target, message.QUOTE_REQUEST, _make_query(rng, me, vcpus))
                done[f"quotes {how}"] += 1
                vcpus = vcpus if how == "ok" else vcpus // 2
            await trio.sleep(1)

    await _as_many(HOARDERS, hoard)


async def write_rubbish(target: str, done: Done) -> None:
    """Every method, with bytes that are not what it takes: noise, edges of every number, text by the megabyte."""

    async def write(rpc: Rpc, me: Address, rng: random.Random) -> None:
        for _ in range(50):
            how = await _ask(rpc, target, rng.choice(METHODS), _make_rubbish(rng, me))
            done[f"rubbish {how}"] += 1
            await trio.sleep(PAUSE_S)

    await _as_many(WRITERS, write)


async def announce_sybils(target: str, separator: Hash32, done: Done) -> None:
    """Nodes that nobody has registered say to the DHT that they offer, at an address that swallows every call."""

    async def announce() -> None:
        secret = secrets.token_bytes(32)
        settings = NetSettings(
            secret=secret, listen=("/ip4/127.0.0.1/tcp/0",), separator=separator, bootstrap=(target,)
        )
        signer = attackers.KeySigner(secret, separator)
        with suppress(*NET_FAULTS, ExceptionGroup):
            async with open_net(settings, SystemClock().now_ns) as net:
                for number in range(1, 10):
                    record = NodeRecord(signer.address, number, in_s(600), ("/ip4/192.0.2.1/tcp/4001",), b"x" * 512)
                    await net.publish_record(make_record(record, signer), PATIENCE_S)
                    done["announcements"] += 1

    await _again_and_again(SYBILS, announce)


def list_acts(separator: Hash32) -> dict[str, Act]:
    """All of them, by name."""
    return {
        "sockets": hold_sockets,
        "connections": lambda target, done: attackers.hold_idle_connections(target, IDLERS, done),
        "streams": lambda target, done: attackers.flood_streams(target, STREAM_OPENERS, done),
        "half-frames": lambda target, done: attackers.flood_half_frames(target, HALF_FRAMERS, done),
        "requests": lambda target, done: attackers.flood_requests(target, ASKERS, done),
        "records": lambda target, done: attackers.flood_records(target, RECORD_PUTTERS, done, separator),
        "announcements": lambda target, done: announce_sybils(target, separator, done),
        "quotes": hoard_quotes,
        "text": write_rubbish,
    }


# -------------------------------------------------------------------------------------------------------------------- words


async def _ask(rpc: Rpc, target: str, method: str, body: bytes) -> str:
    """How one call ended."""
    try:
        await rpc.call(peer_of(target), method, body, trio.current_time() + PATIENCE_S)
    except RpcRefused:
        return "refused"
    except NET_FAULTS as error:
        return type(error).__name__
    return "ok"


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


async def _as_many(count: int, act: Callable[[Rpc, Address, random.Random], Awaitable[None]]) -> None:
    """So many strangers at a time, each with a key that nobody has seen."""

    async def come() -> None:
        secret = secrets.token_bytes(32)
        with suppress(*NET_FAULTS, ExceptionGroup):
            async with open_host(secret, ()) as host:
                await act(Rpc(host, NetCounters(), Ways(host)), node_address_of(secret), random.Random(secret))

    await _again_and_again(count, come)


async def _again_and_again(count: int, act: Callable[[], Awaitable[None]]) -> None:
    async def go_on() -> None:
        while True:
            await act()
            await trio.sleep(PAUSE_S)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(go_on)


async def raid(target: str, acts: dict[str, Act], seconds: float) -> None:
    """All of these together; then leave without a goodbye, as strangers do."""
    done = Done()
    # By a thread: a process that has so much to do at the least priority may come to its own clock late.
    end = threading.Timer(seconds, _leave, (done,))
    end.daemon = True
    end.start()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    async with trio.open_nursery() as nursery:
        for name, act in acts.items():
            nursery.start_soon(_keep_at_it, name, partial(act, target, done), done)


async def _keep_at_it(name: str, act: Callable[[], Awaitable[None]], done: Done) -> None:
    """Whatever befalls the attackers themselves, such as too few descriptors, they begin again."""
    while True:
        with suppress(Exception):
            await act()
        done[f"{name} begun again"] += 1
        await trio.sleep(1)


def _leave(done: Done) -> None:
    sys.stdout.write(json.dumps(done.copy()) + "\n")
    sys.stdout.flush()
    os._exit(0)


def main(arguments: list[str]) -> None:
    """See above."""
    target, separator, seconds, *kinds = arguments
    acts = list_acts(Hash32(bytes.fromhex(separator.removeprefix("0x"))))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(raid, target, {name: acts[name] for name in kinds or acts}, float(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
