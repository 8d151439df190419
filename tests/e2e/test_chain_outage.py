"""The chain node hangs, dies or mines nothing: no lease is closed for it, nothing unpaid goes on, everything settles."""

from __future__ import annotations

import pytest

from tests.e2e.host import find_workload, is_alive
from tests.e2e.ledger import Money
from tests.e2e.market import EXPOSURE_INTERVALS, INTERVAL_S, Market, PlacedJob, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


def test_a_chain_that_hangs_for_a_while_ends_no_lease(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=10)
    job.wait_funded()
    with market.chain_hanging():
        job.wait_receipts(4)
        assert job.show()["job"]["state"] == "running"
    check_done_and_paid(market, job, money)


def test_a_provider_that_starts_while_the_chain_hangs_takes_its_leases_up_and_no_new_ones(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=30)
    job.wait_funded()
    market.net.kill(market.provider)
    with market.chain_hanging():
        paid = job.show()["receipts"]
        market.restart_dead()
        assert "chain" in market.provider.control.call("node.status")["ready"]
        job.wait_receipts(paid + 2)
    wait_until(lambda: not market.provider.control.call("node.status")["ready"], "the contracts are checked")
    check_done_and_paid(market, job, money)


def test_a_chain_that_is_killed_goes_on_from_its_state(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=10)
    job.wait_funded()
    market.net.kill_chain()
    job.wait_receipts(3)
    market.restart_chain()
    check_done_and_paid(market, job, money)


def test_a_chain_that_dies_before_the_claim_delays_only_the_claim(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=3)
    job.wait_funded()
    with market.chain_hanging():
        assert job.wait_ended()["job"]["state"] == "done"
        assert job.read_lease().status in ("ending", "settling")
    check_done_and_paid(market, job, money)


def test_an_opening_that_never_confirms_stops_the_work_at_its_limit(market: Market) -> None:
    money = market.read_money()
    market.find_offers()
    with market.chain_idle():
        job = market.submit(seconds=200)
        job.wait_event("launch")
        pid = find_workload(market.provider.home, job.lease_hex)
        detail = job.wait_ended()
        assert not is_alive(pid)
    assert "escrow_unconfirmed" in detail["job"]["reason"]
    limit_ns = EXPOSURE_INTERVALS * INTERVAL_S * 1e9
    assert limit_ns / 2 < detail["job"]["running_ns"] < limit_ns + 3 * INTERVAL_S * 1e9
    settled = job.wait_settled()
    job.wait_provider_settled()
    market.check_moved(money, settled["job"]["cost"])


def check_done_and_paid(market: Market, job: PlacedJob, money: Money) -> None:
    """Everything is as if nothing had been wrong with the chain."""
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    market.check_moved(money, detail["job"]["cost"])
