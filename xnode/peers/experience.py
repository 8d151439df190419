"""Experience: reputations and images of other nodes, by our own leases, those that have left the state too."""

from __future__ import annotations

from collections.abc import Callable

from metering.units import Address
from scheduler.reputation import Reputation
from xnode.node.experience import fold_outcomes, has_launched, outcome_of
from xnode.node.records import SubmitterJob, SubmitterLease
from xnode.node.state import State
from xnode.node.sums import Dealings


class Experience:
    """What the state says of it now: sums of what has left, and the leases at hand."""

    def __init__(self, read_state: Callable[[], State]) -> None:
        self._read_state = read_state
        self._holders: dict[str, set[Address]] = {}
        self._reputations: dict[Address, Reputation] = {}

    def look(self) -> None:
        """Take in what has ended or launched by now."""
        state = self._read_state()
        past, leases = tuple(state.all(Dealings)), tuple(state.all(SubmitterLease))
        self._holders = {}
        for dealings in past:
            for image in dealings.images:
                self._holders.setdefault(image, set()).add(dealings.node)
        for lease in leases:
            image = _image_of(state, lease)
            if image and has_launched(lease):
                self._holders.setdefault(image, set()).add(lease.terms.node)
        known = {one.node: one.reputation for one in past}
        self._reputations = fold_outcomes(known, (lease for lease in leases if outcome_of(lease) is not None))

    @property
    def reputations(self) -> dict[Address, Reputation]:
        """What is known of each node's past work for us."""
        return self._reputations

    def holders_of(self, digest: str) -> frozenset[Address]:
        """The nodes that have run the image of this digest for us, and so need not fetch it."""
        return frozenset(self._holders.get(digest, ()))


def _image_of(state: State, lease: SubmitterLease) -> str:
    # Leases of versions up to 0.3 do not say it; their jobs do.
    job = None if lease.image else state.get(SubmitterJob, lease.job_hash)
    return job.job.image.digest if job else lease.image
