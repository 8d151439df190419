"""Subject: which job, lease and escrow an effect is about, as far as it says or the records know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metering.units import Hash32
from xnode.node.records import ProviderEscrow, ProviderLease, SubmitterEscrow, SubmitterLease
from xnode.node.state import State


@dataclass(frozen=True, slots=True)
class Subject:
    """None: not known, or more than one."""

    job_hash: Hash32 | None = None
    lease_id: Hash32 | None = None
    escrow_id: Hash32 | None = None


def subject_of(state: State, effect: Any) -> Subject:
    """What an effect is about."""
    escrow_id: Hash32 | None = getattr(effect, "escrow_id", None)
    lease_id = _lease_id_of(state, effect, escrow_id)
    job_hash: Hash32 | None = getattr(effect, "job_hash", None)
    if job_hash is None and lease_id is not None:
        lease = state.get(ProviderLease, lease_id) or state.get(SubmitterLease, lease_id)
        job_hash = lease.terms.job_hash if lease is not None else None
    return Subject(job_hash, lease_id, escrow_id)


def _lease_id_of(state: State, effect: Any, escrow_id: Hash32 | None) -> Hash32 | None:
    for holder in (effect, getattr(effect, "report", None)):
        named: Hash32 | None = getattr(holder, "lease_id", None)
        if named:
            return named
    if escrow_id is None:
        return None
    escrow = state.get(ProviderEscrow, escrow_id) or state.get(SubmitterEscrow, escrow_id)
    # With more leases than one on an escrow, what happens to it is about all of them.
    return escrow.lines[0].lease_id if escrow is not None and len(escrow.lines) == 1 else None
