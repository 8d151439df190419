"""What strangers may do to a node, and what libp2p does wrong as shipped: the node goes on answering."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519_key_pair
from libp2p.kad_dht.common import PROTOCOL_ID as DHT_ID
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.stream_muxer.yamux.yamux import TYPE_DATA, YAMUX_HEADER_FORMAT
from trio.testing import wait_all_tasks_blocked

from metering.refusal import Refusal
from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.net.remote import Remote, ask, make_settings
from tests.xnode.net.test_discovery import open_reader, own_record
from xnode.errors import Permanent, Retryable
from xnode.net import host as host_module
from xnode.net import patches
from xnode.net.dht import open_dht
from xnode.net.edge import Net, open_net
from xnode.net.guests import MAX_STREAMS_STRANGER
from xnode.net.host import Host, open_host
from xnode.net.identity import address_of_peer_id
from xnode.net.intake import STRANGERS_BYTES
from xnode.net.multiaddr import parse_multiaddr
from xnode.net.patches import DHT_INBOUND_STREAMS, MAX_DATA_FRAME_BYTES, MAX_RECEIVE_WINDOW_BYTES
from xnode.net.pipe import STREAM_FAULTS
from xnode.net.records import provider_key_of
from xnode.net.wire import (
    LENGTH_BYTES,
    MAX_BODY_BYTES,
    MAX_FRAME_BYTES,
    PROTOCOL_ID,
    Request,
    encode_envelope,
    make_frame,
)
from xnode.ports.net import Peer

pytestmark = pytest.mark.net

StartRemote = Callable[..., Remote]


@pytest.fixture
async def attacker() -> AsyncIterator[Host]:
    """A libp2p host without the manners of a Net."""
    async with open_host(secrets.token_bytes(32), ()) as host:
        yield host


@pytest.fixture
def stoppable(shared_remote: Remote) -> Iterator[Remote]:
    """The shared node, going on afterwards."""
    yield shared_remote
    shared_remote.signal(signal.SIGCONT)


async def open_raw(attacker: Host, peer: Peer, protocol: str | None) -> Any:
    """A stream on which the attacker writes what it likes; before any protocol is agreed when there is none."""
    peer_id = await attacker.connect(peer, trio.current_time() + 10)
    if protocol is None:
        return await attacker.raw.get_network().new_stream(peer_id)
    return await attacker.open_stream(peer_id, protocol, trio.current_time() + 10)


async def wait_dropped(stream: Any) -> None:
    """Returns when the other side has ended the stream."""
    with trio.fail_after(15):
        try:
            while await stream.read(65536):
                pass
        except STREAM_FAULTS:
            return


def open_socket(remote: Remote) -> socket.socket:
    endpoint = parse_multiaddr(remote.peer.multiaddrs[0])
    assert endpoint is not None
    return socket.create_connection((endpoint.host, endpoint.port), timeout=10)


async def test_protocol_name_that_is_not_utf8_does_not_end_the_node(
    attacker: Host, net: Net, remotes: StartRemote
) -> None:
    remote = remotes()
    stream = await open_raw(attacker, remote.peer, None)
    await stream.write(b"\x05\xff\xfe\xfd\xfc\n")
    await wait_dropped(stream)
    assert await ask(net, remote, "who") == net.address
    assert remote.is_running


async def test_text_that_is_not_utf8_is_a_failed_negotiation() -> None:
    class Wire:
        """Where libp2p reads a protocol's name from."""

        def __init__(self) -> None:
            self._left = b"\x05\xff\xfe\xfd\xfc\n"

        async def read(self, size: int) -> bytes:
            piece, self._left = self._left[:size], self._left[size:]
            return piece

    patches.apply_patches()
    with pytest.raises(MultiselectCommunicatorError):
        await MultiselectCommunicator(Wire()).read()


async def test_exception_in_a_libp2p_handler_does_not_end_the_host(attacker: Host) -> None:
    async def crash(stream: Any) -> None:
        raise ZeroDivisionError("a bug in a stream handler")

    async with open_host(secrets.token_bytes(32), ("/ip4/127.0.0.1/tcp/0",)) as host:
        host.set_handler("/crash/1", crash)
        me = address_of_peer_id(host.raw.get_id())
        assert me is not None
        for _ in range(3):
            try:
                await wait_dropped(await open_raw(attacker, Peer(me, host.multiaddrs()), "/crash/1"))
            except Retryable as error:
                # The reset may overtake the answer to the protocol's name.
                assert "no stream could be opened" in str(error)


