"""The net falls and rises while others go on."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.net.remote import ROOT, Remote, ask, in_s, make_settings
from xnode.errors import Permanent, Retryable
from xnode.net.edge import Net, open_net
from xnode.ports.net import Peer

pytestmark = pytest.mark.net

StartRemote = Callable[..., Remote]
LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)


async def test_restarted_node_answers_at_the_same_place(net: Net, remotes: StartRemote) -> None:
    remote = remotes()
    assert await ask(net, remote, "who") == net.address
    for restarts in (1, 2):
        with suppress(Retryable):  # the answer may be lost in the restart
            await ask(net, remote, "restart")

        async def has_restarted(least: int = restarts) -> bool:
            return json.loads(await ask(net, remote, "counters", within_s=2))["restarts"] >= least  # type: ignore[no-any-return]

        await wait_until(has_restarted, despite=Retryable)
    assert await ask(net, remote, "who") == net.address


async def test_own_restart_fails_calls_under_way_and_no_others(net: Net, shared_remote: Remote) -> None:
    failed = trio.Event()

    async def hang() -> None:
        with pytest.raises(Retryable, match="restarted"):
            await ask(net, shared_remote, "hang", within_s=30)
        failed.set()

    await ask(net, shared_remote, "echo")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang)
        await wait_all_tasks_blocked(0.05)
        net.restart()
        with trio.fail_after(10):
            await failed.wait()
            assert await ask(net, shared_remote, "who") == net.address
    assert net.counters.restarts == 1


async def test_own_restart_ends_streams_with_retryable(net: Net, shared_remote: Remote) -> None:
    with trio.fail_after(10), pytest.raises(Retryable):
        async with net.stream(shared_remote.peer, "silence", b"") as items:
            assert await anext(items) == b"first"
            net.restart()
            await anext(items)


async def test_handlers_outlive_a_fall_of_libp2p() -> None:
    async with (
        open_net(make_settings(listen=LOOPBACK), time.time_ns) as server,
        open_net(make_settings(), time.time_ns) as caller,
    ):

        async def name(who: Address, body: bytes) -> bytes:
            return b"served"

        server.serve("name", name)
        peer = Peer(server.address, server.multiaddrs())
        assert await caller.call(peer, "name", b"", in_s(5)) == b"served"

        sockets = psutil.Process().num_fds()
        make_libp2p_fall(server)
        await wait_until(lambda: server.counters.restarts)
        assert await wait_until(lambda: caller.call(peer, "name", b"", in_s(2)), despite=Retryable) == b"served"
        assert server.multiaddrs() == peer.multiaddrs
        assert psutil.Process().num_fds() <= sockets


async def test_a_node_that_starts_again_is_where_it_was(tmp_path: Path) -> None:
    settings = replace(make_settings(listen=("/ip4/0.0.0.0/tcp/0",)), ports=tmp_path / "ports.json")
    async with open_net(settings, time.time_ns) as first:
        place = first.multiaddrs()
    async with open_net(settings, time.time_ns) as again:
        assert again.multiaddrs() == place
        async with open_net(settings, time.time_ns) as other:
            assert other.multiaddrs() and other.multiaddrs() != place, "the port is taken: any other does"
    (tmp_path / "ports.json").write_text('{"/ip4/0.0.0.0/tcp/0": "x"}')
    async with open_net(settings, time.time_ns) as last:
        assert last.multiaddrs()


async def test_a_port_that_is_taken_in_between_is_given_up() -> None:
    async with (
        open_net(make_settings(listen=LOOPBACK), time.time_ns) as other,
        trio.open_nursery() as nursery,
    ):
        net = Net(make_settings(listen=LOOPBACK), time.time_ns)
        net.listen_on(other.multiaddrs())
        assert await nursery.start(net.supervise) is None
        assert net.multiaddrs() and net.multiaddrs() != other.multiaddrs()
        nursery.cancel_scope.cancel()


async def test_a_stream_finds_a_node_that_has_moved(shared_remote: Remote, remotes: StartRemote) -> None:
    moved = remotes(bootstrap=[shared_remote.bootstrap], publish="here")
    stale = Peer(moved.peer.address, ("/ip4/127.0.0.1/tcp/1",))
    async with open_net(make_settings(bootstrap=(shared_remote.bootstrap,)), time.time_ns) as net:

        async def first_item() -> bytes:
            async with net.stream(stale, "count", b"3") as items:
                return await anext(items)

        assert await wait_until(first_item, despite=Retryable) == b"0"


async def test_fallen_caller_leaves_no_connection_behind() -> None:
    async with (
        open_net(make_settings(listen=LOOPBACK), time.time_ns) as server,
        open_net(make_settings(), time.time_ns) as caller,
    ):
        with pytest.raises(Permanent):
            await caller.call(Peer(server.address, server.multiaddrs()), "nothing", b"", in_s(5))
        assert server.peers() == (caller.address,)
        gc.disable()
        try:
            make_libp2p_fall(caller)
            await wait_until(lambda: not server.peers(), 5)
        finally:
            gc.enable()


def make_libp2p_fall(net: Net) -> None:
    async def fall() -> None:
        raise RuntimeError("libp2p fell")

    assert net._session is not None
    net._session.host.raw.get_network().manager.run_task(fall)


async def test_nothing_is_left_open_after_closing(shared_remote: Remote) -> None:
    process = psutil.Process()

    async def use() -> None:
        async with open_net(make_settings(listen=LOOPBACK, dht=True), time.time_ns) as net:
            await ask(net, shared_remote, "echo")

    await use()
    before = process.num_fds()
    for _ in range(3):
        await use()
    assert process.num_fds() <= before


async def test_error_of_the_body_comes_out() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with open_net(make_settings(), time.time_ns):
            raise ZeroDivisionError
    assert caught.group_contains(ZeroDivisionError)


def test_wire_and_records_do_not_import_libp2p() -> None:
    code = (
        "import sys, xnode.net, xnode.net.wire, xnode.net.records, xnode.net.record_book, xnode.net.multiaddr;"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'libp2p']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_secret_is_not_in_the_settings_text() -> None:
    settings = make_settings()
    assert settings.secret.hex() not in repr(settings) and repr(settings.secret) not in repr(settings)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.003, 0.01, 0.03, 0.1])
async def test_a_net_that_is_told_to_end_while_it_starts_ends(after_s: float) -> None:
    with trio.move_on_after(after_s) as told:
        async with open_net(make_settings(listen=LOOPBACK), time.time_ns):
            await trio.sleep_forever()
    assert told.cancelled_caught
