"""Bench of rest: memory and CPU time of daemons that have nothing to do.

python -m tests.bench.run --only rest
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import psutil

from examples.localnet import Node
from tests.bench.pair import open_pair
from tests.bench.row import Row, judge

SETTLE_S = 80.0
"""For a minute after the last search the book is kept fresh: the node is not at rest yet."""

WATCH_S = 30.0
LOOKS = 15

MEMORY_MB = 150
CPU_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class Rest:
    """memory_mb: resident, millions of bytes; cpu_percent: of one core."""

    memory_mb: float
    cpu_percent: float


def run(say: Callable[[str], None] = print) -> list[Row]:
    """A provider and a submitter that know each other, with no job."""
    with open_pair(say) as pair:
        say(f"letting them come to rest for {SETTLE_S:.0f} s")
        time.sleep(SETTLE_S)
        say(f"watching for {WATCH_S:.0f} s")
        found = _watch((pair.provider, pair.submitter))
    return [_make_row(name, rest) for name, rest in found.items()]


def _watch(nodes: tuple[Node, ...]) -> dict[str, Rest]:
    """Both at once: what one does makes the other work."""
    processes = {node.name: psutil.Process(node.process.pid) for node in nodes if node.process is not None}
    before, begun = {name: _cpu_s(one) for name, one in processes.items()}, time.monotonic()
    memory: dict[str, list[int]] = {name: [] for name in processes}
    for _ in range(LOOKS):
        time.sleep(WATCH_S / LOOKS)
        for name, one in processes.items():
            memory[name].append(one.memory_info().rss)
    took_s = time.monotonic() - begun
    return {
        name: Rest(median(memory[name]) / 1e6, 100 * (_cpu_s(one) - before[name]) / took_s)
        for name, one in processes.items()
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _make_row(name: str, rest: Rest) -> Row:
    return Row(
        what=f"{name}'s daemon at rest, {WATCH_S:.0f} s",
        ours=f"{rest.memory_mb:.0f} MB, {rest.cpu_percent:.1f} % of a core",
        target=f"<= {MEMORY_MB} MB, <= {CPU_PERCENT:.0f} % of a core",
        verdict=judge(rest.memory_mb <= MEMORY_MB and rest.cpu_percent <= CPU_PERCENT),
    )
