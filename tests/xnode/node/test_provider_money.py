"""The provider's money, one step at a time: vouchers taken, leases settled, claims sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from metering.units import ZERO, Amount, Hash32
from scheduler.outputs import NOTHING
from tests.make.records import (
    ESCROW,
    ESCROW_ID,
    LEASE_ID,
    SECOND,
    make_issued,
    make_paid,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_receipt,
    make_running_lease,
)
from tests.make.values import NOW_NS
from xnode.node import changes, effects
from xnode.node.provider.money import RECLAIM_NS
from xnode.node.records import ProviderEscrow, ProviderLease

HALF, ALL = make_receipt(5), make_receipt(10, make_receipt(5), final=True)
RUNNING = make_running_lease(last=ALL, issued=make_issued(HALF, ALL))
ENDING = replace(RUNNING, status="ending", end_reason="completed", left=NOTHING)
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
    lease = replace(ENDING, status="settling")
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
