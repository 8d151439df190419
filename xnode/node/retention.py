"""Retention: which of a node's own files may go now, and how much of its disk is left for leases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metering.units import NANOS_PER_SECOND

GRACE_NS = 3_600 * NANOS_PER_SECOND
"""What was written or used within the last hour stays, whatever is short: somebody may be about to name it."""

BUDGET_PART = 4
"""A node's own files never keep more than a quarter of what there is from leases: on a small disk the budget shrinks."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Something of ours on the disk. used_at_ns: when it was written or last used, as far as we know; is_needed: by what
    goes on now."""

    kind: str
    name: str
    size_bytes: int
    used_at_ns: int
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """keep_ns: how long a kind is kept after its last use; is_spare: it can be had again, and goes before that when room is
    short."""

    keep_ns: int
    is_spare: bool = False


@dataclass(frozen=True, slots=True)
class Shortage:
    """budget_bytes: the most that our own files are to take; lacking_bytes: how much the disk lacks to its watermark."""

    budget_bytes: int
    lacking_bytes: int = 0


def find_removable(
    stock: Iterable[Kept], rules: Mapping[str, Rule], shortage: Shortage, now_ns: int
) -> tuple[Kept, ...]:
    """What may go now, the longest unused first. Never what is needed, nor what was used within the grace; what is no spare
    not before its time."""
    kept = sorted(stock, key=lambda one: (one.used_at_ns, one.kind, one.name))
    idle = [one for one in kept if not one.is_needed and now_ns - one.used_at_ns > GRACE_NS]
    gone = [one for one in idle if now_ns - one.used_at_ns > rules[one.kind].keep_ns]
    freed = _size_of(gone)
    wanted = max(_size_of(kept) - shortage.budget_bytes, shortage.lacking_bytes)
    for one in idle:
        if freed >= wanted:
            break
        if rules[one.kind].is_spare and now_ns - one.used_at_ns <= rules[one.kind].keep_ns:
            gone.append(one)
            freed += one.size_bytes
    return tuple(sorted(gone, key=lambda one: (one.used_at_ns, one.kind, one.name)))


def _size_of(kept: Iterable[Kept]) -> int:
    return sum(one.size_bytes for one in kept)


@dataclass(frozen=True, slots=True)
class DiskReading:
    """What a disk holds. free_bytes: for us to write; leased_bytes: allocated to leases' disks; own_bytes: our own files."""

    free_bytes: int
    leased_bytes: int
    own_bytes: int


@dataclass(frozen=True, slots=True)
class DiskRules:
    """budget_bytes: for our own files; min_free_bytes: the watermark, which must stay free whatever comes."""

    budget_bytes: int
    min_free_bytes: int

    def budget_of(self, reading: DiskReading) -> int:
        """What our own files may take of this disk."""
        whole = reading.free_bytes + reading.leased_bytes + reading.own_bytes
        return min(self.budget_bytes, whole // BUDGET_PART)

    def left_for_leases(self, reading: DiskReading) -> int:
        """What leases may have in all, those that stand included: what is free above the watermark and above what our own
        files may still grow by."""
        growth = max(0, self.budget_of(reading) - reading.own_bytes)
        return reading.leased_bytes + max(0, reading.free_bytes - self.min_free_bytes - growth)

    def lacking_bytes(self, reading: DiskReading) -> int:
        """How far the disk is below its watermark; 0 when it is not."""
        return max(0, self.min_free_bytes - reading.free_bytes)

    def shortage_of(self, reading: DiskReading) -> Shortage:
        """What must be freed, if it can be."""
        return Shortage(self.budget_of(reading), self.lacking_bytes(reading))
