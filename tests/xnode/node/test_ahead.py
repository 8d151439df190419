"""Vouchers signed ahead, and what a lease in trouble does to the others on its escrow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from metering.prepay import STEPS
from metering.signature import sign_digest
from metering.units import U128_MAX, ZERO, ZERO_HASH, Amount, Hash32
from metering.usage import Counters
from metering.voucher import SignedVoucher, voucher_digest_of
from scheduler.job import Job
from tests.make.records import (
    FIRST,
    LEASE_ID,
    Node,
    make_paid,
    make_provider,
    make_provider_escrow,
    make_receipt,
    make_running_lease,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
    sign_receipt,
)
from tests.make.values import NOW_NS, SEPARATOR, make_job, make_key
from xnode.node import changes, effects
from xnode.node.records import PaidLine, SubmitterLease
from xnode.node.submitter.ahead import paid_until

SECOND = 1_000_000_000
OTHER_ID = Hash32(b"\x0f" * 32)


def kinds(found: list[effects.Effect]) -> list[str]:
    return [type(one).__name__ for one in found]


def make_prepaying(prepay_s: int = 640, **lease: Any) -> Node:
    """A submitter with one running lease whose job prepays."""
    job = make_submitter_job(status="running")
    job = msgspec.structs.replace(job, job=msgspec.structs.replace(job.job, prepay_ns=prepay_s * SECOND))
    lease = {"status": "running", **lease}
    return make_submitter(job, make_submitter_lease(**lease), make_submitter_escrow(), max_prepay_ns=3600 * SECOND)


def push(node: Node, *receipts: Any, after_s: float = 0) -> effects.Effect:
    caller = node.get(make_submitter_lease()).terms.node
    (reply,) = node.tell(changes.ReceiptsReceived("push", caller, tuple(map(sign_receipt, receipts))), after_s)
    return reply


def test_a_job_that_prepays_has_rising_vouchers_signed_ahead_up_to_its_limit() -> None:
    node = make_prepaying()
    reply = push(node, make_receipt(5), after_s=6)
    assert isinstance(reply, effects.ReplyVoucher)
    sums = [one.cumulative for one in reply.ahead]
    assert 0 < len(sums) <= STEPS and sums == sorted(set(sums)) and sums[0] > reply.voucher.cumulative
    lease, escrow = node.get(make_submitter_lease()), node.get(make_submitter_escrow())
    assert sums[-1] == escrow.ahead <= lease.terms.cost_limit
    assert {one.receipts_hash for one in reply.ahead} == {reply.voucher.receipts_hash}
    assert escrow.cumulative == reply.voucher.cumulative, "what is due is what receipts show, whatever is signed ahead"


def test_vouchers_are_signed_ahead_anew_only_after_a_while() -> None:
    node = make_prepaying()
    first = make_receipt(5)
    push(node, first, after_s=6)
    second = make_receipt(10, first)
    reply = push(node, second, after_s=5)
    assert isinstance(reply, effects.ReplyVoucher) and not reply.ahead
    reply = push(node, make_receipt(90, second), after_s=80)
    assert isinstance(reply, effects.ReplyVoucher) and reply.ahead


@pytest.mark.parametrize("fields", [{"stop_asked_at_ns": NOW_NS}, {"end_reason": "receipt_refused"}])
def test_nothing_is_signed_ahead_for_a_lease_that_ends(fields: dict[str, Any]) -> None:
    node = make_prepaying(**fields)
    reply = push(node, make_receipt(5), after_s=6)
    assert not getattr(reply, "ahead", ())


def test_a_job_that_prepays_more_than_the_settings_allow_is_refused() -> None:
    node = make_submitter(max_prepay_ns=60 * SECOND)
    (refused,) = node.tell(changes.JobSubmitted("r", make_job(prepay_ns=61 * SECOND)))
    assert isinstance(refused, effects.ReplyRefusal) and refused.refusal.code == "prepay_limit"
    assert "1m1s" in refused.refusal.detail and "submitter.max_prepay" in refused.refusal.detail


def test_a_last_receipt_that_comes_late_is_taken_when_it_was_promised_already() -> None:
    final = make_receipt(30, final=True)
    for ahead, kind in ((final.cost, "ReplyVoucher"), (final.cost - 1, "ReplyRefusal")):
        lease = make_submitter_lease(status="settling", end_reason="provider_lost")
        lines = (PaidLine(LEASE_ID, ZERO, ZERO_HASH, Amount(ahead)),)
        # What was promised for others on the escrow is none of this one's.
        escrow = make_submitter_escrow(ahead=Amount(2 * final.cost), lines=lines)
        node = make_submitter(make_submitter_job(), lease, escrow)
        assert kinds([push(node, final, after_s=40)]) == [kind]


def test_what_is_promised_is_known_of_each_lease() -> None:
    node = make_prepaying()
    push(node, make_receipt(5), after_s=6)
    escrow = node.get(make_submitter_escrow())
    assert [line.ahead for line in escrow.lines] == [escrow.ahead]
    push(node, make_receipt(10, make_receipt(5)), after_s=5)
    assert [line.ahead for line in node.get(escrow).lines] == [escrow.ahead]


def test_until_when_a_lease_is_paid_counts_what_was_signed_ahead() -> None:
    node = make_prepaying()
    push(node, make_receipt(5), after_s=6)
    lease = node.get(make_submitter_lease())
    until_ns, is_prepaid = paid_until(node.state, lease)
    unpaid_ns = lease.terms.exposure_intervals * lease.terms.interval_ns
    assert (until_ns, is_prepaid) == (node.now_ns + 640 * SECOND + unpaid_ns, True)
    settings = node.state.settings
    assert settings.submitter is not None
    plain = msgspec.structs.replace(settings, submitter=msgspec.structs.replace(settings.submitter, max_prepay_ns=0))
    assert paid_until(node.state.put(plain), lease) == (lease.last.at_ns + unpaid_ns, False)


# ------------------------------------------------------------------------------------------------------ provider's side


PREPAYING = msgspec.structs.replace(make_running_lease().job, prepay_ns=640 * SECOND)


def make_paid_ahead(more: list[int], key: int = 0, job: Job = PREPAYING) -> Node:
    """A provider whose first receipt was answered by its voucher and by others over so much more."""
    node = make_provider(make_running_lease(job=job), make_provider_escrow())
    node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND)), after_s=5)
    paid = make_paid(node.get(make_running_lease()).issued[0].receipt)
    voucher = paid.signed.voucher
    made = [msgspec.structs.replace(voucher, cumulative=Amount(voucher.cumulative + one)) for one in more]
    ahead = tuple(SignedVoucher(one, sign_digest(make_key(key), voucher_digest_of(SEPARATOR, one))) for one in made)
    node.tell(msgspec.structs.replace(paid, ahead=ahead))
    return node


def read_usage(node: Node, running_s: int, after_s: int) -> None:
    node.tell(changes.UsageRead(LEASE_ID, Counters(running_s * SECOND, SECOND)), after_s=after_s)


def test_work_that_is_paid_ahead_is_not_unpaid() -> None:
    node = make_paid_ahead([10**15, 2 * 10**15])
    for running_s in range(15, 100, 10):
        read_usage(node, running_s, 10)
        node.wake(node.get(make_running_lease()))
    lease = node.get(make_running_lease())
    assert (lease.status, lease.covered) == ("running", lease.last)
    assert lease.issued[-1].receipt == lease.last, "its receipts are sent all the same"


def test_the_least_voucher_that_covers_what_is_due_is_claimed() -> None:
    node = make_paid_ahead([10**15, 2 * 10**15])
    plain = node.get(make_provider_escrow()).payable
    assert plain == node.get(make_provider_escrow()).voucher
    read_usage(node, 15, 10)
    escrow = node.get(make_provider_escrow())
    assert escrow.payable == escrow.ahead[0] and plain != escrow.payable
    assert escrow.cumulative < escrow.due <= escrow.ahead[0].voucher.cumulative


def test_a_lease_that_does_not_prepay_is_not_paid_by_what_was_signed_ahead_for_another() -> None:
    node = make_paid_ahead([10**15, 2 * 10**15], job=make_running_lease().job)
    read_usage(node, 15, 10)
    escrow = node.get(make_provider_escrow())
    assert escrow.ahead and escrow.payable == escrow.voucher and escrow.due == escrow.cumulative
    assert node.get(make_running_lease()).covered != node.get(make_running_lease()).last


def test_what_is_signed_ahead_by_another_or_falls_is_worth_nothing() -> None:
    assert node_ahead(make_paid_ahead([10**15], key=7)) == 0
    assert node_ahead(make_paid_ahead([2 * 10**15, 10**15])) == 1


@pytest.mark.parametrize("most", [U128_MAX, U128_MAX - 1, 1 << 127])
def test_vouchers_over_more_than_all_money_end_nothing(most: int) -> None:
    """A submitter may sign any number; a provider's sums with it stay numbers, also when they were stored."""
    node = make_provider(make_running_lease(), make_provider_escrow())
    node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND)), after_s=5)
    paid = make_paid(node.get(make_running_lease()).issued[0].receipt)
    signed = [
        SignedVoucher(one, sign_digest(make_key(0), voucher_digest_of(SEPARATOR, one)))
        for one in (
            msgspec.structs.replace(paid.signed.voucher, cumulative=Amount(number)) for number in (most - 1, most)
        )
    ]
    node.tell(msgspec.structs.replace(paid, signed=signed[0], ahead=(signed[1],)))
    for running_s in range(15, 100, 10):
        read_usage(node, running_s, 10)
        node.wake(node.get(make_running_lease()))
    escrow = node.get(make_provider_escrow())
    assert node_ahead(node) == 1 and most - 1 <= escrow.due <= U128_MAX and escrow.payable in signed
    assert escrow.worth == escrow.deposited, "no voucher brings more than there is"
    assert node.get(make_running_lease()).status in ("running", "stopping")


