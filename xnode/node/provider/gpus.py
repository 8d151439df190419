"""The provider's GPUs while it runs: what is offered follows those that work, and a lease whose GPU is lost ends by that."""

from __future__ import annotations

import msgspec

from xnode.node.changes import GpuLost, GpusSeen
from xnode.node.provider.lease import stop_lease
from xnode.node.provider.offer import refresh_offer
from xnode.node.records import ProviderLease
from xnode.node.registry import handles
from xnode.node.state import Turn


@handles(GpusSeen)
def on_gpus_seen(turn: Turn, change: GpusSeen) -> None:
    """Offer those that work; what comes back is offered again."""
    settings = turn.state.settings
    provider = settings.provider
    if provider is None:
        return
    working = change.available if change.available < provider.capacity.gpus else None
    if working != provider.working_gpus:
        turn.put(settings, provider=msgspec.structs.replace(provider, working_gpus=working))
        refresh_offer(turn)


@handles(GpuLost)
def on_gpu_lost(turn: Turn, change: GpuLost) -> None:
    """What computes on a GPU that is gone brings its submitter nothing: it is stopped, and charged until now."""
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is not None:
        stop_lease(turn, lease, "gpu_lost", change.detail)
