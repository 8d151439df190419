"""Localnet: a whole network on this machine: a chain, providers and a submitter, each its own process with its own home."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio

from xnode.cli.chain.devnet_run import find_socket
from xnode.config.file import read_table, write_config
from xnode.control.client import Control
from xnode.errors import UserError
from xnode.home import Home
from xnode.runtime.podman.engine import PodmanEngine

CHAIN_WAIT_S = 60.0
NODE_WAIT_S = 60.0
STOP_WAIT_S = 20.0
CLI_WAIT_S = 300.0

_LOOK_EVERY_S = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """What one provider offers: a share of this host, at a price, in a region. is_default: all else by the product's default
    settings, whatever is said below."""

    name: str
    region: str
    prices: Mapping[str, str]
    share: Mapping[str, Any]
    interval: str = "2s"
    exposure_intervals: int = 2
    thaw_s: int = 10
    asset: str = "OPENX"
    is_default: bool = False


@dataclass(slots=True)
class Node:
    """One daemon: its home, and its process while it runs."""

    name: str
    home: Home
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def control(self) -> Control:
        """Its control socket."""
        return Control(self.home.control)

    @property
    def address(self) -> str:
        """Its node address, 0x hex."""
        return "0x" + str(json.loads(self.home.node_key.read_text())["address"]).removeprefix("0x").lower()


class Localnet:
    """Use as a context manager: leaving it ends every process that it started, by process id."""

    def __init__(self, folder: Path, say: Say = print, keep: bool = False) -> None:
        self.folder = folder.absolute()
        self.manifest = self.folder / "chain" / "manifest.toml"
        self.nodes: dict[str, Node] = {}
        self.chain: subprocess.Popen[bytes] | None = None
        self._say, self._keep = say, keep
        self._password = self.folder / "wallet.password"

    def __enter__(self) -> Self:
        remove_leftovers(self.folder)
        self.folder.mkdir(parents=True)
        self._password.write_text(secrets.token_urlsafe(16) + "\n")
        self._password.chmod(0o600)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keep and error is None:
            return
        for node in self.nodes.values():
            self.stop(node)
        if self.chain is not None:
            _end(self.chain, signal.SIGTERM)
        for node in self.nodes.values():
            remove_workloads(node.home)

    # ------------------------------------------------------------------------------------------------------------ chain

    def start_chain(self, block_time_s: float = 1.0, port: int = 0) -> None:
        """A local EVM node with the contracts deployed, continued from its saved state when this folder has one."""
        options = (
            "devnet",
            "up",
            "--bare",
            "--folder",
            str(self.manifest.parent),
            "--port",
            str(port),
            "--block-time",
            str(block_time_s),
        )
        self.chain = self._spawn(options, self.folder / "chain.log", {})
        (self.folder / "chain.pid").write_text(f"{self.chain.pid}\n")
        is_up = Control(find_socket(self.manifest.parent)).is_up
        self._wait(self.chain, is_up, CHAIN_WAIT_S, "the chain", self.folder / "chain.log")

    def kill_chain(self) -> None:
        """kill -9; the next start continues from the state it saved last."""
        if self.chain is not None:
            _end(self.chain, signal.SIGKILL)
            self.chain = None

    def fund(self, *addresses: str) -> None:
        """Bring addresses up to some ETH for gas and some OPENX."""
        self.run("devnet", "fund", "--folder", str(self.manifest.parent), *addresses)

    # ------------------------------------------------------------------------------------------------------------ nodes

    def add_provider(self, plan: ProviderPlan, bootstrap: tuple[str, ...] = ()) -> Node:
        """A provider, registered on chain by the commands an operator would type; not started yet."""
        home = self._make_home(plan.name)
        owner = self.make_wallet(home)
        self.fund(owner)
        where = ("--region", plan.region, "--asset", plan.asset)
        self.run("provider", "init", "--chain", str(self.manifest), *where, home=home)
        node = Node(plan.name, home, ("provider", "run"))
        self.fund(node.address)
        table = read_table(home)
        terms = {"interval": plan.interval, "exposure_intervals": plan.exposure_intervals, "thaw_s": plan.thaw_s}
        provider = {"prices": dict(plan.prices), "share": dict(plan.share), **({} if plan.is_default else terms)}
        table["provider"] = {**table["provider"], **provider}
        table["node"] = {
            **table.get("node", {}), "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": list(bootstrap), "http": "127.0.0.1:0"
        }  # fmt: skip
        write_config(home, table)
        self.nodes[plan.name] = node
        return node

    def add_submitter(
        self, name: str, deposit: str, bootstrap: tuple[str, ...], silence: str = "60s", is_default: bool = False
    ) -> Node:
        """A submitter with a deposit ("": none) in the pooled escrow that its node may use; not started yet.

        is_default: by the product's default settings.
        """
        home = self._make_home(name)
        payer = self.make_wallet(home)
        self.fund(payer)
        self.run("daemon", "init", "--chain", str(self.manifest), home=home)
        node = Node(name, home, ("daemon", "run"))
        self.fund(node.address)
        table = read_table(home)
        table["node"] = {**table.get("node", {}), "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": list(bootstrap)}
        if not is_default:
            # Some of these providers let work go unpaid for longer than a submitter accepts unless it says so.
            bounds = {"max_exposure_intervals": 5, "max_exposure": "1m"}
            table["submitter"] = {**table.get("submitter", {}), "thaw_s": 10, "silence": silence, **bounds}
        write_config(home, table)
        if deposit:
            self.run("pay", "deposit", deposit, home=home)
        self.nodes[name] = node
        return node

    def make_wallet(self, home: Home) -> str:
        """A new wallet in this home; its address."""
        answer = self.run("wallet", "new", "-o", "json", home=home)
        return str(json.loads(answer.stdout)["address"])

    def start(self, node: Node, **environment: str) -> None:
        """Start the daemon; returns when it answers."""
        self.begin(node, **environment)
        assert node.process is not None
        self._wait(node.process, node.control.is_up, NODE_WAIT_S, node.name, node.home.log)

    def begin(self, node: Node, **environment: str) -> None:
        """Start the daemon, without waiting for it."""
        node.process = self._spawn(node.command, node.home.log, environment, node.home)

    def stop(self, node: Node) -> None:
        """Ask the daemon to end, and wait for it."""
        if node.process is not None:
            _end(node.process, signal.SIGTERM)
            node.process = None

    def kill(self, node: Node) -> None:
        """kill -9."""
        if node.process is not None:
            _end(node.process, signal.SIGKILL)
            node.process = None

    def bootstrap_of(self, node: Node) -> tuple[str, ...]:
        """The multiaddrs, with peer id, by which others find this node."""
        return tuple(node.control.call("node.status")["multiaddrs"])

    # ----------------------------------------------------------------------------------------------------- command line

    def run(
        self, *args: str, home: Home | None = None, check: bool = True, inside: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `xnode ARGS`, as the arguments of the command `inside` when there is one.

        Raises UserError with its last line of stderr when it fails (and `check`).
        """
        environment = self._make_environment({}, home)
        done = subprocess.run(
            [*inside, sys.executable, "-m", "xnode.cli.main", *args],
            env=environment, capture_output=True, text=True, timeout=CLI_WAIT_S, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"`xnode {' '.join(args)}` failed with exit code {done.returncode}: {last}")
        return done

    def _make_home(self, name: str) -> Home:
        home = Home(self.folder / name)
        home.make()
        return home

    def _spawn(
        self, args: tuple[str, ...], log: Path, environment: dict[str, str], home: Home | None = None
    ) -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "xnode.cli.main", *args],
                env=self._make_environment(environment, home), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    def _make_environment(self, more: Mapping[str, str], home: Home | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XNODE_", "ETH_"))}
        where = {"XNODE_HOME": str(home.folder)} if home else {"XNODE_HOME": str(self.folder / "no-home")}
        return kept | where | {"ETH_PASSWORD": str(self._password)} | dict(more)

    def _wait(
        self, process: subprocess.Popen[bytes], is_up: Callable[[], bool], wait_s: float, what: str, log: Path
    ) -> None:
        end = time.monotonic() + wait_s
        while not is_up():
            if process.poll() is not None or time.monotonic() > end:
                lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
                raise UserError(f"{what} did not start: {lines[-1] if lines else 'no log'}", where=str(log))
            time.sleep(_LOOK_EVERY_S)


def remove_leftovers(folder: Path) -> None:
    """Remove what an earlier network in this folder has left, even one that was killed: processes by the id they
    noted, then workloads, then files."""
    if not folder.exists():
        return
    for config in sorted(folder.glob("*/config.toml")):
        home = Home(config.parent)
        _end_noted(home.pid)
        remove_workloads(home)
    _end_noted(folder / "chain.pid")
    _unmount_below(folder)
    shutil.rmtree(folder)


def _unmount_below(folder: Path) -> None:
    """podman leaves its storage mounted on top of itself."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", mount], check=False, timeout=STOP_WAIT_S)


def remove_workloads(home: Home) -> None:
    """Remove everything of this home's engine from the host: containers outlive their daemon."""
    engine_dir = home.data / "engine"
    if engine_dir.exists():
        trio.run(PodmanEngine(engine_dir, home.namespace).erase)


def _end_noted(path: Path) -> None:
    """End the process whose id is in the file, if it is still one of ours."""
    try:
        pid = int(path.read_text().split()[0])
        if b"xnode" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            _wait_gone(pid)
    except (OSError, ValueError, IndexError):
        return


def _wait_gone(pid: int) -> None:
    end = time.monotonic() + STOP_WAIT_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    """End a process we started, by its id; with SIGKILL when it ignores SIGTERM."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_WAIT_S)
