"""Needed: which blobs something in this node's state still needs, so that nothing else removes them."""

from __future__ import annotations

from collections.abc import Iterator

from metering.units import Hash32
from scheduler.job import Job
from xnode.node.lease import OPEN
from xnode.node.records import ENDED, ProviderLease, SubmitterJob
from xnode.node.state import State


def list_live_jobs(state: State) -> tuple[SubmitterJob, ...]:
    """Our jobs that have not ended."""
    return tuple(one for one in state.all(SubmitterJob) if one.status not in ENDED)


def find_needed(state: State) -> frozenset[Hash32]:
    """Images and inputs of live jobs, ours and those we serve, and the outputs of all."""
    return frozenset(_hashes(state))


def _hashes(state: State) -> Iterator[Hash32]:
    for ours in state.all(SubmitterJob):
        yield from (one.blob.sha256 for one in ours.outputs)
    for lease in state.all(ProviderLease):
        yield from (one.blob.sha256 for one in lease.outputs or ())
        if lease.status in OPEN or lease.status == "requested":
            yield from _hashes_of(lease.job)
    for live in list_live_jobs(state):
        yield from _hashes_of(live.job)


def _hashes_of(job: Job) -> Iterator[Hash32]:
    yield from (blob.sha256 for blob in job.image.blobs)
    yield from (one.blob.sha256 for one in job.inputs)
