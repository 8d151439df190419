"""Containers: the long run on real parts: a chain, two daemons, real containers; what the daemons hold on the way.

python -m tests.long.containers --jobs 200
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from examples.localnet import Localnet, Node, ProviderPlan
from tests.e2e.market import wait_until
from tests.long.longrun import show_points, tell
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.node.records import ENDED

PLAN = ProviderPlan(
    "provider", "eu", {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
    {"vcpus": 2.0, "memory": "2GiB", "disk": "2GiB"}, is_default=True,
)  # fmt: skip
DEPOSIT = "1000"
AT_ONCE = 10
WAIT_S = 600.0

JOB = """\
name: short
image: oci:{image}
command: ["true"]
resources: {{vcpus: 0.1, memory: 16MiB, disk: 4MiB}}
time_limit: 1m
budget: 1 OPENX
"""


@dataclass(frozen=True, slots=True)
class RealPoint:
    """submitter, provider: of each daemon, resident memory and open files; list_ms: `job ls` asked on the socket; store_kb: of
    both databases, for each job."""

    jobs: int
    submitter_mb: float
    submitter_files: int
    provider_mb: float
    provider_files: int
    list_ms: float
    earnings_ms: float
    store_kb: float


def run(jobs: int, steps: int, say: Callable[[str], None]) -> list[RealPoint]:
    """Through so many jobs, a few at once, with a point after each step."""
    points: list[RealPoint] = []
    with _open_net(say) as (net, submitter, provider):
        text = {"job": JOB.format(image=make_busybox_layout()), "filename": "job.yaml", "base_dir": str(net.folder)}
        placed = 0
        for step in range(1, steps + 1):
            while placed < jobs * step // steps:
                count = min(AT_ONCE, jobs * step // steps - placed)
                for _ in range(count):
                    submitter.control.call("job.submit", text)
                placed += count
                _wait(lambda: _count_live(submitter) == 0, "not all jobs have ended", submitter)
            # Until then containers and their pipes are being taken down.
            _wait(partial(_is_settled, provider, placed), "not all leases are settled", provider)
            points.append(_measure(net, submitter, provider, placed))
            say(f"{placed} jobs: {points[-1]}")
        (total,) = provider.control.call("provider.earnings")["rows"]
        assert total["leases"] == placed and total["earned"] == total["claimed"], total
    return points


@contextmanager
def _open_net(say: Callable[[str], None]) -> Iterator[tuple[Localnet, Node, Node]]:
    with tempfile.TemporaryDirectory(prefix="xnode-long-") as folder, Localnet(Path(folder) / "net", say) as net:
        net.start_chain()
        provider = net.add_provider(PLAN)
        net.start(provider)
        submitter = net.add_submitter("submitter", DEPOSIT, net.bootstrap_of(provider), is_default=True)
        net.start(submitter)
        _wait(lambda: bool(submitter.control.call("offer.list")), "the provider's offer was not found", submitter)
        yield net, submitter, provider


def _measure(net: Localnet, submitter: Node, provider: Node, jobs: int) -> RealPoint:
    folders = (net.folder / name / "data" for name in ("submitter", "provider"))
    size = sum(file.stat().st_size for folder in folders for file in folder.glob("*.db*"))
    (submitter_mb, submitter_files), (provider_mb, provider_files) = (_look_at(one) for one in (submitter, provider))
    return RealPoint(
        jobs, submitter_mb, submitter_files, provider_mb, provider_files,
        _time(lambda: submitter.control.call("job.list")), _time(lambda: provider.control.call("provider.earnings")),
        size / 1e3 / jobs,
    )  # fmt: skip


def _look_at(node: Node) -> tuple[float, int]:
    """(megabytes, open files) of the daemon."""
    process = Path("/proc") / str(node.control.call("node.status")["pid"])
    pages = int((process / "statm").read_text().split()[1])
    return pages * 4096 / 1e6, sum(1 for _ in (process / "fd").iterdir())


def _time(ask: Callable[[], object]) -> float:
    begin = time.perf_counter()
    ask()
    return (time.perf_counter() - begin) * 1e3


def _count_live(submitter: Node) -> int:
    rows = submitter.control.call("job.list", {"limit": 4 * AT_ONCE})["rows"]
    failed = [row for row in rows if row["state"] == "failed"]
    assert not failed, failed
    return sum(row["state"] not in ENDED for row in rows)


def _is_settled(provider: Node, jobs: int) -> bool:
    return bool(provider.control.call("provider.earnings")["settled_leases"] == jobs)


def _wait(is_so: Callable[[], bool], what: str, node: Node) -> None:
    wait_until(is_so, f"{what}; see {node.home.log}", WAIT_S)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    points = run(parser.parse_args().jobs, 4, tell)
    sys.stdout.write(show_points(points) + "\n")


if __name__ == "__main__":
    main()
