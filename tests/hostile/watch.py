"""Watch: what a raid costs a node: its memory and its disk, and how long its receipts wait for their vouchers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from examples.localnet import Node
from metering.units import Hash32
from tests.e2e.market import read_journal
from xnode.node.changes import UsageRead, VoucherReceived

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Costs:
    """Bytes."""

    memory: int
    disk: int

    def __sub__(self, before: Costs) -> Costs:
        return Costs(self.memory - before.memory, self.disk - before.disk)

    def __str__(self) -> str:
        return f"{self.memory / MIB:+.0f} MiB memory, {self.disk / MIB:+.1f} MiB disk"


def read_costs(node: Node) -> Costs:
    """What a node takes now. Its containers' disks are sold, and not counted."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    data = node.home.data
    return Costs(int(kib) << 10, sum(_sizes(data)) + _size_of(node.home.log))


def _sizes(folder: Path) -> Iterable[int]:
    for place, folders, files in os.walk(folder):
        if "engine" in folders:
            folders.remove("engine")
        yield from (_size_of(Path(place) / name) for name in files)


def _size_of(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.lstat().st_blocks * 512
    return 0


def read_waits(provider: Node, since_ns: int) -> list[float]:
    """Seconds from each reading of a lease's counters since then to the voucher that answered it, sorted; one that was
    never answered waits until now."""
    read: dict[Hash32, list[int]] = {}
    waits: list[float] = []
    last_ns = since_ns
    for entry in read_journal(provider, UsageRead, VoucherReceived):
        change = entry.change
        last_ns = max(last_ns, entry.at_ns)
        if isinstance(change, UsageRead) and entry.at_ns >= since_ns:
            read.setdefault(change.lease_id, []).append(entry.at_ns)
        elif isinstance(change, VoucherReceived):
            waits += [(entry.at_ns - at_ns) / 1e9 for at_ns in read.pop(change.lease_id, [])]
    waits += [(last_ns - at_ns) / 1e9 for left in read.values() for at_ns in left]
    return sorted(waits)


def show_waits(waits: list[float]) -> str:
    """Of sorted seconds, how they are spread."""
    parts = ((f"p{part}", waits[min(len(waits) - 1, len(waits) * part // 100)]) for part in (50, 90, 99))
    return ", ".join(f"{name} {1000 * wait:.0f} ms" for name, wait in (*parts, ("slowest", waits[-1])))


def p99_of(waits: list[float]) -> float:
    """Of sorted seconds."""
    return waits[min(len(waits) - 1, len(waits) * 99 // 100)]