@pytest.mark.parametrize("protocol", [b"/plaintext/2.0.0", b"/secio/1.0.0", b"/tls/1.0.0"])
def test_only_noise_is_spoken(shared_remote: Remote, protocol: bytes) -> None:
    def line(text: bytes) -> bytes:
        return bytes((len(text) + 1,)) + text + b"\n"

    with open_socket(shared_remote) as raw:
        raw.sendall(line(b"/multistream/1.0.0") + line(protocol) + line(b"/noise"))
        answer = b""
        while b"/noise" not in answer:
            piece = raw.recv(4096)
            assert piece, f"closed after {answer!r}"
            answer += piece
    assert answer == line(b"/multistream/1.0.0") + line(b"na") + line(b"/noise")


async def connect_often(remote: Remote, times: int) -> None:
    """Connect and leave, as a peer of its own each few times: one peer alone would meet its rate limit."""
    for _ in range(times // 10):
        async with open_host(secrets.token_bytes(32), ()) as host:
            for _ in range(10):
                await host.connect(remote.peer, trio.current_time() + 10)
                await host.disconnect(remote.peer.address)


async def test_inbound_connections_give_their_slots_back(net: Net, remotes: StartRemote) -> None:
    remote = remotes(max_inbound=7)
    await connect_often(remote, 10)
    assert await ask(net, remote, "who") == net.address


@pytest.mark.slow
async def test_node_still_answers_after_310_inbound_connections(net: Net, remotes: StartRemote) -> None:
    remote = remotes()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(connect_often, remote, 31)
    assert await ask(net, remote, "who") == net.address


async def test_half_open_sockets_do_not_keep_others_out(net: Net, shared_remote: Remote) -> None:
    idle = [open_socket(shared_remote) for _ in range(100)]
    with trio.fail_after(10):
        assert await ask(net, shared_remote, "who") == net.address
    for each in idle:
        each.close()


@pytest.mark.parametrize(
    "data",
    [b"\0\0", b"\0\0\0\x64short", (MAX_FRAME_BYTES + 1).to_bytes(LENGTH_BYTES, "big"), b"\xff" * 64, b"\0\0\0\x01\xc1"],
    ids=["half a length", "half a frame", "a frame too long", "a length of 4 GiB", "no MessagePack"],
)
async def test_nonsense_on_an_rpc_stream_ends_that_stream_alone(
    attacker: Host, net: Net, shared_remote: Remote, data: bytes
) -> None:
    stream = await open_raw(attacker, shared_remote.peer, PROTOCOL_ID)
    await stream.write(data)
    await stream.close_write()
    await wait_dropped(stream)
    assert await ask(net, shared_remote, "who") == net.address


async def test_broken_frames_are_counted(attacker: Host, net: Net, shared_remote: Remote) -> None:
    before = json.loads(await ask(net, shared_remote, "counters"))["bad_frames"]
    stream = await open_raw(attacker, shared_remote.peer, PROTOCOL_ID)
    await stream.write(b"\xff" * 64)
    await wait_dropped(stream)
    assert json.loads(await ask(net, shared_remote, "counters"))["bad_frames"] == before + 1


async def test_peer_that_overruns_its_window_loses_the_connection(attacker: Host) -> None:
    async def hold(stream: Any) -> None:
        await trio.sleep_forever()

    async with open_host(secrets.token_bytes(32), ("/ip4/127.0.0.1/tcp/0",)) as host:
        host.set_handler("/hold/1", hold)
        me = address_of_peer_id(host.raw.get_id())
        assert me is not None
        stream = await open_raw(attacker, Peer(me, host.multiaddrs()), "/hold/1")
        piece = bytes(65000)
        header = struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, len(piece))
        sent = 0
        # Once the other side has dropped the connection, writes fail or, just as well, vanish.
        with trio.fail_after(20), suppress(*STREAM_FAULTS):
            while sent < 52 << 20 and not stream.muxed_conn.is_closed:
                await stream.muxed_conn.secured_conn.write(header + piece)
                sent += len(piece)
        assert sent <= 2 * MAX_RECEIVE_WINDOW_BYTES
        await wait_until(lambda: not host.connected(), 5)


async def test_what_was_not_read_of_a_stream_goes_with_its_reset(attacker: Host) -> None:
    async def reset(stream: Any) -> None:
        await stream.read(1)
        await stream.reset()

    async with open_host(secrets.token_bytes(32), ("/ip4/127.0.0.1/tcp/0",)) as host:
        host.set_handler("/reset/1", reset)
        me = address_of_peer_id(host.raw.get_id())
        assert me is not None
        for _ in range(4):
            stream = await open_raw(attacker, Peer(me, host.multiaddrs()), "/reset/1")
            with suppress(*STREAM_FAULTS):
                await stream.write(bytes(65_000))
                await wait_dropped(stream)
            with suppress(*STREAM_FAULTS):
                await (await open_raw(attacker, Peer(me, host.multiaddrs()), None)).write(bytes(65_000))
        (connection,) = host.raw.get_network().get_connections()
        await attacker.disconnect(me)
        await wait_until(lambda: connection.is_closed, 5)
        assert not connection.muxed_conn.stream_buffers


