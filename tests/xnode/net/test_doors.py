"""The way in: sockets that say nothing, floods of them, and no descriptors left."""

from __future__ import annotations

import json
import resource
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial

import pytest
import trio

from tests.hostile.attackers import Done, hold_idle_connections, hold_silent_sockets
from tests.make.waiting import wait_until
from tests.xnode.net.remote import Remote, ask, make_settings
from xnode.errors import Retryable
from xnode.net import doors
from xnode.net.doors import MAX_SILENT_PER_SOURCE, PacedListener
from xnode.net.edge import Net, open_net
from xnode.net.identity import node_address_of

pytestmark = pytest.mark.net

StartRemote = Callable[..., Remote]


async def read_counters(net: Net, remote: Remote) -> dict[str, int]:
    counters: dict[str, int] = json.loads(await ask(net, remote, "counters"))
    return counters


async def test_a_socket_that_says_nothing_is_dropped_soon(net: Net, shared_remote: Remote) -> None:
    host, port = shared_remote.bootstrap.split("/")[2], int(shared_remote.bootstrap.split("/")[4])
    async with await trio.open_tcp_stream(host, port) as stream:
        with trio.fail_after(doors.SILENT_S + 3), pytest.raises((trio.BrokenResourceError, EOFError)):
            if await stream.receive_some(100) == b"":
                raise EOFError


async def test_more_silent_sockets_than_there_is_room_for_shut_nobody_out(remotes: StartRemote) -> None:
    remote, done = remotes(), Done()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_silent_sockets, remote.bootstrap, MAX_SILENT_PER_SOURCE + 66, done)
        await wait_until(lambda: done["sockets"] > 600)
        async with open_net(make_settings(), time.time_ns) as newcomer:
            assert await ask(newcomer, remote, "who", within_s=8) == newcomer.address
            assert (await read_counters(newcomer, remote))["turned_away"] > 0
        nursery.cancel_scope.cancel()


async def test_idle_connections_give_way_to_newcomers_and_never_partners(remotes: StartRemote) -> None:
    secret, done = secrets.token_bytes(32), Done()
    remote = remotes(max_inbound=12, handshakes_per_s=5.0, partners=[node_address_of(secret).hex()])
    async with open_net(make_settings(secret=secret), time.time_ns) as partner, trio.open_nursery() as nursery:
        await ask(partner, remote, "who")
        (way,) = partner._session.host.list_connections(remote.peer.address)  # type: ignore[union-attr]
        nursery.start_soon(hold_idle_connections, remote.bootstrap, 16, done)
        await wait_until(lambda: done["connections"] > 16)
        for _ in range(3):
            async with open_net(make_settings(), time.time_ns) as newcomer:
                # As a caller does: what breaks off is asked again.
                answer = await wait_until(partial(ask, newcomer, remote, "who", within_s=8), 20, despite=Retryable)
                assert answer == newcomer.address
        assert not way.is_closed, "it was idle for longer than any of them"
        assert (await read_counters(partner, remote))["evicted"] > 0
        nursery.cancel_scope.cancel()


async def test_a_node_whose_connections_are_all_with_partners_still_takes_a_partner(remotes: StartRemote) -> None:
    keys = [secrets.token_bytes(32) for _ in range(4)]
    remote = remotes(max_inbound=2, partners=[node_address_of(key).hex() for key in keys])
    async with AsyncExitStack() as stack:
        for key in keys:
            one = await stack.enter_async_context(open_net(make_settings(secret=key), time.time_ns))
            assert await ask(one, remote, "who") == one.address
        async with open_net(make_settings(), time.time_ns) as stranger:
            with pytest.raises(Retryable):
                await ask(stranger, remote, "who", within_s=3)


async def test_a_listener_outlives_a_time_without_descriptors() -> None:
    (inner,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = inner.socket.getsockname()[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    accepted = trio.Event()

    async def accept(listener: PacedListener) -> None:
        async with await listener.accept():
            accepted.set()

    async with PacedListener(inner) as listener, trio.open_nursery() as nursery:
        with socket.socket() as client, ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            with socket.socket() as free:
                lowest_free = free.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            nursery.start_soon(accept, listener)
            client.connect(("127.0.0.1", port))
            await wait_until(lambda: listener._is_full)
            assert not accepted.is_set()
            stack.close()
            with trio.fail_after(5):
                await accepted.wait()
