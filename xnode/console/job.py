"""Control methods about this node's jobs."""

from __future__ import annotations

import msgspec

from scheduler.outputs import show_path
from xnode.console.console import Console
from xnode.console.inventory import make_row, read_inventory_of
from xnode.console.job_maker import find_job_id
from xnode.console.method import NoParams, control_method
from xnode.console.present import JobRecords
from xnode.control import views
from xnode.node import changes
from xnode.node.lease import OPEN
from xnode.node.records import ENDED, SubmitterEscrow, SubmitterJob, SubmitterLease
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


@control_method("job.list")
async def list_jobs(console: Console, _params: NoParams) -> list[views.JobRow]:
    """All jobs, newest first."""
    jobs = list(console.loop.state.all(SubmitterJob))
    leases = {lease.lease_id: lease for lease in console.loop.state.all(SubmitterLease)}
    if any(job.lease_id and job.lease_id not in leases for job in jobs):
        # Settled long ago: no longer in the state, but what it cost is still true.
        past = await console.journal.read_records(SubmitterLease)
        leases = {lease.lease_id: lease for lease in past if isinstance(lease, SubmitterLease)} | leases
    pairs = [(job, leases.get(job.lease_id) if job.lease_id else None) for job in jobs]
    rows = [_say_problem(console, console.presenter.job_row(job, lease), lease) for job, lease in pairs]
    return sorted(rows, key=lambda row: -row.created_at_ns)


@control_method("job.show")
async def show(console: Console, params: JobParams) -> views.JobDetail:
    """Everything about one job."""
    return await describe_job(console, find_job(console, params.job_id))


@control_method("job.stop")
async def stop(console: Console, params: JobParams) -> views.JobDetail:
    """Ask for the job's end."""
    job = find_job(console, params.job_id)
    if job.status not in ENDED:
        await console.ask(lambda to: changes.JobStopRequested(to, job.job_hash))
    return await describe_job(console, read_job(console, job))


@control_method("job.wait")
async def wait(console: Console, params: WaitParams) -> views.JobDetail:
    """The job, once it has ended (with settled: once it is settled)."""
    job = find_job(console, params.job_id)
    while not is_over(console, job, params.settled):
        await console.loop.wait_change()
        job = read_job(console, job)
    return await describe_job(console, job)


def find_job(console: Console, text: str) -> SubmitterJob:
    """The one job whose id begins so. Raises UserError."""
    known = {job.job_hash: job for job in console.loop.state.all(SubmitterJob)}
    return known[find_job_id(text, known)]


def read_job(console: Console, job: SubmitterJob) -> SubmitterJob:
    """The job as it is now."""
    return console.loop.state.get(SubmitterJob, job.job_hash) or job


async def find_lease(console: Console, job: SubmitterJob) -> SubmitterLease | None:
    """The lease by which the job lives, or by which it lived: the archived ones too."""
    if job.lease_id is None:
        return None
    live = console.loop.state.get(SubmitterLease, job.lease_id)
    found = live or await console.journal.read_record(SubmitterLease, job.lease_id)
    return found if isinstance(found, SubmitterLease) else None


async def find_escrow(console: Console, lease: SubmitterLease) -> SubmitterEscrow | None:
    """The escrow that pays the lease, closed or not."""
    live = console.loop.state.get(SubmitterEscrow, lease.terms.escrow_id)
    found = live or await console.journal.read_record(SubmitterEscrow, lease.terms.escrow_id)
    return found if isinstance(found, SubmitterEscrow) else None


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
