"""Records: what a provider and a submitter remember of one lease, at any moment of its life; and the node that steps on it.

Key 0 is the submitter, key 1 the provider's node; key 1001 owns it and key 500 pays.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec.structs import replace

from metering.receipt import Receipt, SignedReceipt, make_first, next_receipt, receipt_digest_of
from metering.signature import sign_digest
from metering.terms import Escrow, LeaseTerms, Opening, escrow_id_of, lease_id_of
from metering.units import NANOS_PER_SECOND, ZERO, ZERO_HASH, Amount
from metering.usage import Counters
from metering.voucher import Coverage, SignedVoucher, Voucher, fold_receipts, voucher_digest_of
from scheduler.job import job_hash_of
from tests.make.nodes import PAYER, make_provider_settings, make_submitter_settings
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_escrow, make_job, make_key, make_terms
from xnode.node import changes, effects
from xnode.node.records import (
    EarnedLine,
    Issued,
    NodeSettings,
    PaidLine,
    ProviderEscrow,
    ProviderLease,
    Record,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
)
from xnode.node.state import make_state
from xnode.node.step import step

R = TypeVar("R", bound=Record)

SECOND = NANOS_PER_SECOND
JOB = make_job()
ESCROW = make_escrow(payer=address_of(PAYER))
ESCROW_ID = escrow_id_of(SEPARATOR, ESCROW)
TERMS = make_terms(job_hash=job_hash_of(JOB), escrow_id=ESCROW_ID)
LEASE_ID = lease_id_of(SEPARATOR, TERMS)
OPENING = Opening(ESCROW_ID, TERMS.cost_limit, bytes(32), NOW_NS // SECOND + 120)
FIRST = make_first(LEASE_ID, NOW_NS)


class Node:
    """A node that has these records, at `now_ns`; `tell` steps it and gives what it would do."""

    def __init__(self, *records: Record, number: int = 1, now_ns: int = NOW_NS, **roles: Any) -> None:
        settings = NodeSettings(address_of(number), SEPARATOR, "test", **roles)
        self.state = make_state((settings, *records))
        self.now_ns = now_ns

    def tell(self, change: changes.Change, after_s: float = 0) -> list[effects.Effect]:
        """The effects of the change, so much later."""
        self.now_ns += int(after_s * SECOND)
        turn = step(self.state, changes.Entry(self.now_ns, bytes(32), change))
        self.state = turn.state
        return turn.effects

    def fail(
        self, effect: effects.Effect, code: str = "deadline", detail: str = "no answer", after_s: float = 0
    ) -> list[effects.Effect]:
        """What follows when the effect cannot be done."""
        return self.tell(changes.EffectFailed(effect, code, detail), after_s)

    def wake(self, record: Record, after_s: float = 0) -> list[effects.Effect]:
        """What follows when the record's time has come."""
        return self.tell(changes.Woke(str(record.__struct_config__.tag), record.key), after_s)

    def get(self, record: R) -> R:
        """The record of the same key, as it is now."""
        found = self.state.get(type(record), record.key)
        assert found is not None, f"{type(record).__name__} is gone"
        return found


def make_provider(*records: Record, **settings: Any) -> Node:
    """The provider's node of key 1."""
    return Node(*records, provider=make_provider_settings(1, **settings))


def make_submitter(*records: Record, **settings: Any) -> Node:
    """The submitter's node of key 0."""
    return Node(*records, number=0, submitter=make_submitter_settings(**settings))


