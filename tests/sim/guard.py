"""Guard: the invariants, checked while a world runs: on every signature, every commit and every change of the chain."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from metering.eip712 import Domain, typed_digest
from metering.evidence import make_numbered_document
from metering.faults import Contradictable, Witness
from metering.receipt import Receipt, SignedReceipt
from metering.terms import LeaseTerms, Opening
from metering.units import NANOS_PER_SECOND, Address, Hash32
from metering.usage import CLOCK_SLACK_NS, Counters
from metering.voucher import Voucher
from scheduler.offer import Offer
from scheduler.quote import Quote
from tests.sim.ledger import Ledger
from xnode.node.effects import DurableEffect, ReplyVoucher
from xnode.node.lease import OPEN, TRANSITIONS
from xnode.node.records import (
    HeldQuote,
    ProviderLease,
    StandingOffer,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
)
from xnode.node.state import State, Turn, kind_of
from xnode.store.journal import Batch

ROUND_NS = NANOS_PER_SECOND
"""An alarm, a commit and a decision."""

_REACHABLE = {(before, after) for (before, _), after in TRANSITIONS.items()}
_TERMINAL = ("settled", "refused")


class Guard:
    """What everybody signed and promised, and what must hold about it. Raises AssertionError at the moment of a breach."""

    def __init__(self, domain: Domain, ledger: Ledger) -> None:
        self._domain, self._separator, self._ledger = domain, domain.separator(), ledger
        self._durable: dict[Address, set[tuple[str, Any]]] = {}
        # Every node owns itself here: what it signed names who could be slashed for it.
        self._owners: dict[Address, Address] = {}
        self._witness = Witness(self._separator, self._owners)
        self._promised: dict[Hash32, int] = {}
        self._promised_ahead: dict[Hash32, int] = {}
        self.vouchered: dict[Hash32, int] = {}
        self.ahead: dict[Hash32, int] = {}
        self._plain: set[Voucher] = set()
        self.opened: dict[Hash32, int] = {}
        self.receipts: dict[Hash32, Receipt] = {}
        self.starts: dict[Hash32, Address] = {}
        self.signatures = 0

    # --------------------------------------------------------------------------------------------------------- commits

    def on_commit(self, node: Address, batch: Batch) -> None:
        """Note what is on the node's disk from now on, and that every lease went along the table."""
        promises = self._durable.setdefault(node, set())
        for record, _ in batch.records.values():
            match record:
                case HeldQuote():
                    promises.add(("Quote", record.digest))
                case StandingOffer():
                    promises.add(("Offer", record.number))
                case ProviderLease():
                    self._on_provider_lease(node, promises, record)
                case SubmitterLease():
                    self._on_submitter_lease(node, promises, record)
                case SubmitterEscrow():
                    self._promised[record.escrow_id] = int(record.cumulative)
                    self._promised_ahead[record.escrow_id] = int(record.ahead)

    def _on_provider_lease(self, node: Address, promises: set[tuple[str, Any]], lease: ProviderLease) -> None:
        promises.update(("Receipt", issued.digest) for issued in lease.issued)
        if lease.status not in ("requested", "refused"):
            promises.add(("LeaseTerms", lease.lease_id))
        if lease.status in ("ending", "settling", "settled"):
            assert lease.end_reason, f"a lease is {lease.status} at its provider without a reason"
        assert lease.status != "refused" or lease.refusal

    def _on_submitter_lease(self, node: Address, promises: set[tuple[str, Any]], lease: SubmitterLease) -> None:
        promises.add(("LeaseTerms", lease.lease_id))
        if lease.opening is not None:
            promises.add(("Opening", lease.opening.nonce))
        assert lease.status != "refused" or lease.refusal

    def on_turn(self, before: State, turn: Turn) -> None:
        """Every lease goes along the table, whatever a step does to it."""
        for effect in turn.effects:
            if isinstance(effect, ReplyVoucher):
                self._plain.add(effect.voucher)
        for record in turn.touched.values():
            if isinstance(record, ProviderLease | SubmitterLease):
                last = before.get(type(record), record.lease_id)
                start = last.status if last is not None else "requested"
                assert has_path(start, record.status), f"{type(record).__name__} went from {start} to {record.status}"
                if isinstance(record, SubmitterLease) and start != "settled" and record.status == "settled":
                    _check_settled(turn, record)

    # ------------------------------------------------------------------------------------------------------ signatures

    def on_sign(
        self,
        node: Address,
        is_honest: bool,
        type_name: str,
        value: Any,
        signature: bytes,
        count: Callable[[Hash32], Counters],
    ) -> None:
        """A signature is about to leave: what it promises is durable, nothing promised before is taken back, and no one
        could prove a fault with it."""
        self.signatures += 1
        if not is_honest:
            return
        durable = self._durable.get(node, set())
        digest = typed_digest(self._separator, type_name, value)
        match value:
            case Receipt():
                assert ("Receipt", digest) in durable, "a receipt leaves that is not on disk"
                self._check_equivocation(node, SignedReceipt(value, signature))
                self._check_receipt(value, count)
            case Voucher():
                # Steps that share a commit leave only their last sum on disk, which promises the smaller ones too.
                promised = self._promised.get(value.escrow_id, 0)
                ahead = self._promised_ahead.get(value.escrow_id, 0)
                assert value.cumulative <= max(promised, ahead), "a voucher leaves that is not on disk"
                self._check_voucher(value, is_ahead=value not in self._plain)
            case Quote():
                assert ("Quote", digest) in durable, "a quote leaves that is not on disk"
                self._check_equivocation(node, make_numbered_document(self._domain, "Quote", value, signature))
            case Offer():
                assert ("Offer", value.number) in durable, "an offer leaves that is not on disk"
                self._check_equivocation(node, make_numbered_document(self._domain, "Offer", value, signature))
            case LeaseTerms():
                assert ("LeaseTerms", digest) in durable, "lease terms leave that are not on disk"
            case Opening():
                assert ("Opening", value.nonce) in durable, "an opening leaves that is not on disk"
                self._note_opening(digest, value)

    def _note_opening(self, digest: Hash32, opening: Opening) -> None:
        if ("Opening", digest) not in self._durable.setdefault(Address(b"chain"), set()):
            self._durable[Address(b"chain")].add(("Opening", digest))
            self.opened[opening.escrow_id] = self.opened.get(opening.escrow_id, 0) + opening.amount

    def _check_equivocation(self, node: Address, document: Contradictable) -> None:
        self._owners[node] = node
        proof = self._witness.add(document)
        assert proof is None, f"two different documents were signed under one number: {proof}"

    def _check_receipt(self, receipt: Receipt, count: Callable[[Hash32], Counters]) -> None:
        last = self.receipts.get(receipt.lease_id)
        if last is None or receipt.number > last.number:
            assert last is None or receipt.cost >= last.cost, "receipts fell"
            self.receipts[receipt.lease_id] = receipt
        served = count(receipt.lease_id)
        assert receipt.running_ns <= served.running_ns + CLOCK_SLACK_NS, "time is charged in which nothing ran"
        assert receipt.usage.vcpu_ns <= served.vcpu_ns + CLOCK_SLACK_NS, "usage is charged that was not served"
        assert receipt.usage.egress_bytes <= served.egress_bytes, "bytes are charged that were not sent"
        assert receipt.cost == 0 or receipt.lease_id in self.starts, "a lease that never ran is charged"

    def _check_voucher(self, voucher: Voucher, is_ahead: bool) -> None:
        assert voucher.cumulative <= self.opened.get(voucher.escrow_id, 0), "more is vouchered than was reserved"
        if is_ahead:
            self.ahead[voucher.escrow_id] = max(self.ahead.get(voucher.escrow_id, 0), int(voucher.cumulative))
            return
        before = self.vouchered.get(voucher.escrow_id, 0)
        assert voucher.cumulative >= before, f"vouchers fell from {before} to {voucher.cumulative}"
        self.vouchered[voucher.escrow_id] = int(voucher.cumulative)

    # --------------------------------------------------------------------------------------------------- chain and host

    def on_chain(self) -> None:
        """The balances have changed."""
        self._ledger.check_conserved()
        for escrow_id, funds in self._ledger.escrows.items():
            most = max(self.vouchered.get(escrow_id, 0), self.ahead.get(escrow_id, 0))
            assert funds.claimed <= most, "more is claimed than was vouchered"

    def on_start(self, node: Address, lease_id: Hash32) -> None:
        """A workload starts: once for a lease, and in one place."""
        assert lease_id not in self.starts, "a lease's workload was started twice"
        self.starts[lease_id] = node


