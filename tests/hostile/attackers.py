"""Attackers: what strangers can do to a node without money, each a small function that goes on until it is cancelled.

Run as a process of its own, so that only the node's own work is measured on the node:
`python -m tests.hostile.attackers NAME MULTIADDR-WITH-PEER-ID COUNT SECONDS [SOURCE]`
"""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import coincurve
import trio

from metering.eip712 import typed_digest
from metering.signature import sign_digest
from metering.units import NANOS_PER_SECOND, Hash32
from xnode.errors import Permanent, Retryable
from xnode.net.counters import NetCounters
from xnode.net.directory import PEERS_LIST, RECORD_PUT
from xnode.net.host import Host, open_host
from xnode.net.identity import node_address_of, read_peer_id
from xnode.net.multiaddr import Endpoint, parse_multiaddr
from xnode.net.pipe import STREAM_FAULTS
from xnode.net.records import NodeRecord, make_record
from xnode.net.rpc import Rpc
from xnode.net.ways import Ways
from xnode.net.wire import PROTOCOL_ID
from xnode.ports.net import Peer, RpcRefused

PATIENCE_S = 10.0
"""How long an attacker waits for an answer before it tries again."""

NET_FAULTS = (*STREAM_FAULTS, Retryable, Permanent, RpcRefused, trio.TooSlowError)

Done = Counter[str]
"""What an attacker got done, by name."""

Attack = Callable[[str, int, Done], Awaitable[None]]
"""(the victim's multiaddr with /p2p, how many at once, what was done)."""


def peer_of(target: str) -> Peer:
    """The node that a multiaddr with /p2p names."""
    endpoint = _endpoint_of(target)
    address = read_peer_id(endpoint.peer_id or "")
    assert address is not None, f"{target} names no peer"
    return Peer(address, (target,))


async def hold_silent_sockets(target: str, count: int, done: Done, source: str | None = None) -> None:
    """Sockets that say nothing, opened again as soon as they are dropped. source: the address they come from."""
    endpoint = _endpoint_of(target)

    async def hold() -> None:
        while True:
            try:
                stream = await trio.open_tcp_stream(endpoint.host, endpoint.port, local_address=source)
            except OSError:
                await trio.sleep(0.05)
                continue
            done["sockets"] += 1
            async with stream:
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some(4096):
                        pass

    await _many(count, hold)


async def hold_half_handshakes(target: str, count: int, done: Done, source: str | None = None) -> None:
    """Sockets that begin a handshake and never go on with it, opened again as soon as they are dropped."""
    endpoint = _endpoint_of(target)

    async def hold() -> None:
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(endpoint.host, endpoint.port, local_address=source) as stream:
                    done["handshakes"] += 1
                    await stream.send_all(b"\x13/multistream/1.0.0\n\x07/noise\n")
                    while await stream.receive_some(4096):
                        pass
            await trio.sleep(0.001)

    await _many(count, hold)


async def hold_idle_connections(target: str, count: int, done: Done) -> None:
    """Connections of as many keys that are proved and do nothing, opened again as soon as they are dropped."""

    async def hold(host: Host) -> None:
        peer_id = await host.connect(peer_of(target), trio.current_time() + PATIENCE_S)
        done["connections"] += 1
        for connection in host.raw.get_network().get_connections(peer_id):
            await connection.event_closed.wait()

    await _many_hosts(count, hold)


async def flood_streams(target: str, count: int, done: Done) -> None:
    """Connections of as many keys, each opening streams as fast as it can and asking nothing on them."""

    async def flood(host: Host) -> None:
        peer_id = await host.connect(peer_of(target), trio.current_time() + PATIENCE_S)
        while host.connected():
            with suppress(*NET_FAULTS):
                await host.open_stream(peer_id, PROTOCOL_ID, trio.current_time() + PATIENCE_S)
                done["streams"] += 1
            await trio.lowlevel.checkpoint()

    await _many_hosts(count, flood)


