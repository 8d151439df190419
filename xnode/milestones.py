"""Milestones: what the log says of jobs, leases and their money: read off the records that a commit has changed, so that
each is logged once, however it came about, and only when it is durable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import structlog

from metering.units import Hash32
from xnode.logs import log_context
from xnode.node.records import (
    Compensation,
    ProviderEscrow,
    ProviderLease,
    Record,
    SilenceClaim,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
)
from xnode.node.state import State

Milestone = tuple[str, dict[str, Any]]
"""The line's constant text and its fields."""

_UNSIGNED = ("requested", "refused")
_ENDED = ("done", "failed", "stopped")

log = structlog.get_logger("xnode.milestones")


def log_milestones(before: State, records: Iterable[Record]) -> None:
    """Log what is new in these records since `before`, with job and lease on every line."""
    # Asked once: a filtered line still costs some microseconds, and receipts come by the thousand.
    counts = logging.getLogger("xnode").isEnabledFor(logging.DEBUG)
    for record in records:
        match record:
            case SubmitterJob():
                _say(_find_job_milestones(before.get(SubmitterJob, record.key), record), record.job_hash)
            case ProviderLease() | SubmitterLease():
                known = before.get(type(record), record.key)
                if known is not None and _stands_as(known) == _stands_as(record) and not counts:
                    continue
                _say(_find_lease_milestones(known, record), record.terms.job_hash, record.lease_id)
                if counts:
                    _log_counters(known, record)
            case SilenceClaim():
                _log_silence(before, record)
            case Compensation():
                _log_compensation(before, record)
            case ProviderEscrow() | SubmitterEscrow():
                _log_claim(before, record)


def _say(milestones: Iterator[Milestone], job_hash: Hash32, lease_id: Hash32 | None = None) -> None:
    for text, fields in milestones:
        with log_context(job=job_hash, lease=lease_id):
            log.info(text, **fields)


def _find_job_milestones(before: SubmitterJob | None, job: SubmitterJob) -> Iterator[Milestone]:
    if before is None:
        yield "job taken in", {"name": job.job.name}
    if job.status in _ENDED and (before is None or before.status not in _ENDED):
        yield "job ended", {"status": job.status, "reason": job.end_reason, "detail": job.end_detail}


def _find_lease_milestones(
    before: ProviderLease | SubmitterLease | None, lease: ProviderLease | SubmitterLease
) -> Iterator[Milestone]:
    side = "provider" if isinstance(lease, ProviderLease) else "submitter"
    was = before.status if before is not None else "requested"
    if was in _UNSIGNED and lease.status not in _UNSIGNED:
        peer = lease.terms.submitter if side == "provider" else lease.terms.node
        limit = str(int(lease.terms.cost_limit))
        yield "lease opened", {"side": side, "peer": peer, "escrow": lease.terms.escrow_id[:8], "cost_limit": limit}
    if lease.refusal is not None and lease.status == "refused" and was != "refused":
        yield "lease refused", {"side": side, "code": lease.refusal.code, "detail": lease.refusal.detail}
    if _has_started(lease) and not (before is not None and _has_started(before)):
        yield "workload started", {"side": side}
    if lease.end_reason is not None and (before is None or before.end_reason is None):
        yield "lease ended", {"side": side, "reason": lease.end_reason, "detail": lease.end_detail}
    if lease.status == "settled" and was != "settled":
        yield "lease settled", {"side": side, "receipts": lease.receipts, "cost": str(int(lease.last.cost))}


def _stands_as(lease: ProviderLease | SubmitterLease) -> tuple[object, ...]:
    """All that a milestone is made of: a receipt changes none of it."""
    return lease.status, lease.end_reason, lease.refusal, getattr(lease, "started_at_ns", None)


def _has_started(lease: ProviderLease | SubmitterLease) -> bool:
    return lease.started_at_ns is not None if isinstance(lease, ProviderLease) else lease.status == "running"


def _log_counters(before: ProviderLease | SubmitterLease | None, lease: ProviderLease | SubmitterLease) -> None:
    with log_context(job=lease.terms.job_hash, lease=lease.lease_id):
        if lease.last.number > (before.last.number if before is not None else 0):
            log.debug("receipts", number=lease.last.number, cost=str(int(lease.last.cost)), final=lease.last.final)
        if isinstance(lease, ProviderLease) and isinstance(before, ProviderLease):
            covered = lease.covered
            if covered.number > before.covered.number:
                log.debug("voucher", covers=covered.number, cost=str(int(covered.cost)))


def _log_claim(before: State, escrow: ProviderEscrow | SubmitterEscrow) -> None:
    known = before.get(type(escrow), escrow.key)
    if known is None or escrow.claimed <= known.claimed:
        return
    side = "provider" if isinstance(escrow, ProviderEscrow) else "submitter"
    # The lines as they were: what the claim has settled may be folded away by now.
    for line in known.lines:
        lease = before.get(ProviderLease, line.lease_id) or before.get(SubmitterLease, line.lease_id)
        with log_context(job=lease.terms.job_hash if lease else None, lease=line.lease_id):
            log.info("claimed", side=side, escrow=escrow.escrow_id[:8], claimed=str(int(escrow.claimed)))


def _log_silence(before: State, claim: SilenceClaim) -> None:
    known = before.get(SilenceClaim, claim.lease_id)
    lease = before.get(ProviderLease, claim.lease_id)
    with log_context(job=lease.terms.job_hash if lease else None, lease=claim.lease_id):
        if known is None or known.answer_until_s != claim.answer_until_s:
            log.warning("silence claimed", after=claim.number, answer_until_s=claim.answer_until_s)
        if claim.is_answered and not (known is not None and known.is_answered):
            log.info("silence answered")
        if claim.problem and not (known is not None and known.problem == claim.problem):
            log.warning("a claim of silence cannot be answered now", reason=claim.problem)
        if claim.wake_at_ns is None and not claim.is_answered:
            log.error("silence not answered in time", reason=claim.problem)


def _log_compensation(before: State, one: Compensation) -> None:
    known = before.get(Compensation, one.lease_id)
    lease, amount = before.get(SubmitterLease, one.lease_id), str(int(one.amount))
    with log_context(job=lease.terms.job_hash if lease else None, lease=one.lease_id):
        if known is None or known.payable_until_s != one.payable_until_s:
            log.info("compensation awaited", amount=amount, from_s=one.payable_at_s, until_s=one.payable_until_s)
        if one.is_paid and not (known is not None and known.is_paid):
            log.info("compensation paid", amount=amount)
        if one.problem and not (known is not None and known.problem == one.problem):
            log.warning("a compensation cannot be collected now", reason=one.problem)
        if one.wake_at_ns is None and not one.is_paid:
            log.error("compensation lapsed", amount=amount, reason=one.problem)
