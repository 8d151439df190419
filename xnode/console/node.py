"""Control methods about the node itself."""

from __future__ import annotations

import os

from msgspec.structs import replace

from xnode.console.compensations import describe_awaited
from xnode.console.config import describe_settings
from xnode.console.console import Console
from xnode.console.disk import make_disk_use
from xnode.console.gas import is_empty, make_gas
from xnode.console.method import NoParams, control_method
from xnode.control.views import NodeStatus, StopNotice, StopRow, WorkRow
from xnode.node.lease import OPEN
from xnode.node.records import WAITING, ProviderLease, SubmitterJob, SubmitterLease
from xnode.node.submitter.ahead import paid_until
from xnode.text.hex import to_hex


async def describe_node(console: Console) -> NodeStatus:
    """How the node is now."""
    state, node = console.loop.state, console.node
    settings = state.settings
    tasks = sum(lease.status in OPEN for lease in state.all(SubmitterLease))
    leases = sum(lease.status in OPEN for lease in state.all(ProviderLease))
    return NodeStatus(
        pid=os.getpid(),
        version=node.version,
        roles=(("provider",) if settings.provider else ()) + (("submitter",) if settings.submitter else ()),
        node=to_hex(settings.node),
        home=node.home,
        started_at_ns=node.started_at_ns,
        multiaddrs=node.multiaddrs(),
        peers=node.peers(),
        chain_id=node.chain_id,
        offers=len(console.market.book.offers),
        leases=tasks + leases,
        http=node.http(),
        ready=node.ready(),
        hints=_find_hints(console),
        gas=make_gas(node.fuel()),
        disk=make_disk_use(node.disk()),
    )


def _find_hints(console: Console) -> tuple[str, ...]:
    """What keeps a node that is well otherwise from doing business."""
    settings, registrations, node = console.loop.state.settings, console.market.registrations, console.node
    hints = []
    if not node.peers():
        hints.append("no peer is connected: check node.bootstrap and the network")
    provider, key = settings.provider, settings.node
    if provider is not None and settings.drained_at_ns:
        hints.append("drained, so no job comes: run `xnode provider resume` when the maintenance is over")
    if provider is not None and registrations.knows_owner(key) and registrations.owner_of(key) != provider.owner:
        hints.append("the node key is not registered to its owner on chain, so no job comes: run `xnode provider init`")
    reveals = node.reveals()
    if not reveals.late and (asked := reveals.describe()):
        hints.append(asked)
    fuel = node.fuel()
    if awaited := describe_awaited(console.loop, console.clock, has_gas=fuel is None or not is_empty(fuel)):
        hints.append(awaited)
    return tuple(hints)


@control_method("node.status")
async def status(console: Console, _params: NoParams) -> NodeStatus:
    """How the node is."""
    if console.loop.state.settings.provider is not None:
        await console.market.registrations.learn_owners((console.loop.state.settings.node,))
    return replace(await describe_node(console), settings=await describe_settings(console))


@control_method("node.stop_notice")
async def stop_notice(console: Console, _params: NoParams) -> StopNotice:
    """What happens to jobs and workloads under way once this node is stopped."""
    state = console.loop.state
    rows = []
    for lease in state.all(SubmitterLease):
        job = state.get(SubmitterJob, lease.job_hash)
        if job is not None and lease.status in OPEN:
            until_ns, is_prepaid = paid_until(state, lease)
            rows.append(StopRow(lease.job_hash.hex(), job.job.name, until_ns, is_prepaid))
    return StopNotice(
        jobs=tuple(sorted(rows, key=lambda row: row.until_ns)),
        waiting=sum(job.status in (*WAITING, "leasing") for job in state.all(SubmitterJob)),
        serving=sum(lease.status in OPEN for lease in state.all(ProviderLease)),
    )


@control_method("node.work")
async def work(console: Console, _params: NoParams) -> list[WorkRow]:
    """What the node is hashing or taking in for a job or an image now, and how far it is."""
    return [WorkRow(one.what, one.done_bytes, one.total_bytes) for one in console.jobs.images.board.all()]


@control_method("node.stop")
async def stop(console: Console, _params: NoParams) -> bool:
    """Stop the daemon after this answer. Workloads go on."""
    console.node.stop()
    return True


@control_method("net.restart")
async def restart_net(console: Console, _params: NoParams) -> bool:
    """Tear libp2p down and start it anew: calls under way are tried again, leases and money do not notice."""
    console.node.restart_net()
    return True
