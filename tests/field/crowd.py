"""Crowd: many providers and some submitters under the product's default settings, and many cold jobs at once."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from examples.localnet import Localnet, Node, ProviderPlan, remove_leftovers
from tests.e2e.ledger import Ledger
from tests.e2e.market import make_request, wait_until
from xnode.chain.node.json_rpc import JsonRpc
from xnode.config.file import read_table, write_config
from xnode.text.hex import to_hex

PLACES = 2
"""Jobs that one provider has room for at a time."""

BLOCK_TIME_S = 2.0
DEPOSIT = "1000"
SUBMIT_S = 120.0
END_S = 900.0
"""For everything together, on a host that all of them share."""

SET_BY_PLAN = ("interval", "exposure_intervals", "thaw_s")
"""What a plan of the demo sets; here the product's own defaults hold."""

SET_FOR_DEMO = ("thaw_s", "silence", "max_exposure_intervals", "max_exposure")

JOB = """\
name: {name}
image: oci:{image}
command: [sh, -c, "sleep {seconds}; echo done > /work/out/done.txt"]
resources: {{vcpus: 1, memory: 64MiB, disk: 32MiB}}
time_limit: 10m
budget: 5 OPENX
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many. A host with two cores bears six providers and sixteen jobs well."""

    providers: int
    submitters: int
    jobs: int

    @classmethod
    def from_environment(cls) -> Size:
        """FIELD_PROVIDERS, FIELD_SUBMITTERS, FIELD_JOBS."""
        wanted = {"providers": 12, "submitters": 2, "jobs": 40}
        return cls(**{name: int(os.environ.get(f"FIELD_{name.upper()}", count)) for name, count in wanted.items()})


@dataclass
class Crowd:
    """A running network. placed: job ids by submitter."""

    net: Localnet
    providers: list[Node]
    submitters: list[Node]
    ledger: Ledger
    placed: list[tuple[Node, str]] = field(default_factory=list)
    transactions_before: int = 0

    def place_all(self, jobs: int, image: Path, seconds: int) -> None:
        """Submit all at once, by turns."""
        folder = self.net.folder / "jobs"
        folder.mkdir()
        self.transactions_before = trio.run(self._count_transactions)
        for number in range(jobs):
            path = folder / f"job-{number}.yaml"
            path.write_text(JOB.format(name=path.stem, image=image, seconds=seconds))
            submitter = self.submitters[number % len(self.submitters)]
            answer = submitter.control.call("job.submit", make_request(path), deadline_s=SUBMIT_S)
            self.placed.append((submitter, answer["job_id"]))

    def wait_ended(self) -> list[dict[str, Any]]:
        """Every job when all have ended and are settled."""
        end = time.monotonic() + END_S
        ended = []
        for submitter, job_id in self.placed:
            left_s = max(1.0, end - time.monotonic())
            params = {"job_id": job_id, "settled": True}
            ended.append(dict(submitter.control.call("job.wait", params, deadline_s=left_s)))
        return ended

    def count_transactions(self) -> int:
        """Those to the escrow contract since the jobs were placed."""
        return trio.run(self._count_transactions) - self.transactions_before

    async def _count_transactions(self) -> int:
        manifest = self.ledger.manifest
        escrow = to_hex(manifest.contracts.payment_escrow)
        count = 0
        async with JsonRpc(manifest.rpc_url, manifest.chain_id) as rpc:
            last = int((await rpc.read("eth_getBlockByNumber", "latest", False))["number"], 16)
            for number in range(last + 1):
                block = await rpc.read("eth_getBlockByNumber", hex(number), True)
                count += sum(str(one["to"]).lower() == escrow for one in block["transactions"])
        return count

    def count_served(self, ended: list[dict[str, Any]]) -> Counter[str]:
        """Jobs that ended well, by the provider that ran them."""
        names = {node.address: node.name for node in self.providers}
        return Counter(names[job["node"]] for job in ended if job["job"]["reason"] == "completed")


@contextmanager
def open_crowd(folder: Path, size: Size) -> Iterator[Crowd]:
    """All of it, up and known to each other."""
    try:
        with Localnet(folder, say=lambda _text: None) as net:
            net.start_chain(BLOCK_TIME_S)
            providers: list[Node] = []
            for number in range(size.providers):
                plan = ProviderPlan(
                    f"provider-{number}", "eu", {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
                    {"vcpus": float(PLACES), "memory": "1GiB", "disk": "1GiB"},
                )  # fmt: skip
                bootstrap = net.bootstrap_of(providers[0]) if providers else ()
                node = net.add_provider(plan, bootstrap)
                take_defaults(node, "provider", SET_BY_PLAN)
                net.start(node)
                providers.append(node)
            submitters = []
            for number in range(size.submitters):
                node = net.add_submitter(f"submitter-{number}", DEPOSIT, net.bootstrap_of(providers[0]))
                take_defaults(node, "submitter", SET_FOR_DEMO)
                net.start(node)
                submitters.append(node)
            crowd = Crowd(net, providers, submitters, Ledger.open(net.manifest))
            for node in submitters:
                wait_until(
                    lambda node=node: len(node.control.call("offer.list")) == size.providers,  # type: ignore[misc]
                    f"{node.name} knows every offer",
                )
            yield crowd
    finally:
        remove_leftovers(folder)


def take_defaults(node: Node, section: str, names: tuple[str, ...]) -> None:
    """Leave out what the demo sets otherwise than the product."""
    table = read_table(node.home)
    table[section] = {name: value for name, value in table[section].items() if name not in names}
    write_config(node.home, table)
