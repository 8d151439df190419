"""Credits end to end: capacity verified, credits minted on it and sold, a job paid in them, burned where it ran."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from examples.localnet import Localnet, Node, ProviderPlan, remove_leftovers
from metering.units import Address
from tests.e2e.ledger import Ledger
from tests.e2e.market import BLOCK_TIME_S, JOB, LINES, Market, PlacedJob, make_request, read_wallet
from tests.make.verifiers import Verifiers, make_verifiers
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.deployment.manifest import read_manifest
from xnode.chain.node.json_rpc import JsonRpc

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "build" / "e2e-credits"

PLAN = ProviderPlan(
    "provider",
    "eu",
    {"vcpu_hour": "1", "memory_gib_hour": "0"},
    {"vcpus": 1.0, "memory": "1GiB", "disk": "1GiB"},
    interval="2s",
    exposure_intervals=5,
    asset="tCPU",
)
"""One tCPU is an hour of one vCPU, so that is its price."""


@pytest.fixture(scope="module")
def net() -> Iterator[Localnet]:
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            net.start_chain(BLOCK_TIME_S)
            yield net
    finally:
        remove_leftovers(FOLDER)


def test_a_job_paid_in_credits_burns_them_where_it_ran_and_frees_what_it_may_mint(net: Localnet, image: Path) -> None:
    provider = net.add_provider(PLAN)
    verify(net, provider, "cpu=1")
    net.run("provider", "stake", "10", home=provider.home)
    net.start(provider)
    submitter = net.add_submitter("submitter", "1", net.bootstrap_of(provider))
    payer = "0x" + read_wallet(submitter).hex()
    minted = ask(net, provider, "provider", "mint", "24", "--to", payer)
    assert (minted["outstanding"], minted["mintable"]) == ("24", "0"), "it sold all that its capacity allows"
    deposited = ask(net, submitter, "pay", "deposit", "5", "--asset", "tCPU")
    assert deposited["node_may_use"] == "5"
    net.start(submitter)
    market = Market(net, image, provider, submitter, Ledger.open(net.manifest))

    job = submit(market, seconds=5, budget="0.5 tCPU")
    detail = job.wait_settled()
    job.wait_provider_settled()

    cost = Decimal(detail["job"]["cost"])
    assert cost > 0 and detail["settled"] == detail["job"]["cost"]
    after = ask(net, provider, "provider", "mint")
    assert Decimal(after["outstanding"]) == 24 - cost, "what served the job is owed no more"
    assert Decimal(after["mintable"]) == cost, "and may be minted again"
    supply, held, paid_out = read_credits(net, read_wallet(provider))
    assert supply == 24 - cost and paid_out == 0, "burned, and not paid out"
    assert held == 5 - cost
    record = ask(net, provider, "provider", "reputation")
    settled = {row["asset"]: Decimal(row["settled"]) for row in record["assets"]}
    assert settled == {"OPENX": 0, "tGPU": 0, "tCPU": cost}
    assert ask(net, provider, "provider", "mint", "all")["outstanding"] == "24"


def verify(net: Localnet, provider: Node, *claims: str) -> None:
    """Get capacity verified: a request by command, and the signed verdicts of three verifiers."""
    net.fund(*("0x" + one.wallet.address.hex() for one in make_verifiers()))
    with_verifiers(net, lambda verifiers: verifiers.enlist())
    words = [word for claim in claims for word in ("--class", claim)]
    net.run("provider", "capacity", "request", *words, home=provider.home)
    with_verifiers(net, lambda verifiers: verifiers.judge(read_wallet(provider)))


def with_verifiers(net: Localnet, work: Callable[[Verifiers], Awaitable[Any]]) -> None:
    manifest = read_manifest(net.manifest)

    async def main() -> None:
        with trio.fail_after(60):
            async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
                await work(Verifiers(rpc, manifest, net.folder))

    trio.run(main)


def ask(net: Localnet, node: Node, *arguments: str) -> Any:
    """What a command answers as JSON, in this node's home."""
    return json.loads(net.run(*arguments, "-o", "json", home=node.home).stdout)


def submit(market: Market, seconds: float, budget: str) -> PlacedJob:
    """Place a job that pays in the budget's asset."""
    market.find_offers()
    folder = market.net.folder / "jobs"
    folder.mkdir(exist_ok=True)
    (folder / "lines.py").write_text(LINES)
    path = folder / "credits.yaml"
    path.write_text(JOB.format(name="credits", image=market.image, seconds=seconds, budget=budget))
    answer = market.submitter.control.call("job.submit", make_request(path), deadline_s=120.0)
    return PlacedJob(market, answer["job_id"])


def read_credits(net: Localnet, provider: Address) -> tuple[Decimal, Decimal, Decimal]:
    """In whole tCPU: the supply, what the escrow holds, and what is in the provider's wallet."""
    manifest = read_manifest(net.manifest)
    credit, escrow = manifest.contracts.cpu_credit, manifest.contracts.payment_escrow

    async def read() -> tuple[int, int, int]:
        async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
            held = await rpc.view(escrow, payment_escrow.LIABILITIES, credit)
            assert held == await rpc.view(credit, openx_token.BALANCE_OF, escrow)
            supply = await rpc.view(credit, openx_token.TOTAL_SUPPLY)
            return supply, held, await rpc.view(credit, openx_token.BALANCE_OF, provider)

    supply, held, paid_out = (Decimal(value) / 10**18 for value in trio.run(read))
    return supply, held, paid_out