def make_receipt(running_s: int, last: Receipt = FIRST, final: bool = False, terms: LeaseTerms = TERMS) -> Receipt:
    """After so many seconds at half of the leased vCPU."""
    passed_ns = running_s * SECOND
    counters = Counters(passed_ns, passed_ns // 4)
    return next_receipt(last, terms, counters, NOW_NS + passed_ns, final, lease_age_ns=passed_ns)


def sign_receipt(receipt: Receipt) -> SignedReceipt:
    """By the provider's node."""
    return SignedReceipt(receipt, sign_digest(make_key(1), receipt_digest_of(SEPARATOR, receipt)))


def make_issued(*receipts: Receipt) -> tuple[Issued, ...]:
    """Receipts that no voucher covers yet."""
    return tuple(Issued(one, receipt_digest_of(SEPARATOR, one)) for one in receipts)


def make_paid(receipt: Receipt, key: int = 0) -> changes.VoucherReceived:
    """The submitter's voucher over this receipt of the escrow's only lease."""
    coverage = Coverage(0, ZERO_HASH, (receipt_digest_of(SEPARATOR, receipt),))
    voucher = Voucher(ESCROW_ID, receipt.cost, fold_receipts(coverage.prefix, coverage.digests))
    signed = SignedVoucher(voucher, sign_digest(make_key(key), voucher_digest_of(SEPARATOR, voucher)))
    return changes.VoucherReceived(LEASE_ID, signed, coverage)


def make_provider_lease(**fields: Any) -> ProviderLease:
    """A lease that was just asked for."""
    lease = ProviderLease(
        lease_id=LEASE_ID,
        terms=TERMS,
        job=JOB,
        submitter_addrs=("/memory/0",),
        terms_signature=sign_digest(make_key(0), LEASE_ID),
        escrow=ESCROW,
        opening=OPENING,
        opening_signature=bytes(65),
        requested_at_ns=NOW_NS,
        last=FIRST,
        covered=FIRST,
        covered_at_ns=NOW_NS,
    )
    return replace(lease, **fields)


def make_running_lease(**fields: Any) -> ProviderLease:
    """A lease whose workload runs since now, on an escrow that is on chain."""
    running = {"status": "running", "funded": True, "started_at_ns": NOW_NS, "wake_at_ns": NOW_NS + 5 * SECOND}
    return make_provider_lease(**(running | fields))


def make_provider_escrow(**fields: Any) -> ProviderEscrow:
    """The escrow of that lease."""
    line = EarnedLine(LEASE_ID, TERMS.lease_number, ZERO)
    return replace(ProviderEscrow(ESCROW_ID, ESCROW, TERMS.cost_limit, lines=(line,)), **fields)


def make_submitter_job(**fields: Any) -> SubmitterJob:
    """A job whose lease has begun."""
    job = SubmitterJob(job_hash_of(JOB), JOB, NOW_NS, status="running", lease_id=LEASE_ID, tried=(address_of(1),))
    return replace(job, **fields)


def make_submitter_lease(**fields: Any) -> SubmitterLease:
    """A lease that both have signed."""
    lease = SubmitterLease(
        lease_id=LEASE_ID,
        job_hash=job_hash_of(JOB),
        terms=TERMS,
        multiaddrs=("/memory/1",),
        opening=OPENING,
        requested_at_ns=NOW_NS,
        last=FIRST,
        last_digest=ZERO_HASH,
        status="preparing",
        heard_at_ns=NOW_NS,
        wake_at_ns=NOW_NS + 20 * SECOND,
    )
    return replace(lease, **fields)


def make_submitter_escrow(**fields: Any) -> SubmitterEscrow:
    """The escrow that pays it. lines: of that lease."""
    line = PaidLine(LEASE_ID, ZERO, ZERO_HASH)
    escrow = SubmitterEscrow(ESCROW_ID, ESCROW, TERMS.cost_limit, lines=(line,))
    return replace(escrow, **fields)


def make_seen(
    escrow: Escrow = ESCROW, deposited: int = TERMS.cost_limit, claimed: int = 0, thaw_end: int = 0
) -> changes.EscrowSeen:
    """What the chain shows of the escrow."""
    return changes.EscrowSeen(escrow_id_of(SEPARATOR, escrow), Amount(deposited), Amount(claimed), thaw_end)
