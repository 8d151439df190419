"""Patience: how long a lease holds capacity, unpaid, for a submitter that does not send what its job needs."""

from __future__ import annotations

from dataclasses import dataclass

from metering.units import NANOS_PER_SECOND, Hash32

PATIENCE_NS = 180 * NANOS_PER_SECOND
"""Of tries that brought next to nothing: longer than a restart takes, and than a provider may be silent by default."""

STEP_NS = 60 * NANOS_PER_SECOND
"""The most that one try counts: what is beyond was our own absence, or the turns of others."""

LEAST_BYTES = 1 << 20
"""What has to come in that time, unless all is here."""

MAX_LEASES = 1_000
"""Leases remembered; one that ended by its deadline leaves its count behind."""


@dataclass(slots=True)
class _Waited:
    """here: the most bytes so far; then: at the last time there was something new; waited_ns: since then."""

    begun_ns: int
    here: int = 0
    then: int = 0
    waited_ns: int = 0


class Patience:
    """Counts vain tries. Pure: the time comes in."""

    def __init__(self) -> None:
        self._leases: dict[Hash32, _Waited] = {}

    def begin(self, lease_id: Hash32, now_ns: int) -> None:
        """A try begins."""
        if lease_id not in self._leases and len(self._leases) >= MAX_LEASES:
            del self._leases[next(iter(self._leases))]
        self._leases.setdefault(lease_id, _Waited(now_ns))

    def reach(self, lease_id: Hash32, size_bytes: int) -> None:
        """So many bytes are here."""
        one = self._leases.get(lease_id)
        if one is not None:
            one.here = max(one.here, size_bytes)

    def has_ended(self, lease_id: Hash32, now_ns: int) -> bool:
        """After a try that brought not all of it: True when enough of them were vain."""
        one = self._leases.get(lease_id)
        if one is None:
            return False
        one.waited_ns += max(0, min(now_ns - one.begun_ns, STEP_NS))
        one.begun_ns = now_ns
        if one.here >= one.then + LEAST_BYTES:
            one.then, one.waited_ns = one.here, 0
        return one.waited_ns >= PATIENCE_NS

    def forget(self, lease_id: Hash32) -> None:
        """It is over, one way or the other."""
        self._leases.pop(lease_id, None)
