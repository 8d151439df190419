"""Output shelf: which blobs are the outputs of a lease that we served, for its submitter only."""

from __future__ import annotations

from collections import OrderedDict

import trio

from metering.units import Address, Hash32
from scheduler.outputs import read_inventory
from xnode.loop import Loop
from xnode.node.records import ProviderLease
from xnode.peers.answer import refuse
from xnode.ports.store import Blobs, Records

MAX_KEPT = 200_000
"""Hashes kept at hand, of several leases together: a reader asks several times in a row; so many take 25 MB."""

NO_LIMIT = 1 << 63
"""The list is our own."""


class OutputShelf:
    """Finds outputs as long as we hold them, also of leases settled long ago."""

    def __init__(self, loop: Loop, records: Records, blobs: Blobs) -> None:
        self._loop, self._records, self._blobs = loop, records, blobs
        self._kept: OrderedDict[Hash32, frozenset[Hash32]] = OrderedDict()

    async def find_blobs(self, caller: Address, lease_id: Hash32) -> frozenset[Hash32]:
        """The inventory and all that is in it. Raises RpcRefused when the caller has no such lease."""
        lease = self._loop.state.get(ProviderLease, lease_id)
        lease = lease or await self._records.read_record(ProviderLease, lease_id)
        if lease is None or lease.terms.submitter != caller:
            raise refuse("lease_unknown", f"no lease {lease_id.hex()[:16]} of yours here")
        if lease_id not in self._kept:
            self._kept[lease_id] = await trio.to_thread.run_sync(self._read, lease)
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > MAX_KEPT:
                self._kept.popitem(last=False)
        return self._kept[lease_id]

    def _read(self, lease: ProviderLease) -> frozenset[Hash32]:
        blobs = [one.blob for one in lease.outputs or ()]
        inventory = lease.left.inventory if lease.left else None
        if inventory is not None and self._blobs.has(inventory):
            blobs.append(inventory)
            found = read_inventory(self._blobs.path(inventory.sha256).read_bytes(), NO_LIMIT)
            blobs += [file.blob for file in found.files()]
        return frozenset(blob.sha256 for blob in blobs)