async def test_a_frame_of_data_that_nobody_sends_is_not_waited_for(attacker: Host) -> None:
    async def hold(stream: Any) -> None:
        await trio.sleep_forever()

    async with open_host(secrets.token_bytes(32), ("/ip4/127.0.0.1/tcp/0",)) as host:
        host.set_handler("/hold/1", hold)
        me = address_of_peer_id(host.raw.get_id())
        assert me is not None
        stream = await open_raw(attacker, Peer(me, host.multiaddrs()), "/hold/1")
        header = struct.pack(
            YAMUX_HEADER_FORMAT, 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, MAX_DATA_FRAME_BYTES + 1
        )
        await stream.muxed_conn.secured_conn.write(header)
        await wait_until(lambda: not host.connected(), 5)


async def test_frames_that_never_end_are_held_for_strangers_up_to_a_bound(
    attacker: Host, net: Net, remotes: StartRemote
) -> None:
    remote = remotes(partners=[net.address.hex()])
    process = psutil.Process(remote.process.pid)
    await ask(net, remote, "who")
    before = process.memory_info().rss
    for _ in range(60):
        with suppress(*STREAM_FAULTS, Retryable):
            stream = await open_raw(attacker, remote.peer, PROTOCOL_ID)
            await stream.write(MAX_BODY_BYTES.to_bytes(LENGTH_BYTES, "big"))
            for _ in range(15):
                await stream.write(bytes(65_000))
    body = bytes(MAX_BODY_BYTES)
    assert await ask(net, remote, "echo", body) == body, "whom we work with has room of its own"
    assert process.memory_info().rss - before < 2 * STRANGERS_BYTES + (16 << 20)


async def test_streams_of_one_connection_are_capped(attacker: Host, net: Net, shared_remote: Remote) -> None:
    idle = [await open_raw(attacker, shared_remote.peer, None) for _ in range(MAX_STREAMS_STRANGER + 10)]
    await wait_dropped(idle[-1])
    assert await ask(net, shared_remote, "who") == net.address


async def test_idle_dht_streams_do_not_starve_the_dht(attacker: Host, remotes: StartRemote) -> None:
    remote = remotes(dht=True)
    for _ in range(40):
        await open_raw(attacker, remote.peer, DHT_ID)
    assert DHT_INBOUND_STREAMS > 40
    secret, data = own_record(number=1)
    async with open_reader(remote.peer, secret) as (writer, address), open_reader(remote.peer) as (reader, _):
        await writer.put(address, data)
        with trio.fail_after(15):
            assert await reader.get(address) == data


async def test_no_node_is_dialed_unasked(attacker: Host, shared_remote: Remote) -> None:
    peer_id = await attacker.connect(shared_remote.peer, trio.current_time() + 10)
    await attacker.disconnect(shared_remote.peer.address)
    attacker.remember(peer_id, shared_remote.peer.multiaddrs)
    connector = attacker.raw.get_network().auto_connector
    connector._recent_disconnects.clear()
    await connector.maybe_connect()
    assert attacker.connected() == ()


async def test_many_peers_do_not_push_out_our_own_key(attacker: Host) -> None:
    for number in range(1100):
        attacker.remember(ID(number.to_bytes(34, "big")), ("/ip4/10.0.0.1/tcp/4001",))
    assert len(attacker.raw.get_peerstore().peer_ids()) <= 1001
    assert attacker.raw.get_private_key() is not None


async def test_dht_server_keeps_no_providers_of_foreign_keys(attacker: Host) -> None:
    async with open_dht(attacker, lambda data, node: Refusal("none", ""), serves=True) as dht:
        providers = dht._kad.provider_store
        for key in (b"foreign", provider_key_of(Address(bytes(20)))):
            providers.add_provider(key, PeerInfo(attacker.raw.get_id(), []))
        assert list(providers.providers) == [provider_key_of(Address(bytes(20)))]


async def test_abrupt_death_in_a_stream_is_retryable_soon(net: Net, remotes: StartRemote) -> None:
    remote = remotes()
    with trio.fail_after(10), pytest.raises(Retryable):
        async with net.stream(remote.peer, "flood", b"100000") as items:
            await anext(items)
            remote.signal(signal.SIGKILL)
            async for _ in items:
                pass


