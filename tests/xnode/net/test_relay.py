"""A node behind NAT is called, and gives blobs, through a relay in a process of its own."""

from __future__ import annotations

import secrets
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