def _check_settled(turn: Turn, lease: SubmitterLease) -> None:
    escrow = turn.touched.get((kind_of(SubmitterEscrow), lease.terms.escrow_id))
    if isinstance(escrow, SubmitterEscrow) and (kind_of(SubmitterEscrow), escrow.key) not in turn.dropped:
        is_paid = escrow.claimed >= escrow.cumulative or escrow.deposited == escrow.claimed
        assert is_paid or escrow.thaw_asked, "a lease counts as settled before it is paid"


def check_exposure(lease: ProviderLease, impaired_at_ns: int, now_ns: int) -> None:
    """A provider that can act lets no workload run unpaid beyond the intervals that both signed, and one round of its own
    loop."""
    if lease.status != "running" or lease.started_at_ns is None:
        return
    paid_ns = max(lease.started_at_ns, lease.covered.at_ns, impaired_at_ns)
    if lease.issued:
        # Where the engine kept the provider from stating what ran, there was nothing to pay.
        paid_ns = max(paid_ns, lease.issued[0].receipt.at_ns - lease.terms.interval_ns)
    limit_ns = lease.terms.exposure_intervals * lease.terms.interval_ns + ROUND_NS
    assert now_ns - paid_ns <= limit_ns, f"unpaid for {(now_ns - paid_ns) / 1e9} s, {lease}"


