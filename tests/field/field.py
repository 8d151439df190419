"""Field: one network under the product's default settings, jobs on it, and blows to its nodes; it notes what was lost when."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.localnet import Localnet, Node, ProviderPlan, remove_leftovers
from tests.e2e.ledger import Ledger, Money
from tests.e2e.market import Market, PlacedJob, make_request, wait_until
from tests.field.load import busy_host
from tests.field.plan import Blow
from xnode.errors import UserError

PROVIDER = ProviderPlan(
    "provider", "eu", {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 2.0, "memory": "4GiB", "disk": "4GiB"}, is_default=True,
)  # fmt: skip

DEPOSIT = "1000"
WAIT_S = 300.0
"""For what takes seconds on a quiet host."""

PLACE_WAIT_S = 120.0
LOG_LINES = 12
"""Of each log, in the report of a lost lease."""

STATES_LOST = ("failed", "stopped")

WORK = '''
"""Prints numbered lines for as many seconds as its argument says; leaves their number, their hash and how long it ran."""
import hashlib, sys, time
begun, number, hashed = time.monotonic(), 0, hashlib.sha256()
while time.monotonic() - begun < float(sys.argv[1]):
    number += 1
    line = f"line {number}\\n"
    hashed.update(line.encode())
    sys.stdout.write(line)
    sys.stdout.flush()
    time.sleep(0.05)
for name, text in (("count.txt", number), ("sha256.txt", hashed.hexdigest()), ("ran.txt", time.monotonic() - begun)):
    open("/work/out/" + name, "w").write(str(text))
'''

JOB = """\
name: {name}
image: oci:{image}
command: [python3, /work/in/work.py, "{seconds:.1f}"]
inputs: {{work.py: work.py}}
resources: {{vcpus: 0.15, memory: 64MiB, disk: 32MiB}}
time_limit: 60m
budget: 5 OPENX
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """A job that ended otherwise than it should have. after: the last blow that began before its end."""

    name: str
    after: str
    reason: str
    detail: dict[str, Any]
    logs: dict[str, list[str]]

    def __str__(self) -> str:
        timeline = [
            f"  {one['at_ns'] / 1e9:.1f} {one['what']}: {one['detail']}" for one in self.detail["timeline"][-12:]
        ]
        logs = [f"  {side}: {line}" for side, lines in self.logs.items() for line in lines]
        return "\n".join([f"{self.name} was lost after {self.after}: {self.reason}", *timeline, *logs])