async def flood_half_frames(target: str, count: int, done: Done) -> None:
    """Streams of as many keys on which a frame of the greatest length is begun and never ended."""

    async def flood(host: Host) -> None:
        peer_id = await host.connect(peer_of(target), trio.current_time() + PATIENCE_S)
        while host.connected():
            stream = await host.open_stream(peer_id, PROTOCOL_ID, trio.current_time() + PATIENCE_S)
            with trio.fail_after(PATIENCE_S):
                await stream.write((1 << 20).to_bytes(4, "big"))
                for _ in range(15):
                    await stream.write(bytes(65_000))
            done["half frames"] += 1

    await _many_hosts(count, flood)


async def flood_requests(target: str, count: int, done: Done, method: str = PEERS_LIST, body: bytes = b"") -> None:
    """Requests of as many keys, each asking again as soon as it is answered or refused."""

    async def flood(host: Host) -> None:
        rpc = Rpc(host, NetCounters(), Ways(host))
        while True:
            try:
                await rpc.call(peer_of(target), method, body, trio.current_time() + PATIENCE_S)
                done["answers"] += 1
            except RpcRefused:
                done["refusals"] += 1

    await _many_hosts(count, flood)


async def flood_records(
    target: str, count: int, done: Done, separator: Hash32, multiaddrs: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/9",)
) -> None:
    """Records of ever new keys, put at the node; each says that a provider is at `multiaddrs`."""

    async def flood() -> None:
        while True:
            with suppress(*NET_FAULTS):
                await put_record(target, secrets.token_bytes(32), separator, multiaddrs)
                done["records"] += 1
            await trio.lowlevel.checkpoint()

    await _many(count, flood)


async def put_record(target: str, secret: bytes, separator: Hash32, multiaddrs: tuple[str, ...]) -> None:
    """One signed record of one key, put at the node over that key's own connection."""
    signer = KeySigner(secret, separator)
    now_ns = time.time_ns()
    record = NodeRecord(signer.address, now_ns, now_ns + 3600 * NANOS_PER_SECOND, multiaddrs, b"no offer")
    async with open_host(secret, ()) as host:
        rpc = Rpc(host, NetCounters(), Ways(host))
        await rpc.call(peer_of(target), RECORD_PUT, make_record(record, signer), trio.current_time() + PATIENCE_S)


class KeySigner:
    """ports.Signer over a bare key."""

    def __init__(self, secret: bytes, separator: Hash32) -> None:
        self.address = node_address_of(secret)
        self._secret, self._separator = secret, separator

    def sign(self, type_name: str, value: object) -> bytes:
        return sign_digest(coincurve.PrivateKey(self._secret), typed_digest(self._separator, type_name, value))


async def _many(count: int, attack: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(attack)


async def _many_hosts(count: int, attack: Callable[[Host], Awaitable[None]]) -> None:
    """As many hosts with keys of their own, each beginning again when it fails."""

    async def one() -> None:
        async with open_host(secrets.token_bytes(32), ()) as host:
            while True:
                with suppress(*NET_FAULTS):
                    await attack(host)
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
            await trio.sleep(0.01)


def _endpoint_of(target: str) -> Endpoint:
    endpoint = parse_multiaddr(target)
    assert endpoint is not None, f"{target} is no address"
    return endpoint


ATTACKS: dict[str, Attack] = {
    "silent-sockets": hold_silent_sockets,
    "half-handshakes": hold_half_handshakes,
    "idle-connections": hold_idle_connections,
    "streams": flood_streams,
    "half-frames": flood_half_frames,
    "requests": flood_requests,
}
"""Those that need no more than a target; the others are called by who knows what they need."""


async def attack_for(name: str, target: str, count: int, seconds: float) -> Done:
    """One attack by name, for so long; what it got done."""
    done: Done = Counter()
    with trio.move_on_after(seconds):
        await ATTACKS[name](target, count, done)
    return done


if __name__ == "__main__":
    print(dict(trio.run(attack_for, sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
