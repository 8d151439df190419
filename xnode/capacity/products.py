"""Products: all devices of a challenge computed at once, each in its own process, and kept while verifiers may ask."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import psutil
import trio

from metering.units import Hash32
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.worker_request import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    Failed,
    Kind,
    Multiplied,
    Multiply,
    MultiplyVector,
    OpenRow,
    Report,
    RowOpened,
    Share,
    VectorMultiplied,
    WorkerRequest,
    decode_report,
    encode_frame,
)
from xnode.errors import Permanent
from xnode.extras import require_module
from xnode.repeated_event import RepeatedEvent

ONE_THREAD = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")}
"""One process is one vCPU: whichever BLAS numpy was built with must not use more."""

WORKER_BYTES = 64 << 20
"""An interpreter with numpy, and the blocks it multiplies."""

OnShare = Callable[[int, float], None]
"""(device, how much of its product is done, 0 to 1)."""


@dataclass(frozen=True, slots=True)
class DeviceTask:
    """One device's part of a challenge. ordinal: the GPU's number on this host; no meaning for vCPUs."""

    device: int
    kind: Kind
    ordinal: int
    seed: Hash32
    n: int


@dataclass(slots=True)
class WorkerProcess:
    """A worker as the daemon sees it: one request at a time. A caller may give up waiting; the request is completed still."""

    _process: trio.Process
    _lock: trio.Lock = field(default_factory=trio.Lock)
    _buffer: bytearray = field(default_factory=bytearray)
    _unread: int = 0
    """Ends of requests whose callers gave up, still to come."""

    async def do(self, request: WorkerRequest, on_share: Callable[[float], None] = lambda _done: None) -> Report:
        """The report that ends the request. Raises Permanent when the worker fails or falls."""
        async with self._lock:
            try:
                report = await self._exchange(request, on_share)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise Permanent("a worker process of the challenge ended early; see the log", code="worker") from None
        if isinstance(report, Failed):
            raise Permanent(report.reason, code=report.code)
        return report

    async def _exchange(self, request: WorkerRequest, on_share: Callable[[float], None]) -> Report:
        assert self._process.stdin is not None
        with trio.CancelScope(shield=True):
            # Small enough for the pipe: half a request would end the worker's understanding of us.
            await self._process.stdin.send_all(encode_frame(request))
        self._unread += 1
        while True:
            report = await self._receive()
            if isinstance(report, Share):
                on_share(report.done)
                continue
            self._unread -= 1
            if not self._unread:
                return report

    async def _receive(self) -> Report:
        """The next report; nothing of it is lost to a cancellation."""
        assert self._process.stdout is not None
        while True:
            end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
            if len(self._buffer) >= LENGTH_BYTES and end <= len(self._buffer):
                payload = bytes(self._buffer[LENGTH_BYTES:end])
                del self._buffer[:end]
                return decode_report(payload)
            assert end <= LENGTH_BYTES + MAX_FRAME_BYTES
            data = await self._process.stdout.receive_some()
            if not data:
                raise trio.BrokenResourceError
            self._buffer += data


@asynccontextmanager
async def open_worker(*, niceness: int = 0) -> AsyncIterator[WorkerProcess]:
    """A worker process; killed when the block is left, in any state. Raises Permanent without numpy."""
    require_module("numpy", "a capacity challenge")
    command = [sys.executable, "-m", "xnode.capacity.worker", str(niceness)]
    process = await trio.lowlevel.open_process(command, stdin=-1, stdout=-1, env={**os.environ, **ONE_THREAD})
    try:
        yield WorkerProcess(process)
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()


class Products:
    """The devices' products, under way or kept. Only open_products makes one."""

    def __init__(self, tasks: Sequence[DeviceTask]) -> None:
        self.tasks = {task.device: task for task in tasks}
        self._workers: dict[int, WorkerProcess] = {}
        self._results: dict[int, Multiplied | Permanent] = {}
        self._changed = RepeatedEvent()

    async def wait_roots(self, devices: Sequence[int]) -> tuple[Hash32, ...]:
        """The roots of these devices, once all have them. Raises Permanent when one failed."""
        while True:
            results = [self._results.get(device) for device in devices]
            for result in results:
                if isinstance(result, Permanent):
                    raise Permanent(str(result), code=result.reason_code)
            roots = tuple(result.root for result in results if isinstance(result, Multiplied))
            if len(roots) == len(results):
                return roots
            await self._changed.wait()

    async def multiply_vector(self, device: int, vector_seed: Hash32) -> bytes:
        """As Product.multiply_vector, of a device whose root is there."""
        report = await self._workers[device].do(MultiplyVector(vector_seed, device))
        assert isinstance(report, VectorMultiplied)
        return report.product

    async def open_row(self, device: int, row: int) -> OpenedRow:
        """A row of a device whose root is there."""
        report = await self._workers[device].do(OpenRow(row))
        assert isinstance(report, RowOpened)
        return report.opened

    async def _run(self, task: DeviceTask, on_share: OnShare, finished: trio.Event) -> None:
        try:
            async with open_worker() as worker:
                self._workers[task.device] = worker
                request = Multiply(task.kind, task.ordinal, task.seed, task.n)
                try:
                    report = await worker.do(request, partial(on_share, task.device))
                    assert isinstance(report, Multiplied)
                    self._settle(task.device, report)
                except Permanent as error:
                    self._settle(task.device, error)
                await finished.wait()
        except OSError as error:
            self._settle(task.device, Permanent(f"no worker process can be started: {error.strerror}", code="worker"))

    def _settle(self, device: int, result: Multiplied | Permanent) -> None:
        self._results[device] = result
        self._changed.set()


@asynccontextmanager
async def open_products(
    tasks: Sequence[DeviceTask], on_share: OnShare = lambda _device, _done: None
) -> AsyncIterator[Products]:
    """Computes all devices of the host at the same time, from now on; everything ends when the block is left.

    Raises Permanent when the host has too little memory for that many, or no numpy.
    """
    require_module("numpy", "a capacity challenge")
    check_memory(tasks)
    products = Products(tasks)
    async with trio.open_nursery() as nursery:
        finished = trio.Event()
        for task in tasks:
            nursery.start_soon(products._run, task, on_share, finished)
        try:
            yield products
        finally:
            nursery.cancel_scope.cancel()


def check_memory(tasks: Sequence[DeviceTask]) -> None:
    """Raises Permanent when the products do not fit what memory is free: better no answer than a workload that is killed."""
    need = sum(count_host_bytes(task) for task in tasks)
    free = psutil.virtual_memory().available
    if need > free:
        raise Permanent(
            f"the challenge's matrices take {need >> 20} MiB of memory, {free >> 20} MiB are free", code="memory"
        )


def count_host_bytes(task: DeviceTask) -> int:
    """Memory of the host that a device's computation takes at most."""
    if task.kind == "gpu":
        return WORKER_BYTES
    # B, the product, its tree, and the hashes of the leaves once more while the tree is made.
    return WORKER_BYTES + (5 * 4 + 2) * task.n * task.n // 4
