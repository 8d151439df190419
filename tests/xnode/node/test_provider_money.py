"""The provider's money, one step at a time: vouchers taken, leases settled, claims sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.signature import sign_digest
from metering.units import ZERO, ZERO_HASH, Amount, Hash32
from metering.usage import Counters
from metering.voucher import Coverage, SignedVoucher, Voucher, fold_receipts, voucher_digest_of
from scheduler.outputs import NOTHING
from tests.make.records import (
    ESCROW,
    ESCROW_ID,
    LEASE_ID,
    SECOND,
    Node,
    make_issued,
    make_paid,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_receipt,
    make_running_lease,
)
from tests.make.values import NOW_NS, SEPARATOR, make_key
from xnode.node import changes, effects
from xnode.node.provider.money import LAST_TRY_NS, RECLAIM_NS, RETAIN_NS
from xnode.node.records import EarnedLine, ProviderEscrow, ProviderLease

HALF, ALL = make_receipt(5), make_receipt(10, make_receipt(5), final=True)
RUNNING = make_running_lease(last=ALL, issued=make_issued(HALF, ALL))
ENDING = replace(RUNNING, status="ending", end_reason="completed", left=NOTHING)
OTHER_ID = Hash32(b"\x02" * 32)
CLAIM = effects.Claim(ESCROW_ID, ESCROW, None, True, "id", "lane")
CONFIRMED = changes.ClaimConfirmed(ESCROW_ID, Amount(5), Amount(5), Hash32(bytes(32)), 50_000)


def test_a_voucher_pays_the_receipt_that_it_names_and_those_before_it() -> None:
    node = make_provider(RUNNING, make_provider_escrow())
    node.tell(make_paid(HALF))
    lease = node.get(RUNNING)
    assert [one.receipt for one in lease.issued] == [ALL]
    assert (lease.covered, lease.covered_at_ns) == (HALF, HALF.at_ns)
    assert node.get(make_provider_escrow()).cumulative == HALF.cost


@pytest.mark.parametrize("flaw", ["another key", "another receipt", "less than promised"])
def test_a_voucher_that_does_not_hold_changes_nothing(flaw: str) -> None:
    node = make_provider(RUNNING, make_provider_escrow())
    node.tell(make_paid(HALF))
    before = node.state
    bad = {
        "another key": make_paid(ALL, key=7),
        "another receipt": replace(make_paid(ALL), coverage=make_paid(HALF).coverage),
        "less than promised": make_paid(make_receipt(1)),
    }[flaw]
    assert node.tell(bad) == [] and node.state is before


def test_vouchers_pay_for_no_time_until_the_opening_is_on_chain() -> None:
    lease = replace(RUNNING, funded=False)
    node = make_provider(lease, make_provider_escrow(deposited=ZERO))
    node.tell(make_paid(HALF))
    assert node.get(lease).covered_at_ns == NOW_NS
    node.tell(changes.OpeningConfirmed(ESCROW_ID, LEASE_ID, Hash32(bytes(32)), Amount(10**18), ZERO))
    assert (node.get(lease).funded, node.get(lease).covered_at_ns) == (True, HALF.at_ns)


def test_an_ended_lease_is_claimed_once_its_final_receipt_is_paid() -> None:
    node = make_provider(ENDING, make_provider_escrow())
    assert node.tell(make_paid(HALF)) == []
    (claim,) = node.tell(make_paid(ALL))
    assert isinstance(claim, effects.Claim) and claim.release
    assert claim.signed is not None and claim.signed.voucher.cumulative == ALL.cost
    assert node.get(ENDING).status == "settling"


def test_an_ended_lease_is_claimed_at_its_last_voucher_when_the_wait_is_over() -> None:
    lease = replace(ENDING, wake_at_ns=NOW_NS + 60 * SECOND)
    node = make_provider(lease, make_provider_escrow())
    node.tell(make_paid(HALF))
    (claim,) = node.wake(lease, after_s=60)
    assert isinstance(claim, effects.Claim) and claim.signed is not None
    assert claim.signed.voucher.cumulative == HALF.cost


def test_a_claim_does_not_release_what_an_open_lease_draws_on() -> None:
    other = make_provider_lease(lease_id=Hash32(b"\x02" * 32), status="preparing", funded=True)
    lines = (*make_provider_escrow().lines, replace(make_provider_escrow().lines[0], lease_id=other.lease_id))
    node = make_provider(ENDING, other, make_provider_escrow(lines=lines))
    assert node.tell(make_paid(ALL)) == [], "the open lease ends too some day, and one claim is cheaper than two"
    assert node.get(ENDING).status == "settling"


def make_left_unpaid() -> tuple[Node, ProviderLease, ProviderLease]:
    """A lease given up unpaid, and one that still runs on the same escrow."""
    other = make_running_lease(lease_id=OTHER_ID, terms=replace(RUNNING.terms, lease_number=1))
    lines = (*make_provider_escrow().lines, EarnedLine(OTHER_ID, 1, ZERO))
    lease = replace(ENDING, wake_at_ns=NOW_NS + 60 * SECOND)
    node = make_provider(lease, other, make_provider_escrow(lines=lines))
    assert node.wake(lease, after_s=60) == [] and node.get(lease).status == "settling"
    return node, lease, node.get(other)


def end_other(node: Node, other: ProviderLease) -> list[effects.Effect]:
    """The other lease ends, having cost nothing more."""
    ended = replace(other, status="ending", end_reason="completed", left=NOTHING)
    node.state = node.state.put(ended)
    return node.wake(ended)


def test_what_is_unpaid_is_sent_until_long_after_the_wait_for_it() -> None:
    node = make_provider(make_running_lease(), make_provider_escrow())
    found = node.tell(changes.WorkloadExited(LEASE_ID, Counters(5 * SECOND, SECOND), 0, False, False), after_s=5)
    (push,) = (one for one in found if isinstance(one, effects.PushReceipts))
    assert push.deadline_ns >= node.now_ns + RETAIN_NS


def test_what_is_unpaid_is_asked_for_once_more_before_the_claim() -> None:
    node, lease, other = make_left_unpaid()
    (push,) = end_other(node, other)
    assert isinstance(push, effects.PushReceipts) and push.lease_id == lease.lease_id
    coverage = Coverage(0, ZERO_HASH, (make_issued(ALL)[0].digest, ZERO_HASH))
    voucher = Voucher(ESCROW_ID, ALL.cost, fold_receipts(coverage.prefix, coverage.digests))
    signed = SignedVoucher(voucher, sign_digest(make_key(0), voucher_digest_of(SEPARATOR, voucher)))
    node.tell(changes.VoucherReceived(lease.lease_id, signed, coverage), after_s=2)
    (claim,) = node.wake(node.get(make_provider_escrow()), after_s=8)
    assert isinstance(claim, effects.Claim) and claim.signed == signed


def test_a_submitter_that_stays_away_delays_the_claim_once() -> None:
    node, _, other = make_left_unpaid()
    end_other(node, other)
    escrow = node.get(make_provider_escrow())
    assert escrow.wake_at_ns == node.now_ns + LAST_TRY_NS
    assert [type(one) for one in node.wake(escrow, after_s=10)] == [effects.Claim]


def test_a_failed_claim_is_sent_again_under_another_name() -> None:
    escrow = make_provider_escrow(claiming=True, claims=1)
    node = make_provider(replace(ENDING, status="settling"), escrow)
    assert node.fail(CLAIM, "claim_reverted") == []
    (claim,) = node.wake(escrow, after_s=RECLAIM_NS // SECOND)
    assert isinstance(claim, effects.Claim) and claim.id.endswith(":2")


def test_a_confirmed_claim_settles_the_lease_and_folds_it_away() -> None:
    line = replace(make_provider_escrow().lines[0], covered_cost=ALL.cost)
    escrow = make_provider_escrow(claiming=True, claims=1, lines=(line,))
    lease = replace(ENDING, status="settling")
    node = make_provider(lease, escrow)
    node.tell(CONFIRMED)
    after = node.get(escrow)
    assert node.get(lease).status == "settled"
    assert (after.lines, after.closed_cost, after.claiming) == ((), ALL.cost, False)


def test_a_voucher_that_came_after_the_claim_was_sent_is_claimed_too() -> None:
    escrow = make_provider_escrow(claiming=True, claims=1, voucher=make_paid(ALL).signed)
    lease = replace(ENDING, status="settling", covered=ALL)
    node = make_provider(lease, escrow)
    node.tell(replace(CONFIRMED, deposited=Amount(10**18), claimed=HALF.cost))
    assert node.get(lease).status == "settling"
    (claim,) = node.wake(escrow, after_s=RECLAIM_NS // SECOND)
    assert isinstance(claim, effects.Claim) and claim.id.endswith(":2")


def test_money_of_unknown_leases_and_escrows_changes_nothing() -> None:
    node = make_provider()
    before = node.state
    for change in (make_paid(ALL), CONFIRMED):
        assert node.tell(change) == []
    assert node.fail(CLAIM, "claim_reverted") == []
    assert node.state is before
    assert node.state.get(ProviderLease, LEASE_ID) is None and node.state.get(ProviderEscrow, ESCROW_ID) is None
