"""Long run: a market of one provider and one submitter through many short jobs, and what is left of them at points on the way.

Both nodes are the product's own cores, stores and answers; only time, net, chain and containers are stood in for.

python -m tests.long.longrun --jobs 10000 --home FOLDER
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from metering.codec import encode
from metering.units import NANOS_PER_SECOND
from tests.long.storedisk import StoreDisk, finish, open_fast
from tests.make.values import ASSET, TOKEN
from tests.sim import clockwork
from tests.sim.containers import Behaviour
from tests.sim.world import World
from xnode.chain.deployment.manifest import Asset
from xnode.console.earnings import earnings
from xnode.console.job import list_jobs
from xnode.console.method import ControlMethod
from xnode.console.present import Presenter
from xnode.console.provider import leases
from xnode.node.records import ENDED, SubmitterJob
from xnode.node.state import make_state
from xnode.store.journal import Journal

SUBMITTER, PROVIDER = 0, 1
AT_ONCE = 10
DEPOSIT = 1_000_000 * TOKEN
RUN_NS = 3 * NANOS_PER_SECOND
PATIENCE_S = 3_000
STEPS = 5
TIMES = 3
"""The least of so many: what a busy host adds is no part of it."""

START = """
import re, sys, time
from pathlib import Path
from tests.long.storedisk import open_fast
from xnode.node.state import make_state
from xnode.store.journal import Journal
begin = time.perf_counter()
loaded = Journal(open_fast(Path(sys.argv[1]))).load_now()
state = make_state(loaded.records)
took = time.perf_counter() - begin
print(took, re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1])
"""


@dataclass(frozen=True, slots=True)
class Point:
    """What both nodes hold after so many jobs. live: records in both states, and live_kb the bytes of them; start_ms, start_mb: a
    fresh process that loads the submitter's store, to its state; list_ms, list_kb: job.list without parameters; last_ms: its last
    page; earnings_ms: provider.earnings by day; files: descriptors of this process; store_kb: of both databases, for each job."""

    jobs: int
    live: int
    live_kb: float
    start_ms: float
    start_mb: float
    list_ms: float
    list_kb: float
    last_ms: float
    earnings_ms: float
    files: int
    store_kb: float


class LongRun:
    """The market, and what can be asked of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.world = _make_world(home)
        self.jobs = 0

    def go_on(self, jobs: int) -> None:
        """Run so many more jobs to their settled end."""
        for number in range(jobs):
            # Nothing of what is over: else this test's own lists would grow.
            self.world.jobs.clear()
            self.world.submit(name=f"short-{self.jobs + number}", behaviour=_behaviour_of(self.jobs + number))
            if number % AT_ONCE == AT_ONCE - 1 or number == jobs - 1:
                self._settle()
        self.jobs += jobs

    def _settle(self) -> None:
        for _ in range(PATIENCE_S):
            self.world.run_for(1)
            if not self._is_busy():
                self.world.behaviours.clear()
                return
        raise AssertionError(f"not settled: {self.world.describe()}")

    def _is_busy(self) -> bool:
        jobs = self.state_of(SUBMITTER).all(SubmitterJob)
        leases = (one for number in (SUBMITTER, PROVIDER) for one in self.world.leases(number))
        return any(one.status not in ENDED for one in jobs) or any(
            one.status not in ("settled", "refused") for one in leases
        )

    def state_of(self, number: int) -> Any:
        loop = self.world.machines[number].loop
        assert loop is not None
        return loop.state

    def store_of(self, number: int) -> Journal:
        disk = self.world.machines[number].disk
        assert isinstance(disk, StoreDisk)
        return disk.journal

    def ask(self, number: int, method: ControlMethod[Any], **params: Any) -> Any:
        """What the node's console answers."""
        state = self.state_of(number)
        console: Any = SimpleNamespace(
            loop=SimpleNamespace(state=state),
            journal=self.store_of(number),
            presenter=Presenter({ASSET: Asset("OPENX", 18, ASSET)}),
            node=SimpleNamespace(chain_problem=lambda: "", fuel=lambda: None),
            require_provider=lambda: state.settings.provider,
        )
        return finish(method.answer(console, msgspec.convert(params, method.params)))  # type: ignore[arg-type]

    def measure(self) -> Point:
        """A point of now."""
        gc.collect()
        records = [one for number in (SUBMITTER, PROVIDER) for one in self.state_of(number).records()]
        start_ms, start_mb = self._start_anew()
        list_ms, page = _time(lambda: self.ask(SUBMITTER, list_jobs))
        last_ms, _ = _time(lambda: self.ask(SUBMITTER, list_jobs, page=max(1, self.jobs // 30)))
        earnings_ms, _ = _time(lambda: self.ask(PROVIDER, earnings, by="day"))
        store = sum(file.stat().st_size for file in self.home.rglob("node.db*"))
        return Point(
            jobs=self.jobs,
            live=len(records),
            live_kb=sum(len(encode(one)) for one in records) / 1e3,
            start_ms=start_ms,
            start_mb=start_mb,
            list_ms=list_ms,
            list_kb=len(msgspec.json.encode(page)) / 1e3,
            last_ms=last_ms,
            earnings_ms=earnings_ms,
            files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
            store_kb=store / 1e3 / max(1, self.jobs),
        )

    def _start_anew(self) -> tuple[float, float]:
        command = [sys.executable, "-c", START, str(self.home / str(SUBMITTER))]
        found = []
        for _ in range(TIMES):
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
            seconds, kilobytes = done.stdout.split()
            found.append((float(seconds) * 1e3, int(kilobytes) / 1e3))
        return min(found)

    def check(self) -> None:
        """What the nodes say of all jobs is what happened: each is listed, and what was earned is what the chain paid."""
        listed = self.ask(SUBMITTER, list_jobs, limit=1)
        served = self.ask(PROVIDER, leases, limit=1)
        view = self.ask(PROVIDER, earnings, by="day", limit=400)
        (total,) = view.rows
        paid = self.world.paid_to(PROVIDER)
        assert (listed.total, served.total, total.leases, view.settled_leases) == (self.jobs,) * 4
        assert Decimal(total.claimed).scaleb(18) == Decimal(total.earned).scaleb(18) == paid > 0
        assert sum(Decimal(one.claimed) for one in view.periods) == Decimal(total.claimed)
        for number in (SUBMITTER, PROVIDER):
            state = make_state(Journal(open_fast(self.home / str(number))).load_now().records)
            assert sorted(map(encode, state.records())) == sorted(map(encode, self.state_of(number).records()))


def _behaviour_of(number: int) -> Behaviour:
    """Most go well; some do not."""
    return Behaviour(run_ns=RUN_NS, exit_code=3 if number % 7 == 6 else 0, start_fails=number % 50 == 49)


def _make_world(home: Path) -> World:
    made = World(seed=1, deposit=DEPOSIT)
    made.make_disk = lambda number: StoreDisk(home / str(number))
    made.add_provider(PROVIDER)
    made.add_submitter(SUBMITTER)
    made.run_for(1)
    return made


def _time(work: Callable[[], Any]) -> tuple[float, Any]:
    """(the least milliseconds, what it gave)."""
    found, result = [], None
    for _ in range(TIMES):
        begin = time.perf_counter()
        result = work()
        found.append((time.perf_counter() - begin) * 1e3)
    return min(found), result


def show_points(points: Sequence[Any]) -> str:
    """Points of one class as a table in Markdown."""
    names = [field.name for field in fields(points[0])]
    rows = [
        [f"{value:,.0f}" if value >= 100 else f"{value:,.1f}".removesuffix(".0") for value in _values(one)]
        for one in points
    ]
    lines = [names, ["---:"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _values(point: Any) -> list[float]:
    return [getattr(point, field.name) for field in fields(point)]


def run(jobs: int, home: Path, steps: int, say: Callable[[str], None]) -> list[Point]:
    """Through so many jobs, with a point after each step."""
    clockwork.MAX_EVENTS = 10_000 * jobs
    market, points = LongRun(home), list[Point]()
    for step in range(1, steps + 1):
        market.go_on(jobs * step // steps - market.jobs)
        points.append(market.measure())
        say(f"{market.jobs:,} jobs: {points[-1]}")
    market.check()
    return points


def tell(text: str) -> None:
    """To who looks on."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xnode-long-") as folder:
        home = (options.home or Path(folder)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        points = run(options.jobs, home, STEPS, tell)
    sys.stdout.write(show_points(points) + "\n")


if __name__ == "__main__":
    main()
