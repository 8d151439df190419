"""Begin: from nothing to a provider that is up and a node that buys from it, one command each, killed and run again."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from metering.units import Address
from tests.e2e.market import wait_until
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.chain.deployment.manifest import read_manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_nonce
from xnode.chain.reads import ChainReads
from xnode.errors import ExitCode
from xnode.home import Home
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

ROOT = Path(__file__).parents[2]

AIM_S = 120.0
"""From nothing to a provider that is up, self-test included."""

POINTS = (
    "setup_wallet",
    "setup_funds",
    "tx_saved",
    "tx_broadcast",
    "tx_before_mark",
    "tx_marked",
    "setup_registered",
    "setup_running",
)
"""Where the setup is killed, one after the other: before each transaction is sent, on its way, and when it is done."""

TRANSACTIONS = 3
"""Of a wallet that sets a provider up: its registration, the hash of its hardware, gas for the node key."""


class Person:
    """Types commands in a home of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.home = folder, Home(folder / name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XNODE_", "ETH_"))}
        self.environment = {**kept, "XNODE_HOME": str(self.home.folder), "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def try_(self, line: str, die_at: str = "") -> subprocess.CompletedProcess[str]:
        """`xnode LINE`; die_at: the fault point where it is killed."""
        return subprocess.run(
            [sys.executable, "-m", "xnode.cli.main", *line.split()],
            env={**self.environment, "XNODE_DIE_AT": die_at}, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def ask(self, line: str) -> Any:
        """What a command answers as JSON."""
        done = self.try_(f"{line} -o json")
        assert done.returncode == 0, f"xnode {line}: {done.stderr}"
        return json.loads(done.stdout)

    def stop(self) -> None:
        if self.home.control.exists():
            done = self.try_("daemon stop")
            assert done.returncode == 0, done.stderr


@contextmanager
def temporary_folder() -> Iterator[Path]:
    # Directly in /tmp: a unix socket's path is short.
    made = Path(tempfile.mkdtemp(prefix="xnode-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as made:
        yield made


@pytest.fixture(scope="module")
def manifest() -> Iterator[Path]:
    """A devnet of somebody else's home, up and running."""
    with temporary_folder() as folder:
        market = Person(folder, "market")
        log = folder / "market.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "xnode.cli.main", "devnet", "up", "--port", "0", "--block-time", "0.2"],
                env=market.environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        wait_until(lambda: "Ctrl-C" in log.read_text(), "the devnet comes up")
        yield market.home.folder / "devnet" / "manifest.toml"
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.fixture
def seller(folder: Path) -> Iterator[Person]:
    person = Person(folder, "seller")
    yield person
    person.stop()
    if (person.home.data / "engine").exists():
        trio.run(PodmanEngine(person.home.data / "engine", person.home.namespace).erase)


def read_chain(manifest: Path, owner: str) -> tuple[int, str]:
    """How many transactions a wallet has sent, and the node key that it registered."""
    deployment, address = read_manifest(manifest), Address(bytes.fromhex(owner[2:]))

    async def read() -> tuple[int, str]:
        async with JsonRpc(deployment.rpc_url, deployment.chain_id) as rpc:
            registration = await ChainReads(rpc, deployment).registration(address)
            return await rpc.ask(ask_nonce(address)), (registration.node_key or b"").hex()

    return trio.run(read)


def test_a_provider_is_up_after_one_command_and_a_job_runs_after_the_next(
    folder: Path, manifest: Path, seller: Person
) -> None:
    begun = time.monotonic()
    answer = seller.ask(f"provider setup --chain {manifest} --region eu-west --yes")
    assert time.monotonic() - begun < AIM_S
    assert " devices pass" in answer["self_test"] and answer["password_file"] == str(seller.home.wallet_password)
    assert read_chain(manifest, answer["owner"]) == (TRANSACTIONS, answer["node"][2:])
    status = seller.ask("provider status")
    assert status["registered"] and status["region"] == "eu-west"

    again = seller.try_("provider setup --yes --no-self-test")
    assert again.returncode == 0 and "the node runs already" in again.stderr
    assert read_chain(manifest, answer["owner"])[0] == TRANSACTIONS, "nothing is paid twice"

    buyer = Person(folder, "buyer")
    try:
        bought = buyer.ask(f"quickstart --chain {manifest} --yes")
        assert (bought["deposited"], bought["node_may_use"]) == ("20", "20")
        shutil.copytree(make_busybox_layout(), folder / "image")
        (folder / "job.yaml").write_text(
            "image: oci:./image\ncommand: [echo, hello]\nresources: {vcpus: 0.5, memory: 64MiB, disk: 64MiB}\n"
            "time_limit: 1m\nbudget: 1 OPENX\n"
        )
        done = buyer.try_("job submit --yes --follow job.yaml")
        assert done.returncode == 0 and "hello" in done.stdout, done.stderr
        again = buyer.try_("quickstart --yes")
        assert again.returncode == 0, again.stderr
        assert float(buyer.ask("quickstart --yes")["deposited"]) < 20, "and nothing was added to what is left"
    finally:
        buyer.stop()


def test_a_setup_that_is_killed_anywhere_goes_on_when_it_is_run_again_and_pays_nothing_twice(
    manifest: Path, seller: Person
) -> None:
    line = f"provider setup --chain {manifest} --yes --no-self-test"
    for point in POINTS:
        died = seller.try_(line, die_at=point)
        assert died.returncode == -signal.SIGKILL, f"{point}: {died.stderr}"
    done = seller.try_(f"{line} -o json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert read_chain(manifest, answer["owner"]) == (TRANSACTIONS, answer["node"][2:])
    assert not list((seller.home.data / "commands").iterdir())


def test_a_quickstart_that_is_killed_anywhere_deposits_once(folder: Path, manifest: Path) -> None:
    buyer = Person(folder, "buyer")
    line = f"quickstart --chain {manifest} --yes"
    try:
        for point in ("quickstart_wallet", "quickstart_settings", "tx_saved", "tx_broadcast", "tx_marked"):
            died = buyer.try_(line, die_at=point)
            assert died.returncode == -signal.SIGKILL, f"{point}: {died.stderr}"
        answer = buyer.ask(line)
        assert (answer["deposited"], answer["node_may_use"]) == ("20", "20")
        # A deposit is an allowance and the deposit itself, a cap and gas; what was saved and never sent is none.
        assert read_chain(manifest, answer["payer"])[0] <= 5
    finally:
        buyer.stop()


def test_a_person_is_asked_three_things_and_no_more(manifest: Path, seller: Person) -> None:
    asked = answer_questions(
        seller, f"provider setup --chain {manifest} --no-self-test", ("secret", "secret", "eu-west", "y")
    )
    for question in ("Password for the new key", "Where is this host", "Register this host on chain"):
        assert asked.count(question) == 1
    assert asked.index("will offer ") < asked.index("Register this host"), "what a person agrees to is said before"
    assert 'region = "eu-west"' in seller.home.config.read_text()
    assert seller.ask("provider status")["registered"]


def test_a_wallet_without_money_says_what_to_send_where_and_nothing_else_is_done(
    folder: Path, manifest: Path, seller: Person
) -> None:
    elsewhere = folder / "elsewhere.toml"
    shutil.copy(manifest, elsewhere)
    refused = seller.try_(f"provider setup --chain {elsewhere} --yes")
    assert refused.returncode == ExitCode.FUNDS
    assert "the wallet has no gas" in refused.stderr and "hint: send some to 0x" in refused.stderr
    assert not seller.home.config.exists() and not seller.home.node_key.exists()


def answer_questions(person: Person, line: str, answers: tuple[str, ...]) -> str:
    """What `xnode LINE` shows on a terminal whose person types these, one for each question."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(person.folder)
        os.execvpe(sys.executable, [sys.executable, "-m", "xnode.cli.main", *line.split()], person.environment)
    shown, waiting = b"", list(answers)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if ready:
            try:
                piece = os.read(terminal, 4096)
            except OSError:
                break
            shown += piece
        elif waiting and shown.rstrip().endswith((b":", b"]")):
            os.write(terminal, f"{waiting.pop(0)}\n".encode())
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert waiting == [], f"not asked: {waiting}"
    return shown.decode()