def node_ahead(node: Node) -> int:
    return len(node.get(make_provider_escrow()).ahead)


def test_where_the_promise_ends_work_is_unpaid_again() -> None:
    node = make_paid_ahead([1])
    read_usage(node, 15, 10)
    node.wake(node.get(make_running_lease()), after_s=10)
    assert (node.get(make_running_lease()).status, node.get(make_running_lease()).stop_reason) == ("stopping", "unpaid")


# ------------------------------------------------------------------------------- one lease's trouble stays its own


def make_two_leases(**other: Any) -> Node:
    """Two leases on one escrow; the second says nothing any more."""
    sibling = make_submitter_lease(**{"lease_id": OTHER_ID, "job_hash": OTHER_ID, "status": "running", **other})
    lines = (PaidLine(LEASE_ID, ZERO, ZERO_HASH), PaidLine(OTHER_ID, ZERO, ZERO_HASH))
    jobs = (make_submitter_job(status="running"), make_submitter_job(job_hash=OTHER_ID, status="running"))
    lease = make_submitter_lease(status="running")
    return make_submitter(*jobs, lease, sibling, make_submitter_escrow(lines=lines), silence_ns=20 * SECOND)


def other_of(node: Node) -> SubmitterLease:
    return node.get(make_submitter_lease(lease_id=OTHER_ID))


