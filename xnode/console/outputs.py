"""Control methods about what a job left: the list, and another fetch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from metering.units import Hash32
from scheduler.outputs import NOTHING, limit_of
from xnode.console.console import Console
from xnode.console.inventory import make_row, read_inventory_of
from xnode.console.job import JobParams, find_job, find_lease, read_job
from xnode.console.method import control_method
from xnode.control import views
from xnode.errors import ExitCode, UserError
from xnode.node import changes
from xnode.node.records import ENDED, SubmitterJob, SubmitterLease
from xnode.peers.output_taker import Fetching
from xnode.ports.net import Peer

MAX_TRIES = 3
"""Tries in a row that bring no byte, before the user is told that the provider cannot be reached."""

LOOK_S = 0.2
"""Between two words on how far a fetch is."""


class FetchParams(JobParams, frozen=True, forbid_unknown_fields=True):
    """only: patterns of the outputs wanted; none: all of them."""

    only: tuple[str, ...] = ()


@control_method("job.outputs")
async def outputs(console: Console, params: JobParams) -> AsyncIterator[views.OutputRow]:
    """What the job's workload left, one after the other."""
    found = await read_inventory_of(console, await find_job(console, params.job_id))
    for entry in found.entries:
        yield make_row(console, entry)


@control_method("job.fetch")
async def fetch(console: Console, params: FetchParams) -> AsyncIterator[views.FetchStep]:
    """Get the outputs that are not here, as long as the provider holds them; says how far it is, and where they lie."""
    job = await find_job(console, params.job_id)
    lease = await find_lease(console, job)
    if lease is None or (lease.left is None and lease.outputs is None):
        left = "the job has ended without outputs" if job.status in ENDED else "the job has left no outputs yet"
        raise UserError(left, where=params.job_id, code=ExitCode.NOT_FOUND)
    tries, best = 0, (0, 0)
    while True:
        fetching = _begin(console, job, lease, params.only)
        before = best
        while not fetching.done.is_set():
            with trio.move_on_after(LOOK_S):
                await fetching.done.wait()
            best = max(best, console.outputs.progress.get(lease.lease_id, best))
            yield views.FetchStep(*best)
        if fetching.here is not None:
            break
        tries = tries + 1 if best == before else 0
        if tries == MAX_TRIES:
            raise UserError(fetching.fault, where=params.job_id, hint="try again later", code=ExitCode.UNREACHABLE)
    if not params.only:
        past = None if console.loop.state.get(SubmitterJob, job.job_hash) else await read_job(console, job)
        await console.loop.tell(changes.OutputsRefetched(job.job_hash, fetching.here, past))
    yield _make_last(console, fetching)


def _begin(console: Console, job: SubmitterJob, lease: SubmitterLease, only: tuple[str, ...]) -> Fetching:
    peer = Peer(lease.terms.node, lease.multiaddrs)
    limit_bytes = limit_of(lease.terms.resources.disk_bytes)
    older = lease.outputs or job.outputs
    return console.outputs.begin(peer, lease.lease_id, lease.left or NOTHING, limit_bytes, only, older)


def _make_last(console: Console, fetching: Fetching) -> views.FetchStep:
    here = fetching.here
    assert here is not None
    blobs = console.outputs.blobs
    return views.FetchStep(
        files=here.entries,
        size=here.size_bytes,
        inventory=str(blobs.path(here.inventory.sha256)) if here.inventory else "",
        blobs=str(blobs.path(Hash32(bytes(32))).parent),
        left_out=here.left_out,
        missing=here.missing,
        fault=here.fault,
    )
