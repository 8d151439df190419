"""Two real nodes whose chain nodes say anything: no daemon ends, no paid job is lost, and the user is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from examples.localnet import Node
from tests.e2e.market import Market, die_at, wait_until
from tests.make.chain_proxy import MODES, ChainProxy

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

Proxies = dict[str, ChainProxy]


@pytest.fixture(scope="session")
def whole_proxies(whole_market: Market) -> Iterator[Proxies]:
    """The chain node of each side, by its name. They stay between until the end: each restart costs time."""
    market = whole_market
    with ExitStack() as stack:
        found = {name: stack.enter_context(ChainProxy(market.ledger.manifest.rpc_url)) for name in market.nodes}
        market.restart_dead()
        # The submitter first: it learns the offers again from a provider that has just announced them.
        for name in ("submitter", "provider"):
            market.find_offers()
            restart(market, market.nodes[name], XNODE_CHAIN__RPC_URL=found[name].url)
        yield found


@pytest.fixture
def proxies(market: Market, whole_proxies: Proxies) -> Iterator[Proxies]:
    """All well at the beginning and at the end."""
    yield whole_proxies
    for proxy in whole_proxies.values():
        proxy.mode = "ok"


def restart(market: Market, node: Node, **environment: str) -> None:
    market.net.stop(node)
    market.net.start(node, **die_at(node), **environment)


def test_a_running_job_outlives_whatever_the_chain_nodes_say(market: Market, proxies: Proxies) -> None:
    money = market.read_money()
    job = market.submit(seconds=90)
    job.wait_funded()
    processes = {name: node.process for name, node in market.nodes.items()}
    for mode in MODES:
        for proxy in proxies.values():
            proxy.mode = mode
        for proxy in proxies.values():
            wait_served(proxy, mode)
        assert not any(market.has_died(node) for node in market.nodes.values()), mode
        assert job.show()["job"]["state"] == "running", mode
    for name, proxy in proxies.items():
        wait_until(lambda name=name: bool(read_problem(market, name)), f"{name} says what is wrong")  # type: ignore[misc]
        proxy.mode = "ok"
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    market.check_moved(money, detail["job"]["cost"])
    assert {name: node.process for name, node in market.nodes.items()} == processes
    for name in proxies:
        wait_until(lambda name=name: not read_problem(market, name), f"{name} is well again")  # type: ignore[misc]


def wait_served(proxy: ChainProxy, mode: str) -> None:
    wait_until(lambda: proxy.served[mode] >= 2, f"its node asks while the mode is {mode}")


def read_problem(market: Market, name: str) -> str:
    return str(market.nodes[name].control.call("node.status")["ready"].get("chain", ""))


def test_a_job_waits_for_a_chain_that_is_away_and_says_so(market: Market, proxies: Proxies) -> None:
    money = market.read_money()
    market.find_offers()
    proxies["submitter"].mode = "drop"
    job = market.submit(seconds=2)
    job.wait_event("waiting")
    shown = job.show()["job"]
    assert shown["state"] in ("searching", "quoting") and "waiting for the chain" in shown["reason"]
    assert "cannot be reached" in shown["reason"]
    proxies["submitter"].mode = "ok"
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    assert any(entry["what"] == "chain" for entry in detail["timeline"])
    market.check_moved(money, detail["job"]["cost"])