def test_a_node_that_talks_of_another_lease_is_not_lost() -> None:
    node = make_two_leases()
    receipt = make_receipt(15)
    push(node, receipt, after_s=16)
    assert kinds(node.wake(other_of(node), after_s=8)) == ["AskLease"]
    assert other_of(node).status == "running"
    node.wake(other_of(node), after_s=20)
    assert other_of(node).end_reason == "provider_lost", "then it said nothing of either"


def test_a_node_cannot_keep_a_lease_open_by_talking_of_another() -> None:
    node = make_two_leases()
    last = FIRST
    for _ in range(20):
        last = make_receipt(last.running_ns // SECOND + 9, last)
        push(node, last, after_s=10)
        node.wake(other_of(node))
    assert other_of(node).end_reason == "provider_lost"
    assert node.get(make_submitter_lease()).status == "running"


def test_an_escrow_that_another_lease_lives_by_is_not_taken_back() -> None:
    node = make_two_leases(status="settling")
    assert kinds(node.wake(other_of(node), after_s=1000)) == []
    assert not node.get(make_submitter_escrow()).thaw_asked
    lease = node.get(make_submitter_lease())
    node.state = node.state.put(msgspec.structs.replace(lease, status="settled"))
    assert kinds(node.wake(other_of(node), after_s=60)) == ["StartThaw"], "it is, once nothing needs it"
