"""Nodes that were good are known after a restart, and a node that should have company says when it has none."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, Address
from tests.make.waiting import pass_time, wait_until
from tests.xnode.net.remote import Remote, ask, make_settings
from tests.xnode.net.test_discovery import own_record
from xnode.errors import Permanent
from xnode.net.edge import LONELY_S, Net, open_net
from xnode.net.identity import node_address_of, peer_id_text_of
from xnode.net.known_peers import MAX_AGE_NS, MAX_PEERS, KnownPeer, choose_peers, read_known_peers, write_known_peers
from xnode.ports.net import Peer

StartRemote = Callable[..., Remote]
NOW_NS = 10**18
PLACE = ("/ip4/10.0.0.1/tcp/4001",)


def a_peer(number: int, age_s: int = 10, **changes: Any) -> KnownPeer:
    plain: dict[str, Any] = {
        "node": f"0x{number:040x}",
        "multiaddrs": PLACE,
        "heard_at_ns": NOW_NS - age_s * NANOS_PER_SECOND,
    }
    return KnownPeer(**{**plain, **changes})


def dead_bootstrap() -> str:
    return f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id_text_of(secrets.token_bytes(32))}"


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    assert read_known_peers(file, NOW_NS) == ()
    peers = (a_peer(1, record=b"\x00\xff"), a_peer(2, age_s=20))
    write_known_peers(file, peers)
    assert read_known_peers(file, NOW_NS) == peers


def test_those_heard_last_are_kept_and_no_more_than_there_is_room_for() -> None:
    many = [a_peer(number, age_s=number) for number in range(1, MAX_PEERS + 50)]
    kept = choose_peers([*many, a_peer(5, age_s=500), a_peer(7, age_s=0)], NOW_NS)
    assert len(kept) == MAX_PEERS and kept[0] == a_peer(7, age_s=0)
    assert a_peer(5, age_s=5) in kept and a_peer(5, age_s=500) not in kept


def test_one_that_was_not_heard_for_long_or_is_nowhere_is_forgotten() -> None:
    old = a_peer(1, heard_at_ns=NOW_NS - MAX_AGE_NS)
    assert choose_peers((old, a_peer(2, multiaddrs=()), a_peer(3, heard_at_ns=NOW_NS + NANOS_PER_HOUR)), NOW_NS) == ()


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_file_is_read_as_some_peers_or_none(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "peers.json"
        file.write_bytes(data)
        assert isinstance(read_known_peers(file, NOW_NS), tuple)


@pytest.mark.parametrize(
    "changes", [{"node": "0x12"}, {"multiaddrs": ("x",)}, {"record": bytes(20_000)}, {"node": "0xzz"}]
)
def test_what_no_node_has_written_is_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_known_peers(tmp_path / "peers.json", (a_peer(1, **changes),))
    assert read_known_peers(tmp_path / "peers.json", NOW_NS) == ()


@pytest.mark.net
async def test_a_node_whose_bootstrap_peer_has_gone_finds_others_through_those_it_knew(remotes: StartRemote) -> None:
    hub = remotes(publish="a hub")
    # The other is known to the hub alone, and the hub is only known from before.
    secret, record = own_record()
    known = KnownPeer(f"0x{hub.peer.address.hex()}", hub.peer.multiaddrs, time.time_ns())
    async with open_net(make_settings(secret=secret), time.time_ns) as other:
        await ask(other, hub, "record.put", record)
    settings = replace(make_settings(bootstrap=(dead_bootstrap(),)), known=(known,))
    async with open_net(settings, time.time_ns) as net:
        await wait_until(net.peers)
        assert hub.peer.address in await net.find_providers(), "itself, too"

        async def is_named() -> bool:
            return node_address_of(secret) in await net.find_providers()

        await wait_until(is_named)
        assert await net.get_record(node_address_of(secret)) == record
        assert net.find_loneliness() == ""


@pytest.mark.net
async def test_a_record_that_was_kept_says_where_a_node_is() -> None:
    secret, record = own_record()
    known = KnownPeer(f"0x{node_address_of(secret).hex()}", PLACE, time.time_ns(), record)
    async with open_net(replace(make_settings(), known=(known,)), time.time_ns) as net:
        assert await net.get_record(node_address_of(secret)) == record
        assert net.locate_known(node_address_of(secret)) == (("/ip4/127.0.0.1/tcp/4001",), record)


async def test_a_node_without_company_says_so_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    lonely = Net(make_settings(bootstrap=(dead_bootstrap(),)), time.time_ns)
    alone = Net(make_settings(), time.time_ns)
    assert lonely.find_loneliness() == ""
    await pass_time(LONELY_S + 1)
    assert "no other node can be reached (tried 1 in node.bootstrap)" in lonely.find_loneliness()
    assert alone.find_loneliness() == "", "the first node of a network has nobody to reach"


async def test_a_relayed_address_names_the_node_behind_the_relay() -> None:
    relay, me = peer_id_text_of(secrets.token_bytes(32)), secrets.token_bytes(32)
    text = f"/ip4/127.0.0.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{peer_id_text_of(me)}"
    assert Net(make_settings(bootstrap=(text,)), time.time_ns)._bootstrap == (Peer(node_address_of(me), (text,)),)
    with pytest.raises(Permanent):
        Net(make_settings(bootstrap=(f"{text}/p2p/{peer_id_text_of(me)}",)), time.time_ns)


def test_an_address_of_hex_is_twenty_bytes() -> None:
    assert a_peer(7).address == Address((7).to_bytes(20, "big"))
