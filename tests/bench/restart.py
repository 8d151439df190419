"""Bench of a restart: from the start of a provider's process under many leases until all of them are taken up, and paid, again.

python -m tests.bench.run --only restart
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from examples.localnet import Localnet, Node, ProviderPlan
from metering.codec import decode
from metering.units import Hash32
from tests.bench.row import Row, judge, show_times
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.errors import UserError
from xnode.node.records import ProviderLease
from xnode.node.state import kind_of

LEASES = 100
TIMES = 5
AT_ONCE = 10
"""Placed together: a provider holds only so many quotes for one submitter."""

DOWN_S = 6.0
"""Longer than an interval: every lease has its next receipt due when the daemon is back."""

ALL_S = 2.0

PLAN = ProviderPlan(
    "provider", "eu", {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 2.0, "memory": "2GiB", "disk": "2GiB"}, is_default=True,
)  # fmt: skip
DEPOSIT = "1000"

JOB = """\
name: sleeper
image: oci:{image}
command: [sleep, "3600"]
resources: {{vcpus: 0.02, memory: 8MiB, disk: 2MiB}}
time_limit: 2h
budget: 1 OPENX
"""

FLOOR = "import trio, libp2p, libp2p.kad_dht.kad_dht, sqlalchemy, pydantic_settings, structlog, eth_abi, coincurve, starlette"
"""The libraries that a provider's daemon stands on, and nothing else."""

_LOOK_EVERY_S = 0.05
_WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Restart:
    """Seconds from the start of the process. to_read: the last lease's counters are read and stated in a new receipt, which is
    on the disk; to_paid: the last lease's receipt
    is answered by a voucher; to_control: the control socket answers."""

    to_read_s: float
    to_paid_s: float
    to_control_s: float


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Kill and start it some times, with a start of the bare libraries after each."""
    with _open_crowd(say) as (net, provider):
        restarts, floors = [], []
        for number in range(TIMES):
            restarts.append(_time_restart(net, provider))
            floors.append(_time_floor())
            say(f"restart {number + 1} of {TIMES}: {restarts[-1].to_paid_s:.2f} s, libraries {floors[-1]:.2f} s")
    taken_up = median(one.to_read_s for one in restarts)
    return [
        Row(
            what=f"kill -9 of a provider under {LEASES} leases: process start to a new receipt of each stored, {TIMES} times",
            ours=f"{taken_up:.2f} s (the last one's paid after {median(one.to_paid_s for one in restarts):.2f} s, "
            f"control socket up after {median(one.to_control_s for one in restarts):.2f} s)",
            other=f"Python importing the same libraries and ending: {median(floors):.2f} s",
            ratio=show_times(taken_up / median(floors)),
            target=f"<= {ALL_S:.0f} s",
            verdict=judge(taken_up <= ALL_S),
        )
    ]


@contextmanager
def _open_crowd(say: Callable[[str], None]) -> Iterator[tuple[Localnet, Node]]:
    """A provider with so many real containers, each of them paid."""
    say("starting a chain, a provider and a submitter")
    with tempfile.TemporaryDirectory(prefix="xnode-bench-") as folder, Localnet(Path(folder) / "net", say) as net:
        net.start_chain()
        provider = net.add_provider(PLAN)
        net.start(provider)
        submitter = net.add_submitter("submitter", DEPOSIT, net.bootstrap_of(provider), is_default=True)
        net.start(submitter)
        _wait(lambda: bool(submitter.control.call("offer.list")), "the provider's offer was not found", submitter)
        job = {"job": JOB.format(image=make_busybox_layout()), "filename": "job.yaml", "base_dir": str(net.folder)}
        say(f"placing {LEASES} jobs")
        submitter.control.call("job.submit", job)
        _wait(lambda: _count_paid(provider) > 0, "the first job is not paid", provider)
        while (paid := _count_paid(provider)) < LEASES:
            for _ in range(min(AT_ONCE, LEASES - paid)):
                submitter.control.call("job.submit", job)
            _wait(lambda: _is_placed(submitter, provider), "not all jobs are paid", provider)
            say(f"{_count_paid(provider)} of {LEASES} run")
        yield net, provider


def _time_restart(net: Localnet, provider: Node) -> Restart:
    net.kill(provider)
    time.sleep(DOWN_S)
    before = _read_leases(provider)
    begun, to_read_s, to_control_s = time.monotonic(), 0.0, 0.0
    net.begin(provider)
    while True:
        now = _read_leases(provider)
        if all(now[lease_id].covered.number > was.last.number for lease_id, was in before.items()):
            break
        if not to_read_s and all(now[lease_id].last.number > was.last.number for lease_id, was in before.items()):
            to_read_s = time.monotonic() - begun
        if not to_control_s and provider.control.is_up():
            to_control_s = time.monotonic() - begun
        if time.monotonic() - begun > _WAIT_S:
            raise UserError("the leases were not taken up again", where=str(provider.home.log))
        time.sleep(_LOOK_EVERY_S)
    to_paid_s = time.monotonic() - begun
    return Restart(to_read_s or to_paid_s, to_paid_s, to_control_s or to_paid_s)


def _time_floor() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", FLOOR], check=True, timeout=_WAIT_S)
    return time.monotonic() - begun


def _count_paid(provider: Node) -> int:
    """How many leases run whose first receipts are paid."""
    return sum(lease.status == "running" and lease.covered.number > 0 for lease in _read_leases(provider).values())


def _is_placed(submitter: Node, provider: Node) -> bool:
    """Every job has either failed or is paid."""
    rows = submitter.control.call("job.list", {"limit": 1000})["rows"]
    return sum(row["state"] not in ("failed", "stopped", "done") for row in rows) <= _count_paid(provider)


def _read_leases(provider: Node) -> dict[Hash32, ProviderLease]:
    """The open leases as they are on the provider's disk now."""
    query = "select value from record where kind = ? and is_live"
    with closing(sqlite3.connect(f"file:{provider.home.data / 'xnode.db'}?mode=ro", uri=True)) as database:
        rows = database.execute(query, (kind_of(ProviderLease),)).fetchall()
    leases = (decode(value, ProviderLease) for (value,) in rows)
    return {lease.lease_id: lease for lease in leases}


def _wait(is_so: Callable[[], bool], what: str, node: Node) -> None:
    end = time.monotonic() + _WAIT_S
    while not is_so():
        if time.monotonic() > end:
            raise UserError(what, where=str(node.home.log))
        time.sleep(_LOOK_EVERY_S)
