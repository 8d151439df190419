"""Market: one real network (chain, provider, submitter) and the jobs placed on it, seen through what both nodes keep."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.localnet import Localnet, Node, ProviderPlan
from metering.codec import decode
from metering.units import Address, Hash32
from tests.e2e.host import find_traces
from tests.e2e.ledger import Ledger, Money
from xnode.errors import UserError
from xnode.node.change import Change, Entry
from xnode.wallet.keystore import Keystore

WAIT_S = 120.0
"""The longest that anything here may take on a machine that is busy with other things."""

LOOK_EVERY_S = 0.1

INTERVAL_S = 2.0
"""Of receipts: the provider stops after two unpaid ones."""

PLAN = ProviderPlan(
    "provider",
    "eu",
    {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 1.0, "memory": "1GiB", "disk": "1GiB"},
    interval=f"{INTERVAL_S:g}s",
)

DEPOSIT = "100"

LINES = '''
"""Prints numbered lines for as many seconds as it is told, and leaves their number."""
import sys, time
begun, number = time.monotonic(), 0
while time.monotonic() - begun < float(sys.argv[1]):
    number += 1
    print(f"line {number}", flush=True)
    time.sleep(0.05)
open("/work/out/count.txt", "w").write(str(number))
'''

JOB = """\
name: {name}
image: oci:{image}
command: [python3, /work/in/lines.py, "{seconds}"]
inputs: {{lines.py: lines.py}}
resources: {{vcpus: 0.2, memory: 64MiB, disk: 64MiB}}
time_limit: 5m
budget: {budget}
"""


def wait_until(look: Callable[[], bool], what: str, deadline_s: float = WAIT_S) -> None:
    """Look again and again until it is so."""
    end = time.monotonic() + deadline_s
    while not look():
        assert time.monotonic() < end, f"{what}: not so within {deadline_s:g} s"
        time.sleep(LOOK_EVERY_S)


class Market:
    """A running network. Use it within its Localnet."""

    def __init__(self, net: Localnet, image: Path, silence: str = "60s") -> None:
        self.net, self.image = net, image
        self.net.start_chain(block_time_s=0.5)
        self.provider = net.add_provider(PLAN)
        net.start(self.provider)
        self.bootstrap = net.bootstrap_of(self.provider)
        self.submitter = net.add_submitter("submitter", DEPOSIT, self.bootstrap, silence)
        net.start(self.submitter)
        self.ledger = Ledger.open(net.manifest)
        self.payer, self.payout = read_wallet(self.submitter), read_wallet(self.provider)

    def find_offers(self) -> list[Any]:
        """What the submitter sees of the market, once it sees anything."""
        wait_until(lambda: bool(self.submitter.control.call("offer.list")), "offers arrive")
        return list(self.submitter.control.call("offer.list"))

    def write_job(self, seconds: float, name: str = "lines", budget: str = "1 OPENX") -> Path:
        """A job file for `seconds` of numbered lines."""
        folder = self.net.folder / "jobs"
        folder.mkdir(exist_ok=True)
        (folder / "lines.py").write_text(LINES)
        path = folder / f"{name}.yaml"
        path.write_text(JOB.format(name=name, image=self.image, seconds=seconds, budget=budget))
        return path

    def submit(self, seconds: float, name: str = "lines", budget: str = "1 OPENX") -> PlacedJob:
        """Place a job."""
        self.find_offers()
        path = self.write_job(seconds, name, budget)
        request = {"job": path.read_text(), "filename": path.name, "base_dir": str(path.parent)}
        answer = self.submitter.control.call("job.submit", request, deadline_s=WAIT_S)
        return PlacedJob(self, answer["job_id"])

    def restart_dead(self) -> None:
        """Start again whoever has died."""
        for node in (self.provider, self.submitter):
            if node.process is None or node.process.poll() is not None:
                self.net.start(node)

    def read_money(self) -> Money:
        """Balances on chain now."""
        return self.ledger.read_money(self.payer, self.payout)


@dataclass(frozen=True)
class PlacedJob:
    """A job that the submitter's node has taken in."""

    market: Market
    job_id: str

    def show(self) -> dict[str, Any]:
        """job.show."""
        return dict(self.market.submitter.control.call("job.show", {"job_id": self.job_id}))

    def wait_event(self, what: str, count: int = 1, deadline_s: float = WAIT_S) -> None:
        """Returns when the job's timeline has said `what` so many times, receipts counted as they come."""
        stream = self.market.submitter.control.stream(
            "job.events", {"job_id": self.job_id, "follow": True}, quiet_s=deadline_s
        )
        for entry in stream:
            count -= entry["what"] == what
            if count == 0:
                return
        raise AssertionError(f"the job ended without {what!r}: {self.show()['timeline']}")

    def wait_ended(self, deadline_s: float = WAIT_S) -> dict[str, Any]:
        """The job when it has ended."""
        return self._wait({"job_id": self.job_id}, deadline_s)

    def wait_settled(self, deadline_s: float = WAIT_S) -> dict[str, Any]:
        """The job when its submitter knows it as settled."""
        return self._wait({"job_id": self.job_id, "settled": True}, deadline_s)

    def _wait(self, params: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        try:
            return dict(self.market.submitter.control.call("job.wait", params, deadline_s=deadline_s))
        except UserError as error:
            raise AssertionError(f"{error}; the job: {json.dumps(self.show(), indent=1)}") from error

    def wait_provider_settled(self, deadline_s: float = WAIT_S) -> None:
        """Returns when the provider too knows the lease as settled, and its host is empty."""
        wait_until(lambda: self.provider_state().startswith("settled"), "the provider settles", deadline_s)
        wait_until(lambda: not self.find_traces(), f"nothing is left on the host: {self.find_traces()}", deadline_s)

    def provider_state(self) -> str:
        """How the provider says the lease is."""
        lease_id = self.show()["lease_id"]
        leases = self.market.provider.control.call("provider.status")["leases"]
        return next((str(lease["state"]) for lease in leases if lease["lease_id"] == lease_id), "")

    @property
    def lease_hex(self) -> str:
        return str(self.show()["lease_id"]).removeprefix("0x")

    @property
    def escrow_id(self) -> Hash32:
        return Hash32(bytes.fromhex(str(self.show()["escrow_id"]).removeprefix("0x")))

    def find_traces(self) -> list[str]:
        """What is left of it on the host."""
        return find_traces(self.market.provider.home, self.lease_hex)

    def read_receipts(self) -> list[dict[str, Any]]:
        """Every receipt that the submitter accepted."""
        return list(self.market.submitter.control.call("job.receipts", {"job_id": self.job_id}))

    def read_log(self) -> str:
        """The submitter's whole copy of the log, once it has ended."""
        items = self.market.submitter.control.stream(
            "job.logs", {"job_id": self.job_id, "follow": True}, quiet_s=WAIT_S
        )
        return b"".join(base64.b64decode(item["data"]) for item in items).decode()

    def read_output(self, path: str) -> bytes:
        """An output's bytes."""
        rows = self.market.submitter.control.call("job.outputs", {"job_id": self.job_id})
        row = next(row for row in rows if row["path"] == path)
        return Path(row["file"]).read_bytes()


def read_wallet(node: Node) -> Address:
    """The address of the one wallet in a node's home."""
    (entry,) = Keystore(node.home.keystore).list()
    return entry.address


def read_journal(node: Node, *kinds: type[Change]) -> Iterator[Entry]:
    """The entries of these kinds in a node's journal, oldest first; the node may run meanwhile."""
    with sqlite3.connect(f"file:{node.home.data / 'xnode.db'}?mode=ro", uri=True) as database:
        rows = database.execute("select kind, entry from journal order by seq").fetchall()
    wanted = {kind.__name__ for kind in kinds}
    yield from (decode(entry, Entry) for kind, entry in rows if kind in wanted)


def check_lines(text: str, count: int) -> None:
    """The log is every line, once, in order."""
    assert re.findall(r"line (\d+)\n", text) == [str(number) for number in range(1, count + 1)]
    assert len(text.splitlines()) == count
