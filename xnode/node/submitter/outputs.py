"""The submitter's side of what a workload left: fetched, put where the job wants it, and counted in the job's end."""

from __future__ import annotations

import msgspec

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND
from scheduler.outputs import NOTHING, OutputSummary, cut_summary, limit_of
from xnode.node import changes, effects
from xnode.node.leaving import put_away
from xnode.node.records import LEASED, OutputsHere, SubmitterJob, SubmitterLease
from xnode.node.registry import handles, on_failure
from xnode.node.state import Turn
from xnode.node.submitter.timeline import note

FETCH_NS = 3600 * NANOS_PER_SECOND
"""How long outputs may take to fetch, beside what their size takes."""

MAX_VAIN_TRIES = 24
"""Tries in a row that reach the provider and bring nothing new, before what is missing is given up: some minutes, with the pauses
between them. A provider that cannot be reached may only be restarting: it is tried for all of FETCH_NS."""

SLOWEST_BYTES = 1 << 20
"""A second: a line slower than this does not get a large result in time; `job cp` goes on where it broke off."""

MAX_SLOW_BYTES = 1 << 41
"""Beyond so much a fetch gets no longer than the 24 days that this takes."""

WORDS = {"completed": "done", "stopped_by_submitter": "stopped"}
"""Job states of the reasons that are no failure."""


def fetch_outputs(turn: Turn, lease: SubmitterLease, job: SubmitterJob, news: changes.LeaseNews) -> None:
    """The provider has said what the workload left: get it."""
    left = cut_summary(news.left or NOTHING)
    lease = turn.put(lease, left=left)
    if job.lease_id != lease.lease_id or job.status not in LEASED:
        # The job has its end, or lives by another lease: late news changes neither; `job cp` still gets what was left.
        turn.put(lease, outputs_fetched=True)
        if job.lease_id == lease.lease_id and job.status == "failed" and left.inventory is not None:
            back = f"its provider is back with {_describe_left(left)}: `xnode job cp` gets them"
            note(turn, job, "output", back, end_detail="; ".join(filter(None, (job.end_detail, back))))
        return
    if left.inventory is None and not news.outputs:
        _finish(turn, lease, job, _make_here(left))
        return
    job = note(turn, job, "fetch", _describe_left(left), status="fetching")
    limit_bytes = limit_of(lease.terms.resources.disk_bytes)
    wait_ns = FETCH_NS + min(left.size_bytes, limit_bytes, MAX_SLOW_BYTES) * NANOS_PER_SECOND // SLOWEST_BYTES
    slot = turn.slot("outputs", lease.lease_id, wait_ns=wait_ns)
    # As the user knows the job: its folder beside one that is taken bears the beginning of its id.
    other = job.job_hash.hex()[:8]
    turn.emit(
        effects.FetchOutputs(
            lease_id=lease.lease_id, node=lease.terms.node, multiaddrs=lease.multiaddrs, outputs=news.outputs or (),
            left=left, limit_bytes=limit_bytes, into=job.into, only=job.only, other=other, **slot._asdict(),
        )
    )  # fmt: skip


def _make_here(left: OutputSummary, missing: int = 0, fault: str = "") -> OutputsHere:
    return OutputsHere(None, 0, 0, left.left_out, left.first, missing, 0, "", fault)


def _describe_left(left: OutputSummary) -> str:
    return _describe_count(left.entries, left.size_bytes) if left.inventory else "the outputs"


def _describe_count(entries: int, size_bytes: int) -> str:
    return f"{entries} {'output' if entries == 1 else 'outputs'}, {size_bytes} bytes"


@handles(changes.OutputsFetched)
def on_outputs_fetched(turn: Turn, change: changes.OutputsFetched) -> None:
    """What is to be had is here and is what it should be: the job has its end."""
    lease = turn.get(SubmitterLease, change.lease_id)
    job = turn.get(SubmitterJob, lease.job_hash) if lease else None
    if lease is not None and job is not None and not lease.outputs_fetched:
        _finish(turn, lease, job, change.here)


