"""Kept products: recorded answers computed again, each once for all who ask for leaves of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import inf

import trio

from metering.capacity import LEAF_COLUMNS, ElementProof
from metering.units import Hash32
from xnode.capacity.opened_row import OpenedRow, prove_leaf
from xnode.capacity.products import DeviceTask, WorkerProcess, check_memory, count_host_bytes, open_worker
from xnode.capacity.worker_request import Multiplied, Multiply, OpenRow, RowOpened
from xnode.errors import Permanent, Retryable
from xnode.ports.reveals import DemandedLeaf

NICENESS = 10
"""The products are computed again beside workloads, which go first."""

COMPUTE_S = 3_600.0
"""For one device: the largest product there is, on a slow core."""

OPEN_S = 600.0
"""For the leaves of one device."""

MAX_KEPT_BYTES = 2 << 30
"""Of all products that are kept; one that is larger is kept alone."""

GATHER_S = 600.0
"""A product that was let go is not computed again before: who asks for one leaf after another gets them together."""

MAX_LET_GO = 4_096
"""Products whose end is remembered: more than all devices of the challenges of two days."""

Key = tuple[Hash32, int]
"""(challenge, device)."""


class TooSoon(Retryable):
    """Computed a moment ago, and let go. until: when it will be computed again, by trio's clock."""

    def __init__(self, message: str, until: float) -> None:
        self.until = until
        super().__init__(message)


@dataclass(slots=True)
class _Kept:
    stack: AsyncExitStack
    worker: WorkerProcess
    task: DeviceTask
    root: Hash32


class KeptProducts:
    """A worker process for each product that is kept. GPUs are not kept: their memory is for leases."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._let_go: OrderedDict[Key, float] = OrderedDict()
        self.computed = 0

    async def prove(
        self, key: Key, task: DeviceTask, leaves: Sequence[DemandedLeaf]
    ) -> dict[DemandedLeaf, ElementProof]:
        """The leaves that are under the root that this host computes, with their paths; others are left out.

        Raises Permanent when it cannot be computed here now, TooSoon right after it was let go.
        """
        kept = await self._take(key, task)
        try:
            with trio.move_on_after(OPEN_S):
                return await _open_leaves(kept, leaves)
            raise Permanent(f"device {task.device} did not show its leaves within {OPEN_S:g} s", code="worker")
        except Permanent:
            await self._drop(key)
            raise
        finally:
            if task.kind == "gpu":
                await self._drop(key)

    async def keep_only(self, keys: Iterable[Key]) -> None:
        """Let go of all other products."""
        wanted = set(keys)
        for key in [key for key in self._kept if key not in wanted]:
            await self._drop(key)

    async def _take(self, key: Key, task: DeviceTask) -> _Kept:
        kept = self._kept.get(key)
        if kept is not None and kept.task == task:
            self._kept.move_to_end(key)
            return kept
        until = self._let_go.get(key, -inf) + GATHER_S
        if trio.current_time() < until:
            raise TooSoon(f"device {task.device} was computed a moment ago; what is asked of it now is gathered", until)
        await self._drop(key)
        await self._make_room(task)
        self._kept[key] = kept = await self._compute(task)
        return kept

    async def _compute(self, task: DeviceTask) -> _Kept:
        check_memory((task,))
        async with AsyncExitStack() as stack:
            with trio.move_on_after(COMPUTE_S):
                worker = await stack.enter_async_context(open_worker(niceness=NICENESS))
                made = await worker.do(Multiply(task.kind, task.ordinal, task.seed, task.n))
                assert isinstance(made, Multiplied)
                self.computed += 1
                return _Kept(stack.pop_all(), worker, task, made.root)
        raise Permanent(f"device {task.device} did not compute its product again within {COMPUTE_S:g} s", code="worker")

    async def _make_room(self, task: DeviceTask) -> None:
        need = count_host_bytes(task)
        while self._kept and need + sum(count_host_bytes(one.task) for one in self._kept.values()) > MAX_KEPT_BYTES:
            await self._drop(next(iter(self._kept)))

    async def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self._let_go[key] = trio.current_time()
        self._let_go.move_to_end(key)
        while len(self._let_go) > MAX_LET_GO:
            self._let_go.popitem(last=False)
        await kept.stack.aclose()


async def _open_leaves(kept: _Kept, leaves: Sequence[DemandedLeaf]) -> dict[DemandedLeaf, ElementProof]:
    n, expected, proofs = kept.task.n, (kept.root, kept.task.seed, kept.task.n), {}
    row, opened = -1, OpenedRow(b"", (), ())
    for leaf in sorted(set(leaves), key=lambda one: one.index):
        if (leaf.root, leaf.seed, leaf.n) != expected:
            continue
        if leaf.index // (n // LEAF_COLUMNS) != row:
            row = leaf.index // (n // LEAF_COLUMNS)
            report = await kept.worker.do(OpenRow(row))
            assert isinstance(report, RowOpened)
            opened = report.opened
        proofs[leaf] = prove_leaf(n, leaf.index, opened)
    return proofs
