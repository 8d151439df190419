"""A workload outlives its provider's daemon: the next one adopts it as it is, and bills exactly what it used."""

from __future__ import annotations

from itertools import pairwise

import pytest

from metering.codec import decode
from metering.receipt import SignedReceipt
from metering.tariff import Tariff, cost_of
from metering.units import ZERO
from tests.e2e.host import find_workload, is_alive
from tests.e2e.market import PLAN, Market, PlacedJob, check_lines, wait_until
from xnode.text.amount import parse_amount

LASTS_S = 20
"""Of the workload that is adopted: longer than a daemon takes to come back on a loaded host."""

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


def test_a_workload_is_adopted_by_the_next_daemon(market: Market) -> None:
    money = market.read_money()
    job = market.submit(seconds=LASTS_S)
    job.wait_receipts(1)
    pid, paid = find_workload(market.provider.home, job.lease_hex), len(job.read_receipts())
    market.net.kill(market.provider)
    assert is_alive(pid)
    market.restart_dead()
    job.wait_receipts(paid + 1)
    assert is_alive(pid)
    assert find_workload(market.provider.home, job.lease_hex) == pid
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    check_lines(job.read_log(), int(job.read_output("count.txt")))
    check_usage(job)
    market.check_moved(money, detail["job"]["cost"])


def test_the_end_of_a_log_is_fetched_when_its_provider_is_back(market: Market) -> None:
    job = market.submit(seconds=4)
    job.wait_receipts(1)
    pid = find_workload(market.provider.home, job.lease_hex)
    market.net.kill(market.provider)
    wait_until(lambda: not is_alive(pid), "the workload ends while no daemon runs")
    market.restart_dead()
    assert job.wait_settled()["job"]["state"] == "done"
    job.wait_provider_settled()
    check_lines(job.read_log(), int(job.read_output("count.txt")))


def check_usage(job: PlacedJob) -> None:
    """No counter ever falls, and every cost is the tariff's on the counters."""
    prices = {name: parse_amount(text, 18) for name, text in PLAN.prices.items()}
    tariff = Tariff(**{name: prices.get(name, ZERO) for name in Tariff.__struct_fields__})
    rows = [bytes.fromhex(row["signed"].removeprefix("0x")) for row in job.read_receipts()]
    receipts = [decode(row, SignedReceipt).receipt for row in rows]
    for receipt in receipts:
        assert receipt.cost == cost_of(receipt.usage, tariff)
    for earlier, later in pairwise(receipts):
        assert later.running_ns >= earlier.running_ns
        for name in later.usage.__struct_fields__:
            assert getattr(later.usage, name) >= getattr(earlier.usage, name)
    # Counted from when the engine says that it runs: on a loaded host a moment later than it does.
    assert (LASTS_S - 1) * 1e9 <= receipts[-1].running_ns < (LASTS_S + 12) * 1e9
