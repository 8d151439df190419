"""GPU watch: what the host's GPUs do while the node runs, told to the core."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from metering.units import Hash32
from xnode.errors import Permanent, Retryable
from xnode.logs import log_id_of
from xnode.loop import Loop
from xnode.node.changes import GpuLost, GpusSeen
from xnode.node.lease import HOLDING
from xnode.node.records import ProviderLease
from xnode.ports.runtime import Engine, GpuLook

LOOK_S = 30.0
"""Between two looks: a minute of a GPU that is gone is the most that is charged for it."""

log = structlog.get_logger()


async def watch_gpus(look: Callable[[], GpuLook], engine: Engine, loop: Loop) -> None:
    """Forever. look: how the GPUs are; it blocks. A lease is ended only when two looks in a row find its GPU lost."""
    said: frozenset[str] = frozenset()
    suspects: frozenset[Hash32] = frozenset()
    available: int | None = None
    while True:
        found = await trio.to_thread.run_sync(look)
        for fault in sorted(frozenset(found.faults) - said) if available is not None else ():
            log.warning("GPU cannot be lent", reason=fault)
        said = frozenset(found.faults)
        if found.available != available:
            available = found.available
            await loop.tell(GpusSeen(available))
        suspects = await _judge_leases(engine, loop, suspects) if found.lost else frozenset()
        await trio.sleep(LOOK_S)


async def _judge_leases(engine: Engine, loop: Loop, suspects: frozenset[Hash32]) -> frozenset[Hash32]:
    """The leases whose GPU is lost; those that were suspected before are ended."""
    lost = set()
    for lease in tuple(loop.state.all(ProviderLease)):
        if lease.status not in HOLDING or not lease.terms.resources.gpus:
            continue
        try:
            state = await engine.inspect(lease.lease_id)
        except (Retryable, Permanent) as error:
            log.info("workload not inspected", lease=log_id_of(lease.lease_id), reason=str(error))
            continue
        if state.gpu_lost:
            lost.add(lease.lease_id)
            if lease.lease_id in suspects:
                log.warning("lease ended: its GPU is lost", lease=log_id_of(lease.lease_id), reason=state.gpu_lost)
                await loop.tell(GpuLost(lease.lease_id, state.gpu_lost))
    return frozenset(lost)
