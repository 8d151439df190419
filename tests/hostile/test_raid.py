"""Strangers at the doors of both sides under default settings: no lease ends, newcomers are served, nothing fills up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.localnet import Node
from tests.e2e.ledger import Money
from tests.e2e.market import make_request, wait_until
from tests.field.conftest import ROOT
from tests.field.field import Field, open_field
from tests.field.test_restarts import say
from tests.field.verdict import check_evidence, check_job
from tests.hostile.strangers import SOCKETS
from tests.hostile.watch import MIB, Costs, p99_of, read_costs, read_waits, show_waits
from xnode.text.hex import to_hex

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

HOME = Path(f"/dev/shm/xnode-hostile{str(ROOT).replace('/', '-')}")

NEWCOMER_S = 10.0
"""From the submission of a job by a node that nobody knew to the start of its workload."""

MOST_MEMORY = 64 * MIB
MOST_DISK = 32 * MIB
MOST_SLOWER = 2.0
"""Of the receipts' p99 against the same leases undisturbed."""

LEAST_P99_S = 0.5
"""On a quiet host a voucher comes in hundredths of a second, and twice that is nobody's trouble."""

END_WAIT_S = 30.0
NEWCOMER_DEPOSIT = "10"

JOB = """\
name: {name}
image: oci:{image}
command: [echo, here]
resources: {{vcpus: 0.1, memory: 64MiB, disk: 16MiB}}
time_limit: 1m
budget: 1 OPENX
"""


@dataclass(frozen=True, slots=True)
class Size:
    """seconds: of the raid; calm_s: before it, to compare with; is_timed: the host has nothing else to do, so that times say
    something."""

    seconds: float
    leases: int
    newcomers: int
    calm_s: float
    is_timed: bool = True


def read_size() -> Size:
    """HOSTILE_MINUTES and HOSTILE_LEASES; ten of both without a word."""
    minutes = float(os.environ.get("HOSTILE_MINUTES", "10"))
    return Size(minutes * 60, int(os.environ.get("HOSTILE_LEASES", "10")), max(1, round(minutes)), 60.0)


@contextmanager
def raiding(field: Field, targets: list[Node], seconds: float) -> Iterator[None]:
    """One process of strangers for each target, as long as this is open; they yield to the host's other work."""
    separator = to_hex(field.market.ledger.manifest.domain.separator())
    with ExitStack() as stack:
        raids = []
        for node in targets:
            status = node.control.call("node.status")
            words = (status["multiaddrs"][0], separator, f"{seconds:g}")
            command = ("nice", "-n", "10", sys.executable, "-W", "ignore", "-m", "tests.hostile.strangers", *words)
            raids.append(stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)))
            stack.callback(raids[-1].kill)
        for one in raids:
            assert one.stdout is not None and one.stdout.readline() == "begun\n"
        yield
        for node, one in zip(targets, raids, strict=True):
            out, _ = one.communicate(timeout=seconds + END_WAIT_S)
            done = json.loads(out)
            say(f"{node.name} bore {', '.join(f'{count} {what}' for what, count in sorted(done.items()))}")
            # Those who keep every door shut shut each other out as well.
            assert done.get("sockets", 0) > SOCKETS and len(done) > 1, done


