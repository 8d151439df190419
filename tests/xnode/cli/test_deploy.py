"""Deploying from a plan by the program itself, onto a chain that is no devnet."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from metering.eip712 import keccak
from metering.units import ZERO_HASH
from tests.xnode.chain.devchain import DevChain, start_anvil
from tests.xnode.cli.conftest import DEADLINE_S, Run, error_lines
from xnode.chain.contracts.timelock import ADMIN_ROLE, HAS_ROLE, PROPOSER_ROLE
from xnode.chain.deployment.check import check_deployment
from xnode.chain.deployment.manifest import Manifest, read_manifest, write_manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.send.tx_journal import Attempt, SqlTxJournal, TxCall, TxRecord, make_engine
from xnode.cli.chain.deploy import naming_a_mixture
from xnode.errors import ExitCode, Permanent
from xnode.home import Home
from xnode.text.hex import checksum_address, to_hex
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore
from xnode.wallet.signer import WalletKey

pytestmark = [pytest.mark.chain, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "contracts" / "plan.example.toml"
CHAIN_ID = 4242
STEPS = 17
"""Fifteen contracts, and the two transactions that connect them."""


@pytest.fixture
def chain() -> Iterator[DevChain]:
    chain = start_anvil("--block-time", "0.5", chain_id=CHAIN_ID)
    yield chain
    chain.end()


@pytest.fixture
def deployer(home: Home, password: str, chain: DevChain) -> str:
    """A wallet with gas; its address."""
    entry = trio.run(Keystore(home.keystore).make_new, "deployer", Path(password).read_text().strip(), MACHINE_ROUNDS)
    assert entry.address is not None
    address = to_hex(entry.address)

    async def give() -> None:
        async with JsonRpc(chain.url, CHAIN_ID) as rpc:
            await rpc.write("anvil_setBalance", address, hex(10**19))

    trio.run(give)
    return address


@pytest.fixture
def plan(home: Home) -> Path:
    path = home.folder / "plan.toml"
    text = EXAMPLE.read_text()
    for before, after in (
        ('chain = "ethereum"', 'chain = "devnet"'),
        ("confirmation_s = 144", "confirmation_s = 1"),
        ("draw_delay_s = 1_536", "draw_delay_s = 4"),
        ("0x00000000000000000000000000000000000000A1", "0x" + "a1" * 20),
        ("0x00000000000000000000000000000000000000B1", "0x" + "b1" * 20),
        ("0x00000000000000000000000000000000000000C1", "0x" + "c1" * 20),
    ):
        assert before in text
        text = text.replace(before, after, 1)
    path.write_text(text)
    return path


async def count_sent(url: str, address: str) -> int:
    async with JsonRpc(url, CHAIN_ID) as rpc:
        return int(await rpc.read("eth_getTransactionCount", address, "latest"), 16)


def test_a_deployment_cut_short_goes_on_where_it_stopped(
    xnode: Run, environment: dict[str, str], home: Home, password: str, chain: DevChain, deployer: str, plan: Path
) -> None:
    env = {"ETH_PASSWORD": password}
    words = ("chain", "deploy", str(plan), "--rpc-url", chain.url)
    process = subprocess.Popen(
        [sys.executable, "-m", "xnode.cli.main", *words],
        env={**environment, **env},
        cwd=home.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "ProviderRegistry at" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_S)
    process.stderr.close()
    out = home.folder / "plan.manifest.toml"
    assert not out.exists()

    done = xnode(*words, "-o", "json", env=env)
    assert done.returncode == 0, done.stderr
    assert trio.run(count_sent, chain.url, deployer) == STEPS
    manifest = read_manifest(out)
    assert (manifest.chain_id, json.loads(done.stdout)["chain_id"]) == (CHAIN_ID, CHAIN_ID)
    trio.run(check, chain.url, manifest, deployer)

    assert f"{STEPS} transactions, one after the other, each with 1 confirmations: about 34s" in done.stderr

    # What its people add to the manifest is still there after another run, which makes nothing.
    added = msgspec.structs.replace(manifest, rpc_url=chain.url, bootstrap=("/ip4/10.0.0.1/tcp/4001/p2p/16Uiu2HAm",))
    write_manifest(out, added)
    again = xnode(*words, env=env)
    assert again.returncode == 0 and trio.run(count_sent, chain.url, deployer) == STEPS
    assert read_manifest(out) == added
    refuse_on_another_chain(xnode, home, env, plan)
    changed = plan.read_text().replace("quorum = 25", "quorum = 26")
    assert changed != plan.read_text()
    plan.write_text(changed)
    other = xnode(*words, env=env)
    assert other.returncode == ExitCode.CONFLICT and "another plan" in other.stderr
    (home.folder / "plan.manifest.toml.journal").unlink()
    lost = xnode(*words, env=env)
    assert lost.returncode == ExitCode.CONFLICT and "is there already" in lost.stderr


def refuse_on_another_chain(xnode: Run, home: Home, env: dict[str, str], plan: Path) -> None:
    """Neither the manifest nor the journal of one chain is taken for another's."""
    out = home.folder / "plan.manifest.toml"
    text, other = out.read_text(), start_anvil(chain_id=CHAIN_ID + 1)
    try:
        for known in (out, home.folder / "plan.manifest.toml.journal"):
            done = xnode("chain", "deploy", str(plan), "--rpc-url", other.url, env=env)
            assert done.returncode == ExitCode.CONFLICT and "hint: name another --manifest" in done.stderr
            assert f"{known}: is of chain {CHAIN_ID}, and the chain node is of chain {CHAIN_ID + 1}" in done.stderr
            out.unlink(missing_ok=True)
    finally:
        other.end()
        out.write_text(text)


