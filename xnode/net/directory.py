"""Directory: node records over rpc, so that the market works from a few static peers with the DHT off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from metering.bounds import Multiaddrs
from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, Address
from xnode.net.multiaddr import parse_multiaddr
from xnode.net.record_book import RecordBook
from xnode.net.records import MAX_MULTIADDRS
from xnode.net.server import Methods
from xnode.ports.net import RpcRefused

RECORD_GET = "record.get"
RECORD_PUT = "record.put"
PEERS_LIST = "peers.list"

MAX_LISTED = 1000
"""Peers in one answer: with eight addresses each they stay below the 1 MiB of a response."""

LISTED_NS = NANOS_PER_SECOND // 4
"""How long a list is given out again: making one of two thousand records takes milliseconds, and anybody may ask."""

MAX_LISTED_BYTES = 900 << 10

PeerList = Annotated[tuple[tuple[Address, Multiaddrs], ...], msgspec.Meta(max_length=MAX_LISTED)]
"""What peers.list answers: (node, multiaddrs), in the canonical MessagePack of metering.codec."""


def serve_directory(methods: Methods, book: RecordBook, now_ns: Callable[[], int]) -> None:
    """Answer for the records in our book."""

    async def get(caller: Address, body: bytes) -> bytes:
        if len(body) != 20:
            raise RpcRefused(encode(Refusal("address", "an address has 20 bytes")))
        known = book.find(Address(body), now_ns())
        return known[1] if known else b""

    async def put(caller: Address, body: bytes) -> bytes:
        # Only a node's own record, over its own connection: a stranger would need a connection for each one it forges.
        refusal = book.add(caller, body, now_ns())
        if refusal is not None and refusal.code != "record_old":
            raise RpcRefused(encode(refusal))
        return b""

    listed = (0, b"")

    async def list_peers(caller: Address, body: bytes) -> bytes:
        nonlocal listed
        if not 0 <= now_ns() - listed[0] < LISTED_NS:
            peers = tuple((record.node, record.multiaddrs) for record in book.rank(now_ns()))
            listed = now_ns(), _encode_peers(peers)
        return listed[1]

    methods.serve(RECORD_GET, get)
    methods.serve(RECORD_PUT, put)
    methods.serve(PEERS_LIST, list_peers)


def read_peers(body: bytes) -> PeerList:
    """The peers another node lists, without what is not an address. Raises ValueError when it is not a list."""
    peers: PeerList = decode_strict(body, PeerList)
    return tuple(
        (node, tuple(each for each in multiaddrs if parse_multiaddr(each))[:MAX_MULTIADDRS])
        for node, multiaddrs in peers[:MAX_LISTED]
        if len(node) == 20
    )


def _encode_peers(peers: PeerList) -> bytes:
    # The best come last, and are the ones worth having.
    body = encode(peers[-MAX_LISTED:])
    return body if len(body) <= MAX_LISTED_BYTES else encode(peers[-MAX_LISTED // 8 :])
