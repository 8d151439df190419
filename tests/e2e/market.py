"""Market: one real network (chain, provider, submitter) and the jobs placed on it, seen through what both nodes keep."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeVar

from examples.localnet import Localnet, Node, ProviderPlan
from metering.codec import decode
from metering.units import Address, Hash32
from tests.e2e.host import find_traces
from tests.e2e.ledger import Ledger, Money
from xnode.config.file import read_table, write_config
from xnode.errors import UserError
from xnode.node.changes import Change, Entry
from xnode.node.records import ProviderLease, Record
from xnode.node.state import kind_of
from xnode.text.amount import parse_amount
from xnode.wallet.keystore import Keystore

R = TypeVar("R", bound=Record)

WAIT_S = 120.0
"""The longest that anything here may take on a machine that is busy with other things."""

LOOK_EVERY_S = 0.1

INTERVAL_S = 2.0
"""Of receipts."""

EXPOSURE_INTERVALS = 5
"""Unpaid ones until the provider stops: time for a submitter to be started again on a machine with much else to do."""

PLAN = ProviderPlan(
    "provider",
    "eu",
    {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 1.0, "memory": "1GiB", "disk": "1GiB"},
    interval=f"{INTERVAL_S:g}s",
    exposure_intervals=EXPOSURE_INTERVALS,
)

DEPOSIT = "100"

BLOCK_TIME_S = 0.5

LINES = '''
"""Prints numbered lines for as many seconds as its argument says, and leaves their number."""
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
    """Returns when `look` is true; fails after the deadline."""
    end = time.monotonic() + deadline_s
    while not look():
        assert time.monotonic() < end, f"{what}: not so within {deadline_s:g} s"
        time.sleep(LOOK_EVERY_S)


@dataclass
class Market:
    """A running network as one submitter sees it. Use it within its Localnet."""

    net: Localnet
    image: Path
    provider: Node
    submitter: Node
    ledger: Ledger

    @classmethod
    def open(cls, net: Localnet, image: Path) -> Market:
        """Start all of it."""
        net.start_chain(BLOCK_TIME_S)
        provider = net.add_provider(PLAN)
        net.start(provider, **die_at(provider))
        pin_port(provider)
        submitter = net.add_submitter("submitter", DEPOSIT, net.bootstrap_of(provider))
        net.start(submitter, **die_at(submitter))
        return cls(net, image, provider, submitter, Ledger.open(net.manifest))

    def open_account(self, name: str, deposit: str, silence: str = "60s") -> Market:
        """The same network as seen by another submitter, with its own deposit."""
        submitter = self.net.nodes.get(name)
        if submitter is None:
            submitter = self.net.add_submitter(name, deposit, self.net.bootstrap_of(self.provider), silence)
        account = replace(self, submitter=submitter)
        account.restart_dead()
        return account

    @property
    def nodes(self) -> dict[str, Node]:
        """The two sides of a lease."""
        return {"provider": self.provider, "submitter": self.submitter}

    def run(self, *args: str) -> CompletedProcess[str]:
        """Run `xnode ARGS` in the submitter's home, however it ends."""
        return self.net.run(*args, home=self.submitter.home, check=False)

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
        request = make_request(self.write_job(seconds, name, budget))
        answer = self.submitter.control.call("job.submit", request, deadline_s=WAIT_S)
        return PlacedJob(self, answer["job_id"])

    def read_money(self) -> Money:
        """Balances on chain now."""
        return self.ledger.read_money(read_wallet(self.submitter), read_wallet(self.provider))

    def check_moved(self, before: Money, cost: str) -> None:
        """The payer's deposit fell by exactly what the provider's payout gained: what the receipts say, no more."""
        after = self.read_money()
        due = parse_amount(cost, 18)
        assert due > 0
        assert (before.free - after.free, after.payout - before.payout, before.held - after.held) == (due, due, due)
        assert after.held == after.owed

    # ------------------------------------------------------------------------------------------------------------ chain

    @contextmanager
    def chain_hanging(self) -> Iterator[None]:
        """The chain node takes connections and answers nothing."""
        pid = int((self.net.manifest.parent / "anvil.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def chain_idle(self) -> Iterator[None]:
        """The chain node answers, and mines nothing."""
        self.ledger.set_block_time(0)
        try:
            yield
        finally:
            self.ledger.set_block_time(1)

    def restart_chain(self) -> None:
        """Start the chain again where it was, after kill_chain()."""
        self.net.start_chain(BLOCK_TIME_S, int(self.ledger.manifest.rpc_url.rpartition(":")[2]))

    # ----------------------------------------------------------------------------------------------------------- deaths

    def arm(self, node: Node, point: str) -> None:
        """Make the node die, once, when it next reaches this point."""
        part = find_point(node).with_suffix(".part")
        part.write_text(point)
        part.replace(find_point(node))

    def is_armed(self, node: Node) -> bool:
        """True until the point is reached."""
        return find_point(node).exists()

    @contextmanager
    def dying(self, node: Node, point: str) -> Iterator[None]:
        """The node dies at this point, within the block or soon after; up again when the block is left."""
        process = node.process
        assert process is not None
        self.arm(node, point)
        yield
        process.wait(WAIT_S)
        assert not self.is_armed(node)
        self.restart_dead()

    def has_died(self, node: Node) -> bool:
        """True when its process is gone."""
        return node.process is None or node.process.poll() is not None

    def restart_dead(self) -> None:
        """Start every node again that has died."""
        for node in self.nodes.values():
            if self.has_died(node):
                self.net.start(node, **die_at(node))

    # ----------------------------------------------------------------------------------------------------------- leases

    def read_lease(self, lease_hex: str) -> ProviderLease:
        """A lease as the provider has it on its disk now."""
        return read_record(self.provider, ProviderLease, bytes.fromhex(lease_hex))


@dataclass(frozen=True)
class PlacedJob:
    """A job that the submitter's node has taken in."""

    market: Market
    job_id: str

    def show(self) -> dict[str, Any]:
        """job.show."""
        return dict(self.market.submitter.control.call("job.show", {"job_id": self.job_id}))

    def wait_event(self, what: str, deadline_s: float = WAIT_S) -> None:
        """Returns when the job's timeline shows `what`."""
        stream = self.market.submitter.control.stream(
            "job.events", {"job_id": self.job_id, "follow": True}, quiet_s=deadline_s
        )
        assert any(entry["what"] == what for entry in stream), self.show()["timeline"]

    def wait_receipts(self, count: int, deadline_s: float = WAIT_S) -> None:
        """Returns when the submitter has accepted so many receipts."""
        stream = self.market.submitter.control.stream(
            "job.events", {"job_id": self.job_id, "follow": True}, quiet_s=deadline_s
        )
        assert any(self.show()["receipts"] >= count for _ in stream), self.show()["timeline"]

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
        wait_until(lambda: self.read_lease().status == "settled", "the provider settles", deadline_s)
        wait_until(lambda: not self.find_traces(), f"nothing is left on the host: {self.find_traces()}", deadline_s)

    def read_lease(self) -> ProviderLease:
        """The lease as the provider has it on its disk now."""
        return self.market.read_lease(self.lease_hex)

    def wait_funded(self) -> None:
        """Returns when the workload runs and its escrow is on chain."""
        self.wait_event("launch")
        wait_until(lambda: self.read_lease().funded, "the escrow's opening confirms")

    @property
    def lease_hex(self) -> str:
        shown = self.show()
        assert shown["lease_id"], f"no lease was made: {json.dumps(shown, indent=1)}"
        return str(shown["lease_id"]).removeprefix("0x")

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


def make_request(job_file: Path) -> dict[str, str]:
    """What the control methods take for a job file."""
    return {"job": job_file.read_text(), "filename": job_file.name, "base_dir": str(job_file.parent)}


def die_at(node: Node) -> dict[str, str]:
    """The environment under which a node dies at the point that Market.arm names."""
    return {"XNODE_DIE_AT": f"@{find_point(node)}"}


def find_point(node: Node) -> Path:
    """The file that names the point at which the node dies next."""
    return node.home.folder / "die_at"


def pin_port(node: Node) -> None:
    """Have it listen where it listens now after each restart, as providers do."""
    table = read_table(node.home)
    listened = [one.partition("/p2p/")[0] for one in node.control.call("node.status")["multiaddrs"]]
    write_config(node.home, {**table, "node": {**table["node"], "listen": listened}})


def read_wallet(node: Node) -> Address:
    """The address of the one wallet in a node's home."""
    (entry,) = Keystore(node.home.keystore).list()
    assert entry.address is not None
    return entry.address


def read_record(node: Node, kind: type[R], key: bytes) -> R:
    """A record as it is on the node's disk; the node may run meanwhile."""
    with sqlite3.connect(f"file:{node.home.data / 'xnode.db'}?mode=ro", uri=True) as database:
        row = database.execute("select value from record where kind = ? and key = ?", (kind_of(kind), key)).fetchone()
    return decode(row[0], kind)


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


def check_none_lost(receipts: list[dict[str, Any]], accepted: int) -> None:
    """The journal has as many receipts as the submitter accepted, each with a number of its own, in order."""
    numbers = [receipt["number"] for receipt in receipts]
    assert numbers == sorted(set(numbers)) and len(numbers) == accepted