ENDED_JOB = ("done", "half-fetched", "failed", "stopped")


def check_clocks(state: State, under_way: tuple[DurableEffect, ...]) -> None:
    """No job that has not ended waits for anybody without an alarm or a deadline of its own; nor does a lease that may still
    cost something wait without a time by which its provider must have done the next thing."""
    timed = {
        key
        for effect in under_way
        if effect.deadline_ns
        for key in (getattr(effect, "job_hash", b""), getattr(effect, "lease_id", b""))
    }
    for job in state.all(SubmitterJob):
        lease = state.get(SubmitterLease, job.lease_id) if job.lease_id else None
        has_clock = (
            job.wake_at_ns is not None or job.job_hash in timed or (lease is not None and lease.lease_id in timed)
        )
        has_clock = has_clock or (lease is not None and lease.wake_at_ns is not None)
        assert has_clock or job.status in ENDED_JOB, f"a job waits without a clock: {job.status}, {lease}"
    for lease in state.all(SubmitterLease):
        owes = lease.status in OPEN and lease.end_reason is None
        assert not owes or (lease.due_at_ns and lease.wake_at_ns is not None), f"a lease without a clock: {lease}"
        if lease.status == "settling":
            escrow = state.get(SubmitterEscrow, lease.terms.escrow_id)
            assert lease.wake_at_ns is not None or escrow is None or escrow.thaw_asked, (
                f"settles without a clock: {lease}"
            )


@lru_cache
def has_path(before: str, after: str) -> bool:
    """True when the table leads from one status to the other."""
    reached: set[str] = {before}
    fresh: set[str] = {before}
    while fresh:
        fresh = {str(end) for start, end in _REACHABLE if start in fresh and start not in _TERMINAL} - reached
        reached |= fresh
    return after in reached
