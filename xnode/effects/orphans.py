"""Orphans: workloads left on the host by leases that are over, taken away when the node starts."""

from __future__ import annotations

import structlog

from xnode.logs import log_id_of
from xnode.loop import Loop
from xnode.node.records import ProviderLease
from xnode.ports.runtime import Engine
from xnode.store.journal import Journal

log = structlog.get_logger()


async def sweep_orphans(engine: Engine, loop: Loop, journal: Journal) -> None:
    """Take away what is left on the host of leases that are over.

    Two confirmations are needed: the state has no open lease of that id, and the journal knows how it ended (or has never
    heard of it, which means that its start was never promised to any submitter).
    """
    for lease_id in await engine.list_leases():
        lease = loop.state.get(ProviderLease, lease_id) or await journal.read_record(ProviderLease, lease_id)
        if lease is not None and not lease.removed:
            continue
        log.warning("removing an orphaned workload", lease=log_id_of(lease_id), known=lease is not None)
        await engine.stop(lease_id)
        await engine.remove(lease_id)
