"""Orphans: workloads that are left on the host of leases that are over."""

from __future__ import annotations

import structlog
import trio

from xnode.errors import Permanent, Retryable
from xnode.logs import log_id_of
from xnode.loop import Loop
from xnode.node.records import ProviderLease
from xnode.ports.runtime import Engine
from xnode.store.journal import Journal

RETRY_S = 5.0
"""Pause after the engine or the database could not be asked."""

log = structlog.get_logger()


async def sweep_orphans(engine: Engine, loop: Loop, journal: Journal) -> None:
    """Take orphans off the host once, after a start; tried again until it succeeds."""
    while True:
        try:
            await _sweep(engine, loop, journal)
            return
        except (Retryable, Permanent) as error:
            log.warning("orphans not swept; trying again", reason=str(error))
            await trio.sleep(RETRY_S)


async def _sweep(engine: Engine, loop: Loop, journal: Journal) -> None:
    """Two confirmations are needed: the state has no open lease of that id, and the journal knows how it ended (or has never
    heard of it, which means that its start was never promised to a submitter).
    """
    known = {
        record.lease_id: record
        for record in await journal.read_records(ProviderLease)
        if isinstance(record, ProviderLease)
    }
    for lease_id in await engine.list_leases():
        lease = loop.state.get(ProviderLease, lease_id) or known.get(lease_id)
        if lease is not None and not lease.removed:
            continue
        log.warning("removing an orphaned workload", lease=log_id_of(lease_id), known=lease is not None)
        await engine.stop(lease_id)
        await engine.remove(lease_id)
