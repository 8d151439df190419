"""Provider: a network whose provider is a virtual machine; its chain and its submitter are processes of this host."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from examples.localnet import Localnet, Node, ProviderPlan
from tests.e2e.ledger import Ledger
from tests.e2e.market import Market, PlacedJob, make_request
from tests.image.machine import Machine, wait_until
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.config.file import read_table, write_config

PLAN = ProviderPlan(
    "provider",
    "eu",
    {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 1.0, "memory": "512MiB", "disk": "512MiB"},
    is_default=True,
)

HOST_FROM_INSIDE = "10.0.2.2"
"""This host's loopback, as QEMU's user network shows it to the machine."""

PEER_PORT, HTTP = 4001, "127.0.0.1:8420"

WAIT_S = 600.0
"""The longest that anything of a job may take: the machine is some twenty times slower than this host."""

SILENCE = "10m"
"""Until a provider that does not answer is lost: a daemon takes a minute of the machine's slow processors to start."""

TRIES = 5

JOB = """\
name: count
image: oci:{image}
command: [sh, -c, "{script}"]
resources: {{vcpus: 0.2, memory: 64MiB, disk: 64MiB}}
time_limit: 3h
budget: 5 OPENX
"""

SCRIPT = "i=0; while [ $i -lt {seconds} ]; do i=$((i+1)); echo line $i; sleep 1; done; echo $i > /work/out/count.txt"
"""A line each second, and at the end their number."""


def make_network(net: Localnet, port: int) -> tuple[Node, Node]:
    """A chain, a submitter that runs, and the home of a provider that listens in the machine and is reached at our port."""
    net.start_chain(1.0)
    submitter = net.add_submitter("submitter", "100", (), is_default=True)
    patient = read_table(submitter.home)
    patient["submitter"] = {**patient.get("submitter", {}), "silence": SILENCE}
    write_config(submitter.home, patient)
    net.start(submitter)
    provider = net.add_provider(PLAN)
    shutil.copy(net.manifest, provider.home.folder / "manifest.toml")
    table = read_table(provider.home)
    chain = Ledger.open(net.manifest).manifest.rpc_url.replace("127.0.0.1", HOST_FROM_INSIDE)
    table["chain"] = {"manifest": "manifest.toml", "rpc_url": chain}
    known = [one.replace("127.0.0.1", HOST_FROM_INSIDE) for one in net.bootstrap_of(submitter)]
    table["node"] = {
        "listen": [f"/ip4/0.0.0.0/tcp/{PEER_PORT}"], "announce": [f"/ip4/127.0.0.1/tcp/{port}"], "bootstrap": known, "http": HTTP
    }  # fmt: skip
    write_config(provider.home, table)
    return provider, submitter


@dataclass(frozen=True)
class Provider:
    """The machine as its submitter sees it, and its daemon as its operator does."""

    machine: Machine
    net: Localnet
    home: Node
    submitter: Node

    def launch(self, seconds: int) -> PlacedJob:
        """A job that prints a line each second, and runs. The machine is slower than deadlines between nodes allow for: it
        is submitted again when its lease was not signed in time."""
        for _ in range(TRIES):
            job = self._submit(seconds)
            wait_until(partial(is_decided, job), "it runs or ends", WAIT_S)
            if job.show()["receipts"]:
                return job
        raise AssertionError(f"no lease in {TRIES} tries: {job.show()['timeline']}")

    def _submit(self, seconds: int) -> PlacedJob:
        wait_until(lambda: bool(self.submitter.control.call("offer.list")), "the machine's offer arrives", WAIT_S)
        path = self.net.folder / "job.yaml"
        path.write_text(JOB.format(image=make_busybox_layout(), script=SCRIPT.format(seconds=seconds)))
        answer = self.submitter.control.call("job.submit", make_request(path), deadline_s=WAIT_S)
        ledger = Ledger.open(self.net.manifest)
        return PlacedJob(Market(self.net, path, self.home, self.submitter, ledger), answer["job_id"])

    def show_unit(self, *names: str) -> dict[str, str]:
        """Properties of the unit."""
        lines = self.machine.run(
            f"systemctl show xnode.service {' '.join(f'-p {name}' for name in names)}"
        ).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def measure_start_s(self) -> int:
        """How long the daemon took to start, the last time."""
        shown = self.show_unit("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        return (int(shown["ActiveEnterTimestampMonotonic"]) - int(shown["InactiveExitTimestampMonotonic"])) // 1_000_000

    def wait_ready(self, deadline_s: float = WAIT_S) -> None:
        """Returns when the unit is active, which its daemon's READY makes it."""
        wait_until(lambda: self.show_unit("ActiveState")["ActiveState"] == "active", "the unit is active", deadline_s)

    def ask(self, line: str) -> Any:
        """What `xnode LINE -o json` answers in the machine."""
        return json.loads(self.machine.run(f"XNODE_HOME=/var/lib/xnode xnode {line} -o json"))

    def find_workload(self, lease_hex: str) -> int:
        """Process id of the workload's first process."""
        return int(self.machine.run(f"cat /var/lib/xnode/data/engine/*/leases/{lease_hex}/pid"))

    def is_alive(self, pid: int) -> bool:
        return self.machine.run(f"[ -e /proc/{pid} ] && echo yes", check=False) == "yes"

    def find_left(self, lease_hex: str) -> str:
        """What is left of a lease in the machine: cgroups, mounts, folders."""
        short = lease_hex[:32]
        return self.machine.run(
            f"find /sys/fs/cgroup/xnode -type d -name '{short}*' 2>/dev/null; grep {short} /proc/mounts; "
            f"find /var/lib/xnode/data/engine -maxdepth 4 -name '{short}*' 2>/dev/null; true"
        )


def is_decided(job: PlacedJob) -> bool:
    """True once it runs, or will not."""
    shown = job.show()
    return bool(shown["receipts"] > 0 or shown["job"]["state"] == "failed")


def copy_home(home: Node, into: Path) -> None:
    """What the machine's state partition begins with."""
    shutil.copytree(home.home.folder, into, ignore=shutil.ignore_patterns("*.sock", "*.pid", "*.log"))
    into.chmod(0o700)