async def check(url: str, manifest: Manifest, deployer: str) -> None:
    """Everything is in place, and the deployer has no power left."""
    async with JsonRpc(url, CHAIN_ID) as rpc:
        await check_deployment(rpc, manifest)
        for role in (ADMIN_ROLE, PROPOSER_ROLE):
            account = bytes.fromhex(deployer[2:])
            assert not await rpc.view(manifest.contracts.timelock, HAS_ROLE, role, account)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "quorum = 25",
            "quorum = 2",
            "plan.toml: capacity.quorum: quorum 2 is not between 21 and 31 | hint: see contracts/",
        ),
        (
            "leave_delay_s = 1_814_400",
            "leave_delay_s = 99_999_999",
            "capacity.leave_delay_s: leaveDelay 99999999 is not",
        ),
        ("window_hours = 720", "window_hours = 0", "window"),
        ("escrow_min_thaw_s = 86_400", "escrow_min_thaw_s = 99_999_999", "thaw"),
        ('# rpc_url = "https://..."', 'rpc_url = "nonsense"', "plan.toml: rpc_url must begin with http"),
    ],
)
def test_a_plan_that_a_contract_or_the_manifest_refuses_is_not_paid_for(
    xnode: Run, password: str, chain: DevChain, deployer: str, plan: Path, before: str, after: str, told: str
) -> None:
    text = plan.read_text()
    assert before in text
    plan.write_text(text.replace(before, after, 1))
    done = xnode("chain", "deploy", str(plan), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert told in error_lines(done.stderr)[-1]
    assert trio.run(count_sent, chain.url, deployer) == 0


def test_a_journal_is_worked_with_by_one_deployment_at_a_time(
    xnode: Run, home: Home, password: str, chain: DevChain, deployer: str, plan: Path
) -> None:
    with (home.folder / "plan.manifest.toml.journal.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = xnode("chain", "deploy", str(plan), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.CONFLICT and "another `xnode chain deploy`" in done.stderr
    assert trio.run(count_sent, chain.url, deployer) == 0


def test_a_second_wallet_does_not_deploy_the_same_plan_once_more(
    xnode: Run, home: Home, password: str, chain: DevChain, deployer: str, plan: Path
) -> None:
    other = WalletKey(keccak(b"another deployer")).address
    path = home.folder / "plan.manifest.toml.journal"

    async def begin() -> None:
        journal = SqlTxJournal(make_engine(path), CHAIN_ID, other)
        attempt = Attempt(0, 1, 1, ZERO_HASH, b"")
        await journal.save(TxRecord("deploy-0123456789abcdef/OpenxToken", TxCall(None, b""), 1, (attempt,)))

    trio.run(begin)
    done = xnode("chain", "deploy", str(plan), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.CONFLICT and f"paid by {checksum_address(other)}" in done.stderr
    assert "hint: go on with that wallet" in done.stderr
    assert trio.run(count_sent, chain.url, deployer) == 0


async def test_a_mixture_of_two_deployments_is_not_blamed_on_the_manifest() -> None:
    with pytest.raises(Permanent) as caught, naming_a_mixture(Path("plan.journal")):
        raise Permanent("ProviderRegistry has other judges", code="deployment", hint="fix the manifest")
    assert "another --manifest" in caught.value.hint and "fix" not in caught.value.hint
    with pytest.raises(Permanent, match="no gas") as caught, naming_a_mixture(Path("plan.journal")):
        raise Permanent("no gas", hint="send some")
    assert caught.value.hint == "send some"


@pytest.mark.parametrize("name", ["A1", "B1", "C1"])
def test_nothing_is_made_for_an_address_that_the_example_has(
    xnode: Run, password: str, chain: DevChain, deployer: str, plan: Path, name: str
) -> None:
    placeholder = "0x" + name.zfill(40)
    plan.write_text(plan.read_text().replace("0x" + name.lower() * 20, placeholder))
    done = xnode("chain", "deploy", str(plan), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert "as in the example: nobody has its key" in done.stderr and placeholder in done.stderr
    assert str(plan) in done.stderr and trio.run(count_sent, chain.url, deployer) == 0


def test_a_plan_for_slower_blocks_is_refused(
    xnode: Run, password: str, chain: DevChain, deployer: str, home: Home
) -> None:
    path = home.folder / "plan.toml"
    path.write_text(re.sub("0x0{38}([ABC]1)", lambda found: "0x" + found[1].lower() * 20, EXAMPLE.read_text()))
    trio.run(mine, chain.url)
    done = xnode("chain", "deploy", str(path), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.USAGE and "the plan counts on 12000 ms" in done.stderr
    assert trio.run(count_sent, chain.url, deployer) == 0


async def mine(url: str) -> None:
    """Enough blocks to see how fast they come."""
    async with JsonRpc(url, CHAIN_ID) as rpc:
        await rpc.write("anvil_mine", hex(20), hex(1))


def test_a_wallet_without_gas_is_refused(xnode: Run, password: str, home: Home, chain: DevChain, plan: Path) -> None:
    trio.run(Keystore(home.keystore).make_new, "poor", Path(password).read_text().strip(), MACHINE_ROUNDS)
    done = xnode("chain", "deploy", str(plan), "--rpc-url", chain.url, env={"ETH_PASSWORD": password})
    assert done.returncode == ExitCode.FUNDS and "no gas" in done.stderr