@on_failure(effects.FetchOutputs)
def on_outputs_failed(turn: Turn, effect: effects.FetchOutputs, refusal: Refusal) -> None:
    """The work was done, and its outputs are still with the provider."""
    lease = turn.get(SubmitterLease, effect.lease_id)
    job = turn.get(SubmitterJob, lease.job_hash) if lease else None
    if lease is not None and job is not None:
        left = effect.left or NOTHING
        _finish(turn, lease, job, _make_here(left, left.entries or len(effect.outputs), refusal.detail))


def miss_outputs(turn: Turn, job: SubmitterJob, lease: SubmitterLease, fault: str) -> SubmitterJob:
    """The provider is lost while we fetch. What comes all the same, until the fetch is over, is still taken."""
    left = lease.left or NOTHING
    return turn.put(job, here=_make_here(left, left.entries, fault))


def _finish(turn: Turn, lease: SubmitterLease, job: SubmitterJob, here: OutputsHere) -> None:
    lease = turn.put(lease, outputs_fetched=True)
    if job.lease_id != lease.lease_id:
        return  # the job lives by another lease now
    job = note(turn, turn.put(job, here=here), "output", describe_outputs(here))
    finish_job(turn, job, lease, lease.end_reason or "completed", lease.end_detail)


def describe_outputs(here: OutputsHere) -> str:
    """How many there are, and that not all are here if that is so."""
    parts = [_describe_count(here.entries, here.size_bytes)]
    if here.left_out:
        parts.append(f"{here.left_out} left out")
    if here.missing:
        parts.append(f"{here.missing} not fetched")
    if here.lacking:
        parts.append(f"{here.lacking} of those left out are wanted by the job")
    text = ", ".join(parts)
    text += f", {describe_place(here.entries, here.placed, here.folder)}" if here.folder else ""
    return f"{text}: {here.fault}" if here.fault else text


def describe_place(entries: int, placed: int | None, folder: str) -> str:
    """Where the outputs are; of those that the job does not want, or that could not be written, none is said to be there."""
    if placed is None or placed >= entries:
        return f"in {folder}"
    return f"{placed} of them in {folder}" if placed else f"none of them put into {folder}"


def finish_job(turn: Turn, job: SubmitterJob, lease: SubmitterLease, reason: str, detail: str) -> None:
    """The job has its end and its reason. Where not all outputs are here, a job that else went well is half-fetched."""
    if job.lease_id != lease.lease_id:
        return  # another lease has taken this one's place
    status, here = WORDS.get(reason, "failed"), job.here
    if here is not None and (here.left_out or not here.is_whole):
        detail = "; ".join(filter(None, (detail, describe_outputs(here))))
    if status == "done" and here is not None and not here.is_whole:
        status, reason = "half-fetched", "half_fetched"
    note(
        turn, job, "end", f"{reason} {detail}".strip(), status=status, end_reason=reason, end_detail=detail,
        exit_code=lease.exit_code, wake_at_ns=None,
    )  # fmt: skip


@handles(changes.OutputsRefetched)
def on_outputs_refetched(turn: Turn, change: changes.OutputsRefetched) -> None:
    """Our user has got by `job cp` what had not come by itself."""
    known = turn.get(SubmitterJob, change.job_hash)
    job = known or change.job
    if job is None or job.here is None or job.here.is_whole or not change.here.is_whole:
        return
    here = msgspec.structs.replace(change.here, folder=job.here.folder, placed=job.here.placed)
    job = note(turn, turn.put(job, here=here), "output", f"fetched again: {describe_outputs(here)}")
    if job.status == "half-fetched":
        detail = describe_outputs(here) if here.left_out else ""
        job = turn.put(job, status="done", end_reason="completed", end_detail=detail)
    if known is None:
        put_away(turn, job)
