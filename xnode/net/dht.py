"""Dht: libp2p's Kademlia, holding node records and provider keys only. A hint, never the truth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.records.validator import NamespacedValidator, Validator
from libp2p.tools.anyio_service import background_trio_service

from metering.refusal import Refusal
from metering.units import Address
from xnode.errors import Retryable
from xnode.net.host import Host
from xnode.net.identity import address_of_peer_id
from xnode.net.records import NodeRecord, address_of_dht_key, dht_key_of, select_newest

PUT_S = 30.0
GET_S = 20.0
"""A look-up among 32 nodes takes 0.3 s; among dead ones, 10 s for each row of three."""

QUORUM = 3
"""Answers after which a look-up ends: one alone could be an old copy."""

MAX_FOUND = 400
"""Providers taken from one key: 20 from each of the 20 servers nearest to it."""

ReadRecord = Callable[[bytes, Address], NodeRecord | Refusal]
"""(bytes, node) -> its record, or why not; knows the separator and the time."""


class RecordValidator(Validator):
    """What a DHT server stores and a reader believes: /xn/<address> -> a record that this address signed."""

    def __init__(self, read: ReadRecord) -> None:
        self._read = read

    def validate(self, key: str, value: bytes) -> None:
        """Raises ValueError when the value must not be stored under the key."""
        record = self._read_as(key, value)
        if isinstance(record, Refusal):
            raise ValueError(str(record))

    def select(self, key: str, values: list[bytes]) -> int:
        """Index of the value to keep."""
        return select_newest([self._read_as(key, value) for value in values])

    def _read_as(self, key: str, value: bytes) -> NodeRecord | Refusal:
        node = address_of_dht_key(key)
        if node is None:
            return Refusal("record_key", "the key names no node")
        return self._read(value, node)


class Dht:
    """A running DHT on a host. Only open_dht() makes one."""

    def __init__(self, kad: Any) -> None:
        self._kad = kad

    async def add_peer(self, peer_id: ID) -> None:
        """Know a peer that is connected and serves the DHT."""
        await self._kad.add_peer(peer_id, skip_server_mode_check=True)

    async def put(self, node: Address, data: bytes) -> None:
        """Store a record at the servers nearest to its key."""
        with _bounded(PUT_S):
            await self._kad.put_value(dht_key_of(node), data)

    async def get(self, node: Address) -> bytes | None:
        """A node's record as others have it now; checked by the validator, but not by the asking node."""
        key = dht_key_of(node)
        store, local_keys = self._kad.value_store.store, self._kad.value_store.local_keys
        # Left in place, the local copy would answer for 24 hours.
        kept = None if key.encode() in local_keys else store.pop(key.encode(), None)
        try:
            with _bounded(GET_S):
                value: bytes | None = await self._kad.get_value(key, quorum=QUORUM)
            return value
        finally:
            if kept is not None:
                store.setdefault(key.encode(), kept)

    async def provide(self, key: bytes) -> None:
        """Be found under a key."""
        with _bounded(PUT_S):
            await self._kad.provider_store.provide(key)

    async def find(self, key: bytes) -> dict[Address, tuple[str, ...]]:
        """The nodes that claim to provide a key, and where they may be dialed."""
        providers = self._kad.provider_store.providers
        # As above: a local list, however short, would be the whole answer.
        kept = providers.pop(key, {})
        try:
            with _bounded(GET_S):
                found = await self._kad.provider_store.find_providers(key, MAX_FOUND)
        finally:
            for peer, entry in kept.items():
                providers.setdefault(key, {}).setdefault(peer, entry)
        found = [*found, *self._kad.provider_store.get_providers(key)]
        located: dict[Address, tuple[str, ...]] = {}
        for info in found:
            address = address_of_peer_id(info.peer_id)
            if address is not None:
                located[address] = tuple(str(each) for each in info.addrs)
        return located


@asynccontextmanager
async def open_dht(host: Host, read: ReadRecord, serves: bool) -> AsyncIterator[Dht]:
    """A DHT on a running host; serves: others may store here (needs an address that can be dialed)."""
    validator = NamespacedValidator({"xn": RecordValidator(read)}, strict_validation=True)
    mode = DHTMode.SERVER if serves else DHTMode.CLIENT
    # validator_changed: libp2p must not add its own namespaces, in which strangers could store what is not ours.
    kad = KadDHT(host.raw, mode, validator=validator, validator_changed=True, strict_validation=True)
    async with background_trio_service(kad):
        yield Dht(kad)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """A time limit on the DHT; its faults become Retryable."""
    with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
        try:
            yield
        except Exception as error:  # third-party code fed by strangers: it raises anything, alone and in groups
            raise Retryable(f"the DHT failed: {type(error).__name__}") from error
    if scope.cancelled_caught:
        raise Retryable("the DHT did not answer in time")
