"""A node in its own process: prints one JSON line saying where it is, then answers until it is killed.

Run as `python node.py '{"secret": hex, ...}'`. The methods below are how a test tells it what to do.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import coincurve
import structlog
import trio

from metering.eip712 import typed_digest
from metering.signature import sign_digest
from metering.units import NANOS_PER_SECOND, Address, Hash32
from scheduler.job import Blob
from xnode.net import doors, guests, server
from xnode.net.blobs import BlobStore, serve_blobs
from xnode.net.edge import Net, NetSettings, open_net
from xnode.net.outputs import serve_outputs
from xnode.net.records import NodeRecord, make_record
from xnode.net.standing import Standing
from xnode.ports.net import Peer, RpcRefused

SEPARATOR = Hash32(bytes(range(32)))

Send = Callable[[bytes], Awaitable[None]]


class KeySigner:
    """ports.Signer over a bare key."""

    def __init__(self, secret: bytes, address: Address) -> None:
        self._key, self.address = coincurve.PrivateKey(secret), address

    def sign(self, type_name: str, value: object) -> bytes:
        return sign_digest(self._key, typed_digest(SEPARATOR, type_name, value))


async def main(options: dict[str, Any]) -> None:
    settings = NetSettings(
        secret=bytes.fromhex(options["secret"]),
        listen=tuple(options.get("listen", ["/ip4/127.0.0.1/tcp/0"])),
        separator=SEPARATOR,
        bootstrap=tuple(options.get("bootstrap", [])),
        dht=options.get("dht", False),
        relay=options.get("relay", False),
    )
    if "max_inbound" in options:
        guests.MAX_INBOUND = options["max_inbound"]
    if "handshakes_per_s" in options:
        doors.HANDSHAKES_PER_S = doors.HANDSHAKE_BURST = options["handshakes_per_s"]
    if "alive_s" in options:
        server.ALIVE_S = options["alive_s"]
    partners = {bytes.fromhex(each) for each in options.get("partners", [])}
    async with open_net(settings, time.time_ns) as net:
        net.judge(lambda node: Standing.PARTNER if node in partners else Standing.STRANGER)
        serve_calls(net)
        serve_streams(net)
        if "publish" in options:
            body = options["publish"].encode()
            expires = time.time_ns() + 3600 * NANOS_PER_SECOND
            record = NodeRecord(net.address, options.get("number", 1), expires, net.multiaddrs(), body)
            await net.publish_record(make_record(record, KeySigner(settings.secret, net.address)))
        if "blobs" in options:
            await serve_blob_folder(net, Path(options["blobs"]), options.get("readers", []))
        where = {"address": net.address.hex(), "multiaddrs": net.multiaddrs(), "pid": os.getpid()}
        print(json.dumps(where), flush=True)
        await trio.sleep_forever()


def serve_calls(net: Net) -> None:
    async def who(caller: Address, body: bytes) -> bytes:
        return caller

    async def echo(caller: Address, body: bytes) -> bytes:
        return body

    async def refuse(caller: Address, body: bytes) -> bytes:
        raise RpcRefused(body)

    async def crash(caller: Address, body: bytes) -> bytes:
        raise ZeroDivisionError("a bug in a handler")

    async def hang(caller: Address, body: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    async def restart(caller: Address, body: bytes) -> bytes:
        net.restart()
        return b""

    async def counters(caller: Address, body: bytes) -> bytes:
        return json.dumps(dataclasses.asdict(net.counters)).encode()

    async def call_back(caller: Address, body: bytes) -> bytes:
        deadline_ns = time.time_ns() + 5 * NANOS_PER_SECOND
        return await net.call(Peer(caller), "name", body, deadline_ns)

    for handler in (who, echo, refuse, crash, hang, restart, counters, call_back):
        net.serve(handler.__name__, handler)


def serve_streams(net: Net) -> None:
    async def count(caller: Address, body: bytes, send: Send) -> None:
        for number in range(int(body)):
            await send(str(number).encode())

    async def flood(caller: Address, body: bytes, send: Send) -> None:
        while True:
            await send(bytes(int(body)))

    async def silence(caller: Address, body: bytes, send: Send) -> None:
        await send(b"first")
        await trio.sleep_forever()

    async def break_off(caller: Address, body: bytes, send: Send) -> None:
        await send(b"first")
        raise ZeroDivisionError("a bug in a stream handler")

    for handler in (count, flood, silence, break_off):
        net.serve_stream(handler.__name__, handler)


async def serve_blob_folder(net: Net, folder: Path, readers: list[str]) -> None:
    """Serve a folder; `files` in it are added first. Names of wrong content stay as they are, for a dishonest node."""
    store = BlobStore(folder, net.stream)
    serve_blobs(net, store, lambda caller, sha256: caller.hex() in readers)

    async def find_blobs(caller: Address, lease_id: Hash32) -> frozenset[Hash32]:
        names = (each.name for each in folder.iterdir() if len(each.name) == 64)  # noqa: ASYNC240
        gone = ("00" * 32,)
        found = {Hash32(bytes.fromhex(name)) for name in (*names, *gone)}
        return frozenset(found if caller.hex() in readers else ())

    serve_outputs(net, store, find_blobs)

    async def add(caller: Address, body: bytes) -> bytes:
        blob = await store.add_file(Path(body.decode()))
        return blob.sha256 + blob.size_bytes.to_bytes(8, "big")

    async def fetch(caller: Address, body: bytes) -> bytes:
        blob = Blob(Hash32(body[:32]), int.from_bytes(body[32:40], "big"))
        await store.fetch(Peer(caller), blob, lambda done: None)
        return str(store.path(blob.sha256)).encode()

    net.serve("add", add)
    net.serve("fetch", fetch)


if __name__ == "__main__":
    # The test reads one line of our standard output and no more: a log there would fill the pipe and stop us.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(main, json.loads(sys.argv[1]))
