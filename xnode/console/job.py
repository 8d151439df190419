"""Control methods about this node's jobs."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Annotated

import msgspec
import trio

from metering.units import Hash32
from scheduler.outputs import show_path
from xnode.console.console import Console
from xnode.console.inventory import make_row, read_inventory_of
from xnode.console.job_maker import find_job_id
from xnode.console.method import control_method
from xnode.console.paging import I64_MAX, PageParams, check_states
from xnode.console.present import JobRecords
from xnode.control import views
from xnode.errors import ExitCode, UserError
from xnode.node import changes
from xnode.node.lease import OPEN
from xnode.node.records import ENDED, JOB_STATES, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.peers.job_log import JobLog

MAX_SHOWN = 100
"""Outputs in what is said of a job; `job.outputs` gives all of them."""

UNSETTLED = (*OPEN, "settling")


class JobParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """job_id: of a job, or any beginning of it that no other job has."""

    job_id: str


class WaitParams(JobParams, frozen=True, forbid_unknown_fields=True):
    """settled: wait until its lease is settled on chain too."""

    settled: bool = False


class WaitUntilParams(WaitParams, frozen=True, forbid_unknown_fields=True):
    """within_ns: answer after so long at the latest; 0: whenever it is."""

    within_ns: Annotated[int, msgspec.Meta(ge=0, le=I64_MAX)] = 0


class ListParams(PageParams, frozen=True, forbid_unknown_fields=True):
    """states: only jobs that are in one of these, see JobRow."""

    states: tuple[str, ...] = ()


@control_method("job.list")
async def list_jobs(console: Console, params: ListParams) -> views.JobPage:
    """A page of the jobs, newest first, and how many there are in all."""
    check_states(params.states, JOB_STATES)
    page = await console.journal.read_page(SubmitterJob, params.make_pick(params.states))
    leases = await console.journal.read_some(SubmitterLease, [job.lease_id for job in page.records if job.lease_id])
    by_id = {lease.lease_id: lease for lease in leases}
    pairs = [(job, by_id.get(job.lease_id) if job.lease_id else None) for job in page.records]
    rows = tuple(_say_problem(console, console.presenter.job_row(job, lease), lease) for job, lease in pairs)
    return views.JobPage(rows, page.total)


@control_method("job.show")
async def show(console: Console, params: JobParams) -> views.JobDetail:
    """Everything about one job."""
    return await describe_job(console, await find_job(console, params.job_id))


@control_method("job.stop")
async def stop(console: Console, params: JobParams) -> views.JobDetail:
    """Ask for the job's end."""
    job = await find_job(console, params.job_id)
    if job.status not in ENDED:
        await console.ask(lambda to: changes.JobStopRequested(to, job.job_hash))
    return await describe_job(console, await read_job(console, job))


@control_method("job.wait")
async def wait(console: Console, params: WaitUntilParams) -> views.JobDetail:
    """The job, once it has ended (with settled: once it is settled), or as it is when the time is over."""
    job = await find_job(console, params.job_id)
    with trio.move_on_after(params.within_ns / 1e9 if params.within_ns else inf):
        while not is_over(console, job, params.settled):
            changed = console.loop.next_change()
            job = await read_job(console, job)
            if not is_over(console, job, params.settled):
                await changed.wait()
    # Its lease may have settled since the job was read: the answer says that too.
    return await describe_job(console, await read_job(console, job))


async def find_job(console: Console, text: str) -> SubmitterJob:
    """The one job whose id begins so. Raises UserError."""
    job_hash = await find_job_id(text, partial(console.journal.find_keys, SubmitterJob))
    job = await read_known_job(console, job_hash)
    if job is None:
        raise UserError(f"job {text[:70]} was not found", hint="see `xnode job ls`", code=ExitCode.NOT_FOUND)
    return job


async def read_job(console: Console, job: SubmitterJob) -> SubmitterJob:
    """The job as it is now, also when it has left the state meanwhile."""
    return await read_known_job(console, job.job_hash) or job


async def read_known_job(console: Console, job_hash: Hash32) -> SubmitterJob | None:
    """The job of this hash."""
    live = console.loop.state.get(SubmitterJob, job_hash)
    return live or await console.journal.read_record(SubmitterJob, job_hash)


async def find_lease(console: Console, job: SubmitterJob) -> SubmitterLease | None:
    """The lease by which the job lives, or by which it lived: the archived ones too."""
    if job.lease_id is None:
        return None
    live = console.loop.state.get(SubmitterLease, job.lease_id)
    return live or await console.journal.read_record(SubmitterLease, job.lease_id)


async def find_escrow(console: Console, lease: SubmitterLease) -> SubmitterEscrow | None:
    """The escrow that pays the lease, closed or not."""
    live = console.loop.state.get(SubmitterEscrow, lease.terms.escrow_id)
    return live or await console.journal.read_record(SubmitterEscrow, lease.terms.escrow_id)


async def describe_job(console: Console, job: SubmitterJob) -> views.JobDetail:
    """Everything about the job."""
    lease = await find_lease(console, job)
    escrow = await find_escrow(console, lease) if lease else None
    detail = console.presenter.job_detail(JobRecords(job, lease, escrow))
    found = await read_inventory_of(console, job)
    left_out = found.left_out or (job.here.first if job.here else ())
    log = JobLog(console.node.log_folder, job.lease_id) if job.lease_id else None
    return msgspec.structs.replace(
        detail,
        job=_say_problem(console, detail.job, lease),
        outputs=tuple(make_row(console, entry) for entry in found.entries[:MAX_SHOWN]),
        left_out=tuple(views.LeftOutRow(show_path(one.path), one.reason) for one in left_out),
        log_lost=log.read_lost() if log else 0,
    )


def _say_problem(console: Console, row: views.JobRow, lease: SubmitterLease | None) -> views.JobRow:
    """The row with what is wrong with the chain, while something of the job still waits for it."""
    problem = console.node.chain_problem()
    waits = row.state not in ENDED or (lease is not None and lease.status in UNSETTLED)
    return msgspec.structs.replace(row, reason=f"waiting for the chain: {problem}") if problem and waits else row


def is_over(console: Console, job: SubmitterJob, settled: bool) -> bool:
    """True when the job has ended, and with settled its lease is settled too."""
    if job.status not in ENDED:
        return False
    lease = console.loop.state.get(SubmitterLease, job.lease_id) if job.lease_id else None
    return not settled or lease is None or lease.status in ("settled", "refused")