@dataclass
class Field:
    """A network and the jobs on it."""

    net: Localnet
    market: Market
    say: Callable[[str], None]
    jobs: dict[str, PlacedJob] = field(default_factory=dict)
    lost: dict[str, Lost] = field(default_factory=dict)
    blows: list[tuple[float, str]] = field(default_factory=list)
    """When each began, by the wall clock, and what it was."""

    # ----------------------------------------------------------------------------------------------------------- jobs

    def place(self, name: str, seconds: float) -> PlacedJob:
        """Submit a job that runs for so long; returns when its workload runs and its escrow is on chain."""
        folder = self.net.folder / "jobs"
        folder.mkdir(exist_ok=True)
        (folder / "work.py").write_text(WORK)
        path = folder / f"{name}.yaml"
        path.write_text(JOB.format(name=name, image=self.market.image, seconds=seconds))
        answer = self.market.submitter.control.call("job.submit", make_request(path), deadline_s=PLACE_WAIT_S)
        job = self.jobs[name] = PlacedJob(self.market, answer["job_id"])
        return job

    def wait_running(self) -> None:
        """Returns when every job runs and is paid for."""
        for name, job in self.jobs.items():
            wait_until(lambda job=job: _is_paid(job), f"{name} runs and was paid once", WAIT_S)  # type: ignore[misc]
        self.look()

    def look(self) -> None:
        """Note every job that has ended otherwise than well since the last look."""
        with suppress(UserError):
            for row in self.market.submitter.control.call("job.list", {"limit": 1000})["rows"]:
                if row["state"] in STATES_LOST and row["name"] in self.jobs and row["name"] not in self.lost:
                    self._note_lost(row["name"], row["reason"])

    def _note_lost(self, name: str, reason: str) -> None:
        detail = self.jobs[name].show()
        lease = str(detail["lease_id"])[:18]
        logs = {side: _find_lines(node, lease) for side, node in self.market.nodes.items()}
        ended_s = (detail["job"]["ended_at_ns"] or time.time_ns()) / 1e9
        after = next((text for began_s, text in reversed(self.blows) if began_s < ended_s), "no blow")
        self.lost[name] = Lost(name, after, reason, detail, logs)
        self.say(f"LOST {name}: {reason}")

    # ---------------------------------------------------------------------------------------------------------- blows

    def strike(self, blow: Blow) -> None:
        """Wait for its time, hit, wait, and bring everything back."""
        time.sleep(blow.after_s)
        began = time.monotonic()
        name = f"blow {len(self.blows) + 1} ({blow})"
        self.blows.append((time.time(), name))
        nodes = [self.market.nodes[side] for side in blow.sides]
        for node in nodes:
            self._hit(node, blow)
        time.sleep(blow.away_s)
        for node in nodes:
            self._bring_back(node, blow)
        self.say(f"{name}; up again after {time.monotonic() - began:.1f} s")
        self.look()

    def _hit(self, node: Node, blow: Blow) -> None:
        assert node.process is not None
        if blow.kind == "SIGSTOP":
            node.process.send_signal(signal.SIGSTOP)
        elif blow.kind == "SIGTERM":
            self.net.stop(node)
        else:
            self.net.kill(node)

    def _bring_back(self, node: Node, blow: Blow) -> None:
        if blow.kind == "SIGSTOP":
            assert node.process is not None
            node.process.send_signal(signal.SIGCONT)
        else:
            self.net.start(node)

    # ------------------------------------------------------------------------------------------------------------ end

    def read_money(self) -> Money:
        """Balances on chain now."""
        return self.market.read_money()

    def wait_ended(self, deadline_s: float) -> None:
        """Returns when every job has ended, one way or the other, and is settled on both sides."""
        ended = ("done", "failed", "stopped")
        control = self.market.submitter.control
        wait_until(
            lambda: all(row["state"] in ended for row in control.call("job.list", {"limit": 1000})["rows"]),
            "all jobs end",
            deadline_s,
        )
        self.look()
        for name, job in self.jobs.items():
            if name not in self.lost:
                job.wait_settled(WAIT_S)
                job.wait_provider_settled(WAIT_S)

    def describe(self) -> str:
        """What was lost and why, and every blow."""
        return "\n".join([*(str(one) for one in self.lost.values()), *(text for _, text in self.blows)])


@contextmanager
def open_field(folder: Path, image: Path, load: int, say: Callable[[str], None]) -> Iterator[Field]:
    """A chain, a node to start from, a provider and a submitter under default settings; the host is busy from now on."""
    try:
        with Localnet(folder, say=lambda _text: None) as net:
            net.start_chain()
            seed = net.add_submitter("seed", "", (), is_default=True)
            net.start(seed)
            bootstrap = net.bootstrap_of(seed)
            provider = net.add_provider(PROVIDER, bootstrap)
            net.start(provider)
            submitter = net.add_submitter("submitter", DEPOSIT, bootstrap, is_default=True)
            net.start(submitter)
            market = Market(net, image, provider, submitter, Ledger.open(net.manifest))
            with busy_host(load):
                wait_until(lambda: bool(submitter.control.call("offer.list")), "the offer arrives", WAIT_S)
                yield Field(net, market, say)
    finally:
        remove_leftovers(folder)


def _is_paid(job: PlacedJob) -> bool:
    """It has a receipt, or has ended: then a look notes why."""
    detail = job.show()
    return detail["receipts"] >= 1 or detail["job"]["state"] in STATES_LOST


def _find_lines(node: Node, lease: str) -> list[str]:
    """The last lines of a node's log that are about a lease, or about a start or a stop."""
    found = []
    for line in node.home.log.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if entry.get("lease") == lease or entry.get("event") in ("node ready", "stopping"):
                found.append(line[:300])
    return found[-LOG_LINES:]