def run_raid(size: Size, folder: Path) -> None:
    """Leases, calm, raid, newcomers in the middle of it, and what it cost."""
    image = ROOT / ".cache" / "images" / "python"
    with open_field(HOME, image, load=0, say=say) as field:
        before = field.read_money()
        lasts = size.calm_s + size.seconds + 30.0 + 5.0 * size.leases
        for number in range(size.leases):
            field.place(f"job-{number}", lasts)
            if number == 0:
                field.wait_running()
        field.wait_running()
        provider, submitter = field.market.provider, field.market.submitter
        newcomers = [
            field.net.add_submitter(
                f"newcomer-{number}", NEWCOMER_DEPOSIT, field.net.bootstrap_of(provider), is_default=True
            )
            for number in range(size.newcomers)
        ]
        say(f"{size.leases} jobs run; {size.calm_s:g} s of calm")
        calm_since_ns = time.time_ns()
        time.sleep(size.calm_s)
        waits = read_waits(provider, calm_since_ns)
        say(f"{len(waits)} receipts: {show_waits(waits)}")
        calm = p99_of(waits)
        nodes = [provider, submitter]
        costs = [read_costs(node) for node in nodes]
        took: list[float] = []
        with raiding(field, nodes, size.seconds):
            raid_since_ns = time.time_ns()
            pause_s = size.seconds / (size.newcomers + 1)
            for node in newcomers:
                time.sleep(pause_s)
                took.append(place_as_newcomer(field, node, image))
                say(f"{node.name}: its workload ran after {took[-1]:.1f} s")
                field.look()
            time.sleep(max(0.0, size.seconds - (time.time_ns() - raid_since_ns) / 1e9))
            waits = read_waits(provider, raid_since_ns)
            say(f"{len(waits)} receipts: {show_waits(waits)}")
            raided = p99_of(waits)
            cost = [read_costs(node) - was for node, was in zip(nodes, costs, strict=True)]
        say(show_row(size, field, calm, raided, took, cost))
        field.wait_ended(lasts + 300)
        check_costs(cost)
        if size.is_timed:
            check_times(calm, raided, took)
        judge_raid(field, before, folder)


def place_as_newcomer(field: Field, node: Node, image: Path) -> float:
    """Start a node that nobody knows, and place a job with it: seconds from submission to its workload's start."""
    field.net.start(node)
    path = field.net.folder / "jobs" / f"{node.name}.yaml"
    path.write_text(JOB.format(name=node.name, image=image))
    begun = time.monotonic()
    job_id = node.control.call("job.submit", make_request(path), deadline_s=120)["job_id"]

    def runs() -> bool:
        timeline = node.control.call("job.show", {"job_id": job_id})["timeline"]
        return any(one["what"] in ("launch", "end") for one in timeline)

    wait_until(runs, f"{node.name}'s job runs", 120)
    took_s = time.monotonic() - begun
    ended = node.control.call("job.wait", {"job_id": job_id, "settled": True}, deadline_s=120)
    assert ended["job"]["state"] == "done", ended
    field.net.stop(node)
    return took_s


def check_costs(costs: list[Costs]) -> None:
    """What strangers may fill."""
    assert all(each.memory <= MOST_MEMORY and each.disk <= MOST_DISK for each in costs), costs


def check_times(calm: float, raided: float, took: list[float]) -> None:
    """What others may feel of them."""
    assert raided <= max(MOST_SLOWER * calm, LEAST_P99_S), (
        f"p99 of receipts {calm:.3f} s, and {raided:.3f} s under the raid"
    )
    assert all(each <= NEWCOMER_S for each in took), took


def judge_raid(field: Field, before: Money, folder: Path) -> None:
    """No lease lost, none wrongly charged; what newcomers paid the provider is beside it."""
    assert not field.lost, field.describe()
    cost = sum(check_job(name, job) for name, job in field.jobs.items())
    after = field.read_money()
    assert before.free - after.free == cost and after.held == after.owed
    assert after.payout - before.payout >= cost
    check_evidence(field, folder)


def show_row(size: Size, field: Field, calm: float, raided: float, took: list[float], costs: list[Costs]) -> str:
    """The run as a row of docs/hostile.md."""
    cells = (
        time.strftime("%Y-%m-%d"),
        f"`HOSTILE_MINUTES={size.seconds / 60:g} HOSTILE_LEASES={size.leases} make test-hostile`",
        f"{len(field.lost)} of {len(field.jobs)}",
        f"{1000 * calm:.0f} -> {1000 * raided:.0f} ms",
        f"{max(took):.1f} s of {len(took)}",
        "; ".join(str(each) for each in costs),
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.usefixtures("image")
def test_strangers_end_no_lease_and_shut_nobody_out(tmp_path: Path) -> None:
    run_raid(Size(seconds=30.0, leases=2, newcomers=1, calm_s=10.0, is_timed=False), tmp_path)


@pytest.mark.field_long
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("image")
def test_ten_minutes_of_strangers_end_no_lease(tmp_path: Path) -> None:
    run_raid(read_size(), tmp_path)
