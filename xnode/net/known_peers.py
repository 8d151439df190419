"""Known peers: nodes that were good, kept on disk, so that a node which comes back finds others although its bootstrap peers
have gone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from metering.units import NANOS_PER_HOUR, Address
from xnode.durable import replace_file
from xnode.net.multiaddr import parse_multiaddr
from xnode.net.records import MAX_MULTIADDRS, MAX_RECORD_BYTES

MAX_PEERS = 128
"""Those heard last are kept: a few that are still there are enough to hear of all others."""

MAX_AGE_NS = 60 * 24 * NANOS_PER_HOUR
"""A node that was not heard for so long is forgotten."""

MAX_FILE_BYTES = 8 << 20
"""With the longest record for every peer, in base64."""


_NODE = re.compile(r"0x[0-9a-f]{40}")


class KnownPeer(msgspec.Struct, frozen=True):
    """node: 0x hex; heard_at_ns: when it last answered; record: its signed record as it was then, or nothing."""

    node: str
    multiaddrs: tuple[str, ...]
    heard_at_ns: int
    record: bytes = b""

    @property
    def address(self) -> Address:
        return Address(bytes.fromhex(self.node.removeprefix("0x")))


def choose_peers(peers: Iterable[KnownPeer], now_ns: int) -> tuple[KnownPeer, ...]:
    """Those worth keeping: of each node what was heard last, of all those heard last, and none that was not for long."""
    latest: dict[str, KnownPeer] = {}
    for peer in peers:
        known = latest.get(peer.node)
        if known is None or peer.heard_at_ns > known.heard_at_ns:
            latest[peer.node] = peer
    fresh = (each for each in latest.values() if _is_sound(each) and now_ns - MAX_AGE_NS < each.heard_at_ns <= now_ns)
    return tuple(sorted(fresh, key=lambda each: (-each.heard_at_ns, each.node))[:MAX_PEERS])


def read_known_peers(file: Path, now_ns: int) -> tuple[KnownPeer, ...]:
    """What was kept, as far as it can be read: without it only the bootstrap peers are known. Blocks."""
    try:
        with file.open("rb") as opened:
            peers = msgspec.json.decode(opened.read(MAX_FILE_BYTES), type=tuple[KnownPeer, ...])
        return choose_peers(peers, now_ns)
    except (OSError, ValueError):
        return ()


def write_known_peers(file: Path, peers: Iterable[KnownPeer]) -> None:
    """Raises OSError. Blocks."""
    replace_file(file, msgspec.json.format(msgspec.json.encode(tuple(peers))))


def _is_sound(peer: KnownPeer) -> bool:
    is_node = _NODE.fullmatch(peer.node) is not None
    addresses = 0 < len(peer.multiaddrs) <= MAX_MULTIADDRS and all(map(parse_multiaddr, peer.multiaddrs))
    return is_node and addresses and len(peer.record) <= MAX_RECORD_BYTES
