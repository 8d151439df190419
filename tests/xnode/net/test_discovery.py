"""Records and providers found through the DHT, and through static peers with the DHT off."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Address
from tests.make.waiting import wait_until
from tests.xnode.net.node import SEPARATOR, KeySigner
from tests.xnode.net.remote import Remote, ask, in_s, make_settings
from xnode.errors import Permanent, Retryable
from xnode.net.dht import Dht, open_dht
from xnode.net.edge import Net, open_net
from xnode.net.host import open_host
from xnode.net.identity import node_address_of, peer_id_text_of
from xnode.net.records import (
    MAX_RECORD_BYTES,
    NodeRecord,
    SignedRecord,
    dht_key_of,
    make_record,
    provider_key_of,
    read_record,
)
from xnode.ports.net import Peer, RpcRefused

pytestmark = pytest.mark.net

StartRemote = Callable[..., Remote]
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)


def own_record(
    secret: bytes | None = None,
    number: int = 1,
    body: bytes = b"offer",
    life_s: float = 3600,
    signed_by: bytes | None = None,
) -> tuple[bytes, bytes]:
    """(secret, signed record)"""
    secret = secret or secrets.token_bytes(32)
    address = node_address_of(secret)
    record = NodeRecord(address, number, in_s(life_s), ("/ip4/127.0.0.1/tcp/4001",), body)
    return secret, make_record(record, KeySigner(signed_by or secret, address))


@asynccontextmanager
async def open_reader(
    server: Peer, secret: bytes | None = None, listen: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Dht, Address]]:
    """A DHT client that knows one server, and checks nothing itself."""
    secret = secret or secrets.token_bytes(32)
    address = node_address_of(secret)
    async with open_host(secret, listen) as host:

        def believe(data: bytes, node: Address) -> NodeRecord | Refusal:
            try:
                return decode(data, SignedRecord).record
            except ValueError:
                return NodeRecord(node, 0, 0, (), data)

        async with open_dht(host, believe, serves=False) as dht:
            peer_id = await host.connect(server, trio.current_time() + 10)
            host.remember(peer_id, server.multiaddrs)
            await dht.add_peer(peer_id)
            yield dht, address


def open_hub(**changes: Any) -> AbstractAsyncContextManager[Net]:
    """A node of this process that others ask."""
    return open_net(make_settings(listen=LOOPBACK, **changes), time.time_ns)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bootstrap_of(net: Net) -> str:
    return f"{net.multiaddrs()[0]}/p2p/{peer_id_text_of(net._settings.secret)}"


def body_of(data: bytes | None, node: Address) -> bytes | None:
    if data is None:
        return None
    record = read_record(data, node, SEPARATOR, time.time_ns())
    assert isinstance(record, NodeRecord)
    return record.body


async def wait_for(net: Net, node: Address, body: bytes) -> None:
    """Returns when the net gives this record of a node."""

    async def is_given() -> bool:
        return body_of(await net.get_record(node), node) == body

    await wait_until(is_given)


@pytest.mark.parametrize("dht", [True, False], ids=["dht", "static peers"])
async def test_provider_is_found_and_called_by_address_alone(remotes: StartRemote, dht: bool) -> None:
    hub = remotes(dht=dht)
    provider = remotes(dht=dht, bootstrap=[hub.bootstrap], publish="an offer")
    async with open_net(make_settings(dht=dht, bootstrap=(hub.bootstrap,)), time.time_ns) as net:
        await wait_for(net, provider.peer.address, b"an offer")
        assert provider.peer.address in await net.find_providers()
        assert await ask(net, Peer(provider.peer.address), "who") == net.address


async def test_a_node_that_moved_is_reached_although_the_caller_noted_its_old_address(remotes: StartRemote) -> None:
    hub = remotes(dht=False)
    provider = remotes(dht=False, bootstrap=[hub.bootstrap], publish="an offer")
    stale = Peer(provider.peer.address, (_closed_address(),))
    async with open_net(make_settings(dht=False, bootstrap=(hub.bootstrap,)), time.time_ns) as net:
        # Tried again as an effect would be: the first try finds no node, and looks up where it is now.
        assert await wait_until(lambda: ask(net, stale, "who"), despite=Retryable) == net.address


def _closed_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"


async def test_dht_alone_finds_record_and_provider(shared_dht_remote: Remote) -> None:
    secret, data = own_record()
    hub = shared_dht_remote.peer
    # A DHT server takes no provider without an address.
    async with open_reader(hub, secret, LOOPBACK) as (writer, address), open_reader(hub) as (reader, _):
        await writer.put(address, data)
        await writer.provide(provider_key_of(address))
        assert await reader.get(address) == data

        async def is_found() -> bool:
            return address in await reader.find(provider_key_of(address))

        await wait_until(is_found)  # no answer is sent to who provides


async def test_new_record_is_read_although_the_old_one_is_held_here(shared_dht_remote: Remote) -> None:
    secret, first = own_record(number=1)
    _, second = own_record(secret, number=2, body=b"better")
    hub = shared_dht_remote.peer
    async with open_reader(hub, secret) as (writer, address), open_reader(hub) as (reader, _):
        await writer.put(address, first)
        assert await reader.get(address) == first
        await writer.put(address, second)
        assert await reader.get(address) == second


async def test_own_record_is_published_again_when_bootstrap_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnode.net.discovery.BOOTSTRAP_CHECK_S", 0.1)
    hub = make_settings(listen=(f"/ip4/127.0.0.1/tcp/{find_free_port()}",))
    at = f"{hub.listen[0]}/p2p/{peer_id_text_of(hub.secret)}"
    async with open_net(make_settings(bootstrap=(at,)), time.time_ns) as net:
        await net.publish_record(own_record(net._settings.secret, body=b"mine")[1])
        for _ in range(2):
            async with open_net(hub, time.time_ns) as bootstrap:
                await wait_for(bootstrap, net.address, b"mine")


FORGERIES = {
    "signed by another": lambda secret: own_record(secret, signed_by=secrets.token_bytes(32))[1],
    "expired": lambda secret: own_record(secret, life_s=-1)[1],
    "never ending": lambda secret: own_record(secret, life_s=1e6)[1],
    "too long": lambda secret: own_record(secret, body=bytes(MAX_RECORD_BYTES))[1],
    "of another node": lambda secret: own_record()[1],
    "nonsense": lambda secret: b"nonsense",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_bad_record_is_refused_on_put_and_on_read(
    shared_dht_remote: Remote, forge: Callable[[bytes], bytes]
) -> None:
    secret = secrets.token_bytes(32)
    data = forge(secret)
    # On put: the server validates, so another client finds nothing there.
    async with (
        open_reader(shared_dht_remote.peer, secret) as (writer, address),
        open_reader(shared_dht_remote.peer) as (reader, _),
    ):
        await writer.put(address, data)
        assert await reader.get(address) is None
    # Over rpc it is refused with a reason.
    async with open_net(make_settings(secret=secret), time.time_ns) as net:
        with pytest.raises(RpcRefused) as refused:
            await ask(net, shared_dht_remote, "record.put", data)
        assert decode(refused.value.body, Refusal).code.startswith("record_")
        # Our own bad record is not published in the first place.
        with pytest.raises(Permanent, match="not published"):
            await net.publish_record(data)


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_bad_record_from_a_dishonest_peer_is_refused_on_read(forge: Callable[[bytes], bytes]) -> None:
    secret = secrets.token_bytes(32)
    address, data = node_address_of(secret), forge(secret)

    async def lie(caller: Address, body: bytes) -> bytes:
        return data

    async with open_hub() as liar:
        liar._methods.calls["record.get"] = lie
        async with open_net(make_settings(bootstrap=(bootstrap_of(liar),)), time.time_ns) as net:
            assert await net.get_record(address) is None
            assert net.counters.records_refused == 1


async def test_newest_of_several_answers_is_taken() -> None:
    secret = secrets.token_bytes(32)
    async with open_hub() as old_hub, open_hub() as new_hub:
        async with open_net(make_settings(secret=secret), time.time_ns) as owner:
            for hub, number, body in ((old_hub, 1, b"old"), (new_hub, 2, b"new")):
                peer = Peer(hub.address, hub.multiaddrs())
                await ask(owner, peer, "record.put", own_record(secret, number=number, body=body)[1])
        both = (bootstrap_of(old_hub), bootstrap_of(new_hub))
        async with open_net(make_settings(bootstrap=both), time.time_ns) as net:
            assert body_of(await net.get_record(owner.address), owner.address) == b"new"


async def test_no_node_puts_the_record_of_another(net: Net, shared_remote: Remote) -> None:
    with pytest.raises(RpcRefused):
        await ask(net, shared_remote, "record.put", own_record()[1])


async def test_unknown_node_has_no_record(net: Net) -> None:
    assert await net.get_record(Address(secrets.token_bytes(20))) is None
    assert await net.find_providers() == ()


async def test_bootstrap_text_that_names_no_node_is_permanent() -> None:
    with pytest.raises(Permanent, match="bootstrap peer"):
        async with open_net(make_settings(bootstrap=("/ip4/127.0.0.1/tcp/4001",)), time.time_ns):
            pass


async def test_dead_bootstrap_peer_does_not_hold_up_a_question(shared_remote: Remote) -> None:
    dead = f"/ip4/127.0.0.1/tcp/1/p2p/{shared_remote.bootstrap.rpartition('/')[2]}"
    async with open_net(make_settings(bootstrap=(dead,)), time.time_ns) as net:
        with trio.fail_after(5):
            assert await net.find_providers() == ()
        with pytest.raises(Retryable):
            await ask(net, Peer(Address(secrets.token_bytes(20))), "who", within_s=3)


def test_dht_key_is_short_enough_to_be_found() -> None:
    assert len(dht_key_of(Address(bytes(20)))) <= 50


def test_life_of_a_record_is_in_nanoseconds() -> None:
    secret, data = own_record(life_s=10)
    address = node_address_of(secret)
    assert isinstance(read_record(data, address, SEPARATOR, time.time_ns()), NodeRecord)
    assert isinstance(read_record(data, address, SEPARATOR, time.time_ns() + 11 * NANOS_PER_SECOND), Refusal)
