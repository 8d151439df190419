"""The net edge is torn down and started again in the middle of a job: neither lease nor money is affected."""

from __future__ import annotations

import pytest

from tests.e2e.market import Market, check_lines

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


@pytest.mark.parametrize("who", ["provider", "submitter"])
def test_a_restarted_net_leaves_the_lease_alone(market: Market, who: str) -> None:
    money = market.read_money()
    job = market.submit(seconds=6)
    job.wait_receipts(1)
    node = market.nodes[who]
    began_ns = node.control.call("node.status")["started_at_ns"]
    assert node.control.call("net.restart") is True
    job.wait_receipts(2)
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert node.control.call("node.status")["started_at_ns"] == began_ns
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    check_lines(job.read_log(), int(job.read_output("count.txt")))
    market.check_moved(money, detail["job"]["cost"])