async def test_abrupt_death_in_a_call_is_retryable_soon(net: Net, remotes: StartRemote) -> None:
    remote = remotes()
    await ask(net, remote, "echo")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(Retryable):
                    await ask(net, remote, "hang", within_s=60)

            nursery.start_soon(call)
            await wait_all_tasks_blocked(0.05)
            remote.signal(signal.SIGKILL)
        with pytest.raises(Retryable):
            await ask(net, remote, "echo", within_s=3)


async def test_deadline_holds_against_a_stopped_process(net: Net, stoppable: Remote) -> None:
    remote = stoppable
    await ask(net, remote, "echo")
    remote.signal(signal.SIGSTOP)
    with trio.fail_after(5), pytest.raises(Retryable):
        await ask(net, remote, "echo", within_s=1)
    with trio.fail_after(5), pytest.raises(Retryable):
        await ask(net, remote, "echo", bytes(1_000_000), within_s=1)
    remote.signal(signal.SIGCONT)
    assert await ask(net, remote, "echo", b"back") == b"back"


async def test_dial_of_a_stopped_process_ends_at_the_deadline(net: Net, stoppable: Remote) -> None:
    stoppable.signal(signal.SIGSTOP)
    with trio.fail_after(5), pytest.raises(Retryable):
        await ask(net, stoppable, "echo", within_s=1)


async def test_silent_stream_of_a_living_node_goes_on(
    net: Net, remotes: StartRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = remotes(alive_s=0.3)
    monkeypatch.setattr("xnode.net.rpc.SILENCE_S", 1.0)
    async with net.stream(remote.peer, "silence", b"") as items:
        assert await anext(items) == b"first"
        with trio.move_on_after(3) as patience:
            await anext(items)
        assert patience.cancelled_caught


async def test_stream_of_a_stopped_process_is_retryable(
    net: Net, stoppable: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnode.net.rpc.SILENCE_S", 1.0)
    with trio.fail_after(5), pytest.raises(Retryable):
        async with net.stream(stoppable.peer, "silence", b"") as items:
            assert await anext(items) == b"first"
            stoppable.signal(signal.SIGSTOP)
            await anext(items)


async def test_cancelled_bulk_write_does_not_break_the_connection(attacker: Host, shared_remote: Remote) -> None:
    peer = shared_remote.peer
    await attacker.connect(peer, trio.current_time() + 5)
    (connection,) = attacker.raw.get_network().get_connections()
    for attempt in range(30):
        bulk = await open_raw(attacker, peer, PROTOCOL_ID)
        with trio.move_on_after(0.0005 * (1 + attempt % 15)), suppress(*STREAM_FAULTS):
            await bulk.write(MAX_FRAME_BYTES.to_bytes(LENGTH_BYTES, "big"))
            for _ in range(MAX_FRAME_BYTES // 65536):
                await bulk.write(bytes(65536))
        await bulk.reset()
    again = await open_raw(attacker, peer, PROTOCOL_ID)
    await again.reset()
    assert attacker.raw.get_network().get_connections() == [connection]


async def test_busy_port_is_named(net: Net) -> None:
    async with open_net(make_settings(listen=("/ip4/127.0.0.1/tcp/0",)), time.time_ns) as first:
        taken = first.multiaddrs()
        with pytest.raises(Permanent, match=taken[0]):
            async with open_net(make_settings(listen=taken), time.time_ns):
                pass


async def test_address_that_is_none_is_named() -> None:
    with pytest.raises(Permanent, match=r"127\.0\.0\.1:4001 is not an address"):
        async with open_net(make_settings(listen=("127.0.0.1:4001",)), time.time_ns):
            pass


async def test_caller_without_an_ethereum_key_is_not_answered(shared_remote: Remote) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_module, "key_pair_of", create_ed25519_key_pair)
        async with open_host(secrets.token_bytes(32), ()) as host:
            with suppress(Retryable):  # the reset may overtake the answer to the protocol's name
                stream = await open_raw(host, shared_remote.peer, PROTOCOL_ID)
                with pytest.raises(STREAM_FAULTS):
                    await stream.write(make_frame(encode_envelope(Request(1, "who", 1, 5000, "", b""))))
                    await stream.read(100)


def test_another_version_of_libp2p_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "_applied", False)
    monkeypatch.setattr(patches, "LIBP2P_VERSION", "0.9.0")
    with pytest.raises(Permanent, match=r"install libp2p==0\.9\.0"):
        patches.apply_patches()
