"""First steps: the lines of the quick starts in empty homes, with no address of any peer in them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.e2e.market import wait_until
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.home import Home
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


class Person:
    """Types commands in a home, and reads what they say."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.home = folder, Home(folder / name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("XNODE_", "ETH_"))}
        more = {"XNODE_HOME": str(self.home.folder), "ETH_PASSWORD": str(folder / "password")}
        self._environment = {**kept, **more, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def run(self, line: str) -> str:
        """What `xnode LINE` gives; its messages when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "xnode.cli.main", *line.split()],
            env=self._environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"xnode {line}: {done.stderr}"
        return done.stdout

    def ask(self, line: str) -> Any:
        """The same as JSON."""
        return json.loads(self.run(f"{line} -o json"))

    def begin(self, line: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        """`xnode LINE` in another terminal, whose text goes into a file of the home's name; stderr: or where else."""
        with (self.folder / f"{self.home.folder.name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "xnode.cli.main", *line.split()],
                env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log if stderr is None else stderr,
            )  # fmt: skip

    def read_log(self) -> str:
        return (self.folder / f"{self.home.folder.name}.log").read_text()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Directly in /tmp: a unix socket's path is short.
    made = Path(tempfile.mkdtemp(prefix="xnode-"))
    (made / "password").write_text("correct horse battery staple\n")
    (made / "password").chmod(0o600)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in reversed(begun):
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_lines_of_the_quick_starts_find_each_other_and_a_challenge_is_judged(
    folder: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    buyer, seller = Person(folder, "buyer"), Person(folder, "seller")
    processes.append(buyer.begin("devnet up --port 0"))
    manifest = buyer.home.folder / "devnet" / "manifest.toml"
    wait_until(lambda: "manifest" in buyer.read_log(), "the devnet comes up")

    wallet = seller.run("wallet new").strip()
    seller.run(f"devnet fund --folder {manifest.parent} {wallet}")
    seller.run(f"provider init --chain {manifest} --region eu-west")
    processes.append(seller.begin("provider run"))
    try:
        buyer.run("wallet new")
        buyer.run(f"daemon init --chain {manifest}")
        wait_until(lambda: buyer.read_log().count("funded") >= 2, "the devnet funds the buyer's wallet and node")
        buyer.run("pay deposit 20")
        shutil.copytree(make_busybox_layout(), folder / "image")
        (folder / "job.yaml").write_text(
            "image: oci:./image\ncommand: [echo, hello]\nresources: {vcpus: 0.5, memory: 64MiB, disk: 64MiB}\n"
            "time_limit: 1m\nbudget: 1 OPENX\n"
        )
        assert "hello" in buyer.run("job submit --yes --follow job.yaml")

        wait_until(lambda: "judges challenges" in buyer.read_log(), "the devnet's verifier enlists")
        seller.run("provider stake 500")
        seller.run("provider capacity request --class cpu=1")
        wait_until(lambda: bool(seller.ask("provider capacity")["in_force"]), "the verifier judges")
        assert "1 tCPU" in seller.run("provider mint 1 --asset tCPU")
    finally:
        if buyer.home.control.exists():
            buyer.run("daemon stop")
        provider = processes.pop()
        provider.send_signal(signal.SIGINT)
        provider.wait(30)
        trio.run(PodmanEngine(seller.home.data / "engine", seller.home.namespace).erase)
