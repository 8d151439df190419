"""A submitter claims on chain that a provider is silent, and the provider's daemon answers: nobody types anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from examples.localnet import Localnet, Node, remove_leftovers
from metering.receipt import SignedReceipt
from metering.units import Hash32
from tests.e2e.conftest import keep_logs
from tests.e2e.ledger import Ledger
from tests.e2e.market import PLAN, WAIT_S, Market, PlacedJob, die_at, pin_port, read_journal, wait_until
from tests.make.silences import SILENCE_ANSWERED
from xnode.chain.contracts import breach_prover
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_head, ask_logs
from xnode.cli.evidence.files import read_documents
from xnode.config.file import read_table, write_config
from xnode.node import changes

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "build" / "e2e-silence"

LEAST_SILENCE_S = 3600
"""Before that no silence can be claimed."""


@pytest.fixture(scope="module")
def promising(image: Path) -> Iterator[Market]:
    """A network whose provider promises to be there for 99 % of the time, or half of the money back."""
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            net.start_chain(0.5)
            provider = net.add_provider(PLAN)
            promise(provider)
            net.start(provider, **die_at(provider))
            pin_port(provider)
            submitter = net.add_submitter("submitter", "100", net.bootstrap_of(provider))
            net.start(submitter, **die_at(submitter))
            yield Market(net, image, provider, submitter, Ledger.open(net.manifest))
    finally:
        keep_logs(FOLDER)
        remove_leftovers(FOLDER)


def promise(provider: Node) -> None:
    table = read_table(provider.home)
    sla = {"availability": 0.99, "refund": 0.5}
    write_config(provider.home, {**table, "provider": {**table["provider"], "sla": sla}})


def export(job: PlacedJob, name: str) -> Path:
    """The lease's terms, and the first of its receipts that cost anything: what a submitter shows that says it heard no more."""
    market, folder = job.market, job.market.net.folder / name
    market.net.run("job", "receipts", job.job_id, "--export", str(folder), home=market.submitter.home)
    claim = folder / "claim"
    claim.mkdir()
    (lease,) = (one for one in folder.glob("lease-*.json") if job.lease_hex[:8] in one.name)
    receipts = sorted(one for one in folder.glob("receipt-*.json") if job.lease_hex[:8] in one.name)
    first = next(one for one in receipts if costs_something(one))
    shutil.copy(lease, claim)
    shutil.copy(first, claim)
    return claim


def costs_something(file: Path) -> bool:
    (signed,) = read_documents([file])
    assert isinstance(signed, SignedReceipt)
    return signed.receipt.cost > 0 and not signed.receipt.final


def claim(job: PlacedJob, folder: Path) -> dict[str, Any]:
    """`xnode pay refund`, typed by the submitter."""
    done = job.market.net.run("pay", "refund", str(folder), "-o", "json", home=job.market.submitter.home)
    (row,) = json.loads(done.stdout)
    return dict(row)


def read_chain(market: Market, lease_hex: str) -> tuple[int, int, int]:
    """(last second for an answer or 0, answers so far, refunded) of a lease."""
    manifest, lease_id = market.ledger.manifest, Hash32(bytes.fromhex(lease_hex))
    judge = manifest.contracts.breach_prover

    async def read() -> tuple[int, int, int]:
        async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
            silence = await rpc.view(judge, breach_prover.SILENCE_OF, lease_id)
            refunded = await rpc.view(judge, breach_prover.REFUNDED_OF, lease_id)
            head = await rpc.ask(ask_head())
            logs = await rpc.ask(ask_logs((judge,), (SILENCE_ANSWERED.topic, lease_id), 0, head))
            return silence.answer_until, len(logs), refunded

    return trio.run(read)


def pass_time(market: Market, seconds: int) -> None:
    """On the chain; the nodes' clocks go on as they are."""
    manifest = market.ledger.manifest

    async def pass_() -> None:
        async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
            await rpc.write("evm_increaseTime", hex(seconds))
            await rpc.write("evm_mine")

    trio.run(pass_)


def give_gas(market: Market, wei: int) -> None:
    """The provider's node key has so much."""
    manifest = market.ledger.manifest

    async def give() -> None:
        async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
            await rpc.write("anvil_setBalance", market.provider.address, hex(wei))

    trio.run(give)


def read_ready(market: Market) -> dict[str, str]:
    return dict(market.provider.control.call("node.status")["ready"])


def wait_answered(job: PlacedJob) -> None:
    wait_until(lambda: read_chain(job.market, job.lease_hex)[:2] == (0, 1), "the daemon answers", WAIT_S)


def test_claims_against_a_provider_that_is_well_are_answered_though_it_was_down_and_killed(promising: Market) -> None:
    market = promising
    ended = market.submit(seconds=5, name="ended")
    ended.wait_settled()
    ended.wait_provider_settled()
    running = market.submit(seconds=240, name="running")
    running.wait_funded()
    running.wait_receipts(3)
    of_ended, of_running = export(ended, "ended"), export(running, "running")

    # One claim comes while the daemon is down, so that only its start can find it.
    market.net.kill(market.provider)
    pass_time(market, LEAST_SILENCE_S + 5)
    assert claim(ended, of_ended)["next"].startswith("the provider may answer until")
    # And the next life ends between the claim and its answer: the transaction is on disk, and nobody has it yet.
    market.arm(market.provider, "tx_saved")
    market.net.begin(market.provider, **die_at(market.provider))
    wait_until(lambda: market.has_died(market.provider), "the provider dies")
    market.restart_dead()
    wait_answered(ended)

    # The other one comes while it runs, and has no gas: its operator is told. Its newest receipt is older than what counts, so a
    # later one answers.
    give_gas(market, 0)
    assert claim(running, of_running)["next"].startswith("the provider may answer until")
    wait_until(lambda: "has 0 wei" in read_ready(market).get("silence", ""), "the operator is told")
    doctor = market.net.run("doctor", home=market.provider.home, check=False)
    assert "silence: somebody claims that lease" in doctor.stdout
    with market.dying(market.provider, "after_effect:ShowReceipt"):
        give_gas(market, 10**18)
    wait_answered(running)

    for job in (ended, running):
        assert read_chain(market, job.lease_hex) == (0, 1, 0)
        told = [one.change for one in read_journal(market.provider, changes.SilenceSeen, changes.SilenceAnswered)]
        about = [one for one in told if getattr(one, "lease_id", b"").hex() == job.lease_hex]
        assert sum(isinstance(one, changes.SilenceSeen) and one.answer_until_s > 0 for one in about) == 1
    assert "silence" not in read_ready(market)
    assert running.show()["job"]["state"] == "running", "an attack on its provider is no end of a job"
