"""Neither side can cost the other more than it agreed to: too little money, a submitter or a provider gone for good."""

from __future__ import annotations

import os

import pytest

from tests.e2e.host import find_workload, is_alive
from tests.e2e.market import EXPOSURE_INTERVALS, INTERVAL_S, WAIT_S, Market, make_request, wait_until
from xnode.errors import ExitCode
from xnode.text.amount import brief_amount, format_amount, parse_amount

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

HASTE = "10s"
"""Silence after which the hasty submitter gives a provider up: the least that can be set."""

SLACK_S = 6.0
"""From the limit to the dead process, on a machine that is busy with other things."""


@pytest.fixture
def hasty(market: Market) -> Market:
    """The same network through a submitter with little patience, and 10 OPENX."""
    return market.open_account("hasty", "10", HASTE)


def test_too_small_an_escrow_is_said_before_anything_runs(market: Market) -> None:
    poor = market.open_account("poor", "0.000001")
    before = poor.read_money()
    path = poor.write_job(seconds=2)
    limit = poor.submitter.control.call("job.plan", make_request(path))["candidates"][0]["cost_limit"]
    done = poor.run("job", "submit", "--follow", "--yes", str(path))
    assert done.returncode == ExitCode.FUNDS
    (job,) = poor.submitter.control.call("job.list")["rows"]
    timeline = poor.submitter.control.call("job.show", {"job_id": job["job_id"]})["timeline"]
    assert [entry["what"] for entry in timeline] == ["submitted", "offers", "refusal", "end"]
    assert job["reason"].startswith("escrow_too_small")
    missing = int(parse_amount(limit, 18)) - int(parse_amount("0.000001", 18))
    assert f"missing={brief_amount(format_amount(missing, 18), is_needed=True)} OPENX" in timeline[-1]["detail"]
    assert poor.read_money() == before


def test_a_submitter_gone_for_good_is_worked_for_no_longer_than_agreed(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=200)
    job.wait_funded()
    job.wait_receipts(2)
    pid, lease_hex = find_workload(market.provider.home, job.lease_hex), job.lease_hex
    market.net.kill(market.submitter)
    wait_until(lambda: not is_alive(pid), "the workload ends", (EXPOSURE_INTERVALS + 1) * INTERVAL_S + SLACK_S)
    wait_until(lambda: market.read_lease(lease_hex).ended_at_ns is not None, "the lease ends")
    lease = market.read_lease(lease_hex)
    assert lease.end_reason == "unpaid"
    assert lease.last.at_ns - lease.covered.at_ns < ((EXPOSURE_INTERVALS + 1) * INTERVAL_S + SLACK_S) * 1e9
    if os.environ.get("E2E") == "all":
        # The provider waits two minutes for the last voucher, then claims what it has.
        wait_until(lambda: market.read_lease(lease_hex).status == "settled", "the provider claims", 300)
        assert market.read_money().payout - money.payout == lease.covered.cost
    market.restart_dead()
    assert job.wait_settled()["job"]["state"] == "failed"
    job.wait_provider_settled()


def test_a_provider_gone_for_good_costs_what_was_vouchered_and_the_rest_comes_back(hasty: Market) -> None:
    money = hasty.read_money()
    job = hasty.submit(seconds=100)
    job.wait_funded()
    job.wait_receipts(2)
    hasty.net.kill(hasty.provider)
    detail = job.wait_ended()
    assert detail["job"]["state"] == "failed"
    assert detail["job"]["reason"].startswith("provider_lost")
    assert detail["job"]["cost"] == job.read_receipts()[-1]["cost"]
    settled = job.wait_settled()
    assert settled["timeline"][-1]["what"] == "settle"
    assert hasty.read_money() == money, "no claim came before the thaw was over, so all of it is free again"
    hasty.restart_dead()
    wait_until(lambda: job.read_lease().removed, "the provider, back again, takes the workload off its host", WAIT_S)
    assert job.find_traces() == []
    assert job.show()["job"]["cost"] == detail["job"]["cost"]
