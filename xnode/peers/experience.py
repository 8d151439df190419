"""Experience: reputations and images of other nodes, kept up with our own leases, the archived ones too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from metering.units import Address, Hash32
from scheduler.reputation import Reputation
from xnode.node.experience import fold_outcomes, has_launched, outcome_of
from xnode.node.records import SubmitterJob, SubmitterLease
from xnode.node.state import State
from xnode.ports.store import Records


class Experience:
    """Counts every lease once. The store is read once, for what is no longer in the state."""

    def __init__(self, records: Records, read_state: Callable[[], State]) -> None:
        self._records, self._read_state = records, read_state
        self._has_read = False
        self._counted: set[Hash32] = set()
        self._holders: dict[str, set[Address]] = {}
        self._reputations: dict[Address, Reputation] = {}

    async def look(self) -> None:
        """Take in what has ended or launched since the last look."""
        if not self._has_read:
            past = await self._records.read_records(SubmitterLease)
            self._has_read = True
            self._take([lease for lease in past if isinstance(lease, SubmitterLease)])
        self._take(list(self._read_state().all(SubmitterLease)))

    def _take(self, leases: Iterable[SubmitterLease]) -> None:
        state = self._read_state()
        fresh = [lease for lease in leases if lease.lease_id not in self._counted]
        for lease in fresh:
            job = state.get(SubmitterJob, lease.job_hash)
            if job is not None and has_launched(lease):
                self._holders.setdefault(job.job.image.digest, set()).add(lease.terms.node)
        ended = [lease for lease in fresh if outcome_of(lease) is not None]
        self._reputations = fold_outcomes(self._reputations, ended)
        self._counted.update(lease.lease_id for lease in ended)

    @property
    def reputations(self) -> dict[Address, Reputation]:
        """What is known of each node's past work for us."""
        return self._reputations

    def holders_of(self, digest: str) -> frozenset[Address]:
        """The nodes that have run the image of this digest for us, and so need not fetch it."""
        return frozenset(self._holders.get(digest, ()))
