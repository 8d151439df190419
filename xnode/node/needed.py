"""Needed: which files something in this node's state still needs, so that nothing removes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metering.units import Hash32
from scheduler.job import Job
from xnode.node.lease import OPEN
from xnode.node.records import HeldQuote, ProviderLease, SubmitterJob, SubmitterLease
from xnode.node.state import State

ENDED = ("done", "half-fetched", "failed", "stopped")
"""What a job is when nothing more happens to it by itself."""

SERVED = ("requested", *OPEN)
"""Leases whose workload may still start, or runs."""


@dataclass(frozen=True, slots=True)
class Needed:
    """blobs: images and inputs of live jobs, ours and those we serve, and their outputs; brought: images and inputs of all jobs
    that the state knows, also of ended ones, which nobody needs; images: digests that an engine may be asked for; leases: whose
    logs are still copied or read."""

    blobs: frozenset[Hash32]
    brought: frozenset[Hash32]
    images: frozenset[str]
    leases: frozenset[Hash32]

    def with_blobs(self, more: frozenset[Hash32]) -> Needed:
        """Blobs that are needed for another reason, too."""
        return Needed(self.blobs | more, self.brought, self.images, self.leases)

    def with_brought(self, earlier: frozenset[Hash32]) -> Needed:
        """And what jobs brought that the state has forgotten."""
        return Needed(self.blobs, self.brought | earlier, self.images, self.leases)


def list_live_jobs(state: State) -> tuple[SubmitterJob, ...]:
    """Our jobs that have not ended."""
    return tuple(one for one in state.all(SubmitterJob) if one.status not in ENDED)


def find_needed(state: State) -> Needed:
    """All of it, as the state is now."""
    blobs, leases = frozenset(_needed_blobs(state)), frozenset(_live_leases(state))
    served = [one.job for one in state.all(ProviderLease) if one.status in SERVED]
    held = [one.job for one in state.all(HeldQuote)]
    return Needed(blobs, frozenset(_job_blobs(state)), frozenset(_digests_of(served, held)), leases)


def _needed_blobs(state: State) -> Iterator[Hash32]:
    for ours in state.all(SubmitterJob):
        yield from (one.blob.sha256 for one in ours.outputs)
    for live in list_live_jobs(state):
        yield from hashes_of(live.job)
    for held in state.all(HeldQuote):
        yield from hashes_of(held.job)
    for lease in state.all(ProviderLease):
        yield from (one.blob.sha256 for one in lease.outputs or ())
        if lease.left is not None and lease.left.inventory is not None:
            yield lease.left.inventory.sha256
        if lease.status in SERVED:
            yield from hashes_of(lease.job)


def _job_blobs(state: State) -> Iterator[Hash32]:
    for ours in state.all(SubmitterJob):
        yield from hashes_of(ours.job)
    for lease in state.all(ProviderLease):
        yield from hashes_of(lease.job)


def _live_leases(state: State) -> Iterator[Hash32]:
    yield from (one.lease_id for one in state.all(ProviderLease) if one.status not in ("settled", "refused"))
    for job in list_live_jobs(state):
        if job.lease_id is not None:
            yield job.lease_id
    yield from (one.lease_id for one in state.all(SubmitterLease) if one.status not in ("settled", "refused"))


def _digests_of(*jobs: list[Job]) -> Iterator[str]:
    for some in jobs:
        yield from (one.image.digest for one in some)


def hashes_of(job: Job) -> Iterator[Hash32]:
    """What a job brings with it: its image and its inputs."""
    yield from (blob.sha256 for blob in job.image.blobs)
    yield from (one.blob.sha256 for one in job.inputs)
