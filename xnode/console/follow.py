"""Control methods that follow a job while it happens: its timeline and its log."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import trio

from scheduler.outputs import NOTHING
from xnode.console.console import Console
from xnode.console.job import JobParams, WaitParams, find_job, is_over, read_job
from xnode.console.method import control_method
from xnode.control import views
from xnode.node import message
from xnode.node.records import ENDED, SubmitterLease, TimelineEntry
from xnode.peers.job_log import JobLog

PREPARING = ("preparing", "launching")

PROGRESS_POLL_S = 1.0
"""How often the provider is asked how far it is, while somebody looks on and nothing else happens."""

LOG_PIECE_BYTES = 64 << 10

LOG_POLL_S = 0.05
"""The log's own file is the channel between the follower and the reader; a look each 50 ms is below what eyes notice."""

FETCH_LOOK_S = 1.0
"""Between two words on how far the fetch of the outputs is."""

LOG_QUIET_S = 20.0
"""How long the rest of an ended job's log is waited for: its provider may be away for a moment, or forever."""


CHAIN_LOOK_S = 2.0
"""How soon a person who waits hears that the chain is away, or is back."""


class EventsParams(WaitParams, frozen=True, forbid_unknown_fields=True):
    """follow: go on until the job has ended (with settled: until its lease is settled)."""

    follow: bool = False


class LogParams(JobParams, frozen=True, forbid_unknown_fields=True):
    """offset: where to begin, in bytes; follow: go on until the workload has ended."""

    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    follow: bool = False


@control_method("job.events")
async def events(console: Console, params: EventsParams) -> AsyncIterator[views.TimelineEntry]:
    """What happened to a job; with follow also what happens, until it has ended (with settled: is settled)."""
    job = await find_job(console, params.job_id)
    shown = counted = 0
    problem = ""
    while True:
        changed = console.loop.next_change()
        job = await read_job(console, job)
        for entry in job.timeline[shown:]:
            yield console.presenter.entry(entry, job.job.asset)
        shown = len(job.timeline)
        lease = console.loop.state.get(SubmitterLease, job.lease_id) if job.lease_id else None
        if params.follow and lease is not None and lease.last.number > counted:
            counted = lease.last.number
            yield _make_counter(console, lease)
        if not params.follow or is_over(console, job, params.settled):
            return
        before, problem = problem, console.node.chain_problem()
        if bool(before) != bool(problem):
            yield _make_chain_line(console, problem)
        preparing = lease if lease is not None and lease.status in PREPARING else None
        is_fetching = job.status == "fetching"
        look_s = FETCH_LOOK_S if is_fetching else PROGRESS_POLL_S if preparing else CHAIN_LOOK_S
        with trio.move_on_after(look_s) as waiting:
            await changed.wait()
        if is_fetching and lease is not None and lease.lease_id in console.outputs.progress:
            yield _make_fetching(console, lease)
        if waiting.cancelled_caught and preparing:
            progress = await console.progress.ask(preparing)
            if progress is not None:
                yield _make_progress(console, progress)


@control_method("job.logs")
async def logs(console: Console, params: LogParams) -> AsyncIterator[views.LogPiece]:
    """The log from an offset on; with follow as it grows, until the workload has ended."""
    job = await find_job(console, params.job_id)
    offset, quiet_s = params.offset, 0.0
    while True:
        job = await read_job(console, job)
        copy = JobLog(console.node.log_folder, job.lease_id) if job.lease_id else None
        over = copy is None or copy.has_ended() or quiet_s >= LOG_QUIET_S
        after, data = await trio.to_thread.run_sync(copy.read, offset, LOG_PIECE_BYTES) if copy else (offset, b"")
        if data:
            offset, quiet_s = after, 0.0
            yield views.LogPiece(offset, base64.b64encode(data).decode())
        elif not params.follow or (over and job.status in ENDED):
            return
        else:
            await trio.sleep(LOG_POLL_S)
            quiet_s += LOG_POLL_S if job.status in ENDED else 0.0


def _make_chain_line(console: Console, problem: str) -> views.TimelineEntry:
    text = f"waiting for the chain: {problem}" if problem else "the chain is back"
    return views.TimelineEntry(console.clock.now_ns(), "chain", text)


def _make_progress(console: Console, progress: message.Progress) -> views.TimelineEntry:
    done, total = progress.done_bytes, progress.total_bytes
    size = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
    return views.TimelineEntry(console.clock.now_ns(), "progress", f"{progress.what} {size}".rstrip())


def _make_counter(console: Console, lease: SubmitterLease) -> views.TimelineEntry:
    text = f"receipt {lease.receipts} checked, voucher signed"
    entry = TimelineEntry(lease.last.at_ns, "receipt", text, (("cost", str(int(lease.last.cost))),))
    return console.presenter.entry(entry, lease.terms.asset)


def _make_fetching(console: Console, lease: SubmitterLease) -> views.TimelineEntry:
    files, size_bytes = console.outputs.progress[lease.lease_id]
    left = lease.left or NOTHING
    text = f"{files:,} of {left.entries:,} outputs, {size_bytes:,} of {left.size_bytes:,} bytes"
    return views.TimelineEntry(console.clock.now_ns(), "fetching", text)
