"""A node behind NAT is called, and gives blobs, through a relay in a process of its own."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from metering.units import Address
from tests.make.waiting import wait_until
from tests.xnode.net.remote import Remote, ask, in_s, make_settings
from xnode.errors import Retryable
from xnode.net.blobs import BlobStore, serve_blobs
from xnode.net.edge import Net, open_net
from xnode.net.identity import node_address_of, peer_id_text_of
from xnode.ports.net import Peer

pytestmark = pytest.mark.net

StartRemote = Callable[..., Remote]


async def wait_reachable(net: Net) -> Peer:
    return Peer(net.address, await wait_until(net.multiaddrs))


async def test_two_nodes_behind_nat_call_each_other_through_a_relay(remotes: StartRemote, tmp_path: Path) -> None:
    relay = remotes(relay=True)
    async with (
        open_net(make_settings(bootstrap=(relay.bootstrap,)), time.time_ns) as provider,
        open_net(make_settings(bootstrap=(relay.bootstrap,)), time.time_ns) as submitter,
    ):

        async def who(caller: Address, body: bytes) -> bytes:
            return caller

        provider.serve("who", who)
        peer = await wait_reachable(provider)
        # Each proves its own address, although the bytes pass through a third.
        assert await submitter.call(peer, "who", b"", in_s(10)) == submitter.address
        submitter.serve("who", who)
        assert await provider.call(Peer(submitter.address), "who", b"", in_s(10)) == provider.address

        store, own = BlobStore(tmp_path / "a", submitter.stream), BlobStore(tmp_path / "b", provider.stream)
        serve_blobs(provider, own, lambda caller, sha256: caller == submitter.address)
        blob = await own.add_bytes(secrets.token_bytes(8 << 20))
        await store.fetch(peer, blob, lambda done: None)
        assert store.has(blob)


async def test_a_node_is_reached_again_through_a_relay_that_was_restarted(remotes: StartRemote) -> None:
    relay = remotes(relay=True)
    async with (
        open_net(make_settings(bootstrap=(relay.bootstrap,)), time.time_ns) as provider,
        open_net(make_settings(), time.time_ns) as submitter,
    ):

        async def who(caller: Address, body: bytes) -> bytes:
            return caller

        provider.serve("who", who)
        peer = await wait_reachable(provider)
        with suppress(Retryable):  # the answer may be lost in the restart
            await ask(provider, relay, "restart")
        # The relay has forgotten all reservations, and the provider must see to a new one without being asked.
        found = await wait_until(lambda: submitter.call(peer, "who", b"", in_s(4)), 40, despite=Retryable)
        assert found == submitter.address


@pytest.mark.parametrize("calls", ["submitter calls", "provider calls"])
async def test_a_relay_that_falls_silent_is_left_for_the_other_one_in_time(remotes: StartRemote, calls: str) -> None:
    first, second = remotes(relay=True), remotes(relay=True)
    both = (first.bootstrap, second.bootstrap)
    async with (
        open_net(make_settings(bootstrap=both), time.time_ns) as provider,
        open_net(make_settings(bootstrap=both), time.time_ns) as submitter,
    ):
        for net in (provider, submitter):
            net.serve("who", _say_who)
        await wait_until(lambda: len(provider.multiaddrs()) == len(submitter.multiaddrs()) == 2)
        through = tuple(one for one in provider.multiaddrs() if first.bootstrap in one)
        assert await submitter.call(Peer(provider.address, through), "who", b"", in_s(5)) == submitter.address
        caller, other = (submitter, provider) if calls == "submitter calls" else (provider, submitter)
        first.signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert await caller.call(Peer(other.address, other.multiaddrs()), "who", b"", in_s(20)) == caller.address
        assert time.monotonic() - begun < 10


async def test_a_silent_way_is_left_before_anybody_calls(remotes: StartRemote) -> None:
    first, second = remotes(relay=True), remotes(relay=True)
    both = (first.bootstrap, second.bootstrap)
    async with (
        open_net(make_settings(bootstrap=both), time.time_ns) as provider,
        open_net(make_settings(bootstrap=both), time.time_ns) as submitter,
    ):
        provider.serve("lease.who", _say_who)
        await wait_until(lambda: len(provider.multiaddrs()) == 2)
        peer = Peer(provider.address, tuple(sorted(provider.multiaddrs(), key=lambda one: first.bootstrap not in one)))
        assert await submitter.call(peer, "lease.who", b"", in_s(5)) == submitter.address
        (old,) = submitter._session.host.list_connections(provider.address)  # type: ignore[union-attr]
        first.signal(signal.SIGSTOP)
        await wait_until(lambda: old.is_closed, 15)
        assert await submitter.call(peer, "lease.who", b"", in_s(4)) == submitter.address


async def test_a_slow_answer_is_waited_for_and_its_way_kept(net: Net, shared_remote: Remote) -> None:
    await ask(net, shared_remote, "who")
    (way,) = net._session.host.list_connections(shared_remote.peer.address)  # type: ignore[union-attr]
    with pytest.raises(Retryable):
        await ask(net, shared_remote, "hang", within_s=7)
    assert net._session.host.list_connections(shared_remote.peer.address) == [way]  # type: ignore[union-attr]


async def _say_who(caller: Address, _body: bytes) -> bytes:
    return caller


async def test_a_node_that_is_not_a_relay_carries_nothing(shared_remote: Remote) -> None:
    async with (
        open_net(make_settings(bootstrap=(shared_remote.bootstrap,)), time.time_ns) as provider,
        open_net(make_settings(), time.time_ns) as submitter,
    ):
        await wait_until(provider.peers)
        assert provider.multiaddrs() == ()
        through = f"{shared_remote.bootstrap}/p2p-circuit/p2p/{peer_id_text_of(provider._settings.secret)}"
        with pytest.raises(Retryable):
            await submitter.call(Peer(provider.address, (through,)), "who", b"", in_s(5))


async def test_way_through_a_relay_to_another_node_is_not_taken(net: Net, shared_remote: Remote) -> None:
    through = f"{shared_remote.bootstrap}/p2p-circuit/p2p/{shared_remote.bootstrap.rpartition('/')[2]}"
    with pytest.raises(Retryable, match="does not lead to this node"):
        await net.call(Peer(node_address_of(secrets.token_bytes(32)), (through,)), "who", b"", in_s(5))
