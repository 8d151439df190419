"""Worker: the process that computes for one device, or checks another's: `python -m xnode.capacity.worker NICENESS`.

Requests come on standard input and reports go to standard output, one after the other. Numpy is loaded here and never in the
daemon. When the daemon ends, for any reason, so does this process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue
from typing import BinaryIO, Protocol

from metering.units import Hash32
from xnode.capacity.challenge import make_vector
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.worker_request import (
    LENGTH_BYTES,
    Expect,
    ExpectedMade,
    Failed,
    Multiplied,
    Multiply,
    MultiplyVector,
    OpenRow,
    Report,
    RowOpened,
    Share,
    VectorMultiplied,
    WorkerRequest,
    decode_request,
    encode_frame,
)
from xnode.errors import Permanent


class KeptProduct(Protocol):
    """A product and its tree, in this process's memory or a GPU's."""

    @property
    def root(self) -> Hash32: ...

    def multiply_vector(self, vector: bytes) -> bytes: ...

    def open_row(self, row: int) -> OpenedRow: ...


class Worker:
    """Answers requests; keeps one product until it ends."""

    def __init__(self, report: Callable[[Report], None]) -> None:
        self._report = report
        self._kept: KeptProduct | None = None
        self._n = 0
        self._stack = ExitStack()

    def do(self, request: WorkerRequest) -> Report:
        """Raises Permanent, MemoryError."""
        match request:
            case Multiply():
                return self._multiply(request)
            case MultiplyVector(vector_seed=seed, device=device):
                return VectorMultiplied(self._product.multiply_vector(make_vector(seed, device, self._n)))
            case OpenRow(row=row):
                return RowOpened(self._product.open_row(row))
            case Expect():
                return _expect(request)

    @property
    def _product(self) -> KeptProduct:
        assert self._kept is not None, "nothing was multiplied yet"
        return self._kept

    def _multiply(self, request: Multiply) -> Multiplied:
        begun_ns = time.monotonic_ns()
        self._n = request.n
        self._kept = self._make_on_gpu(request) if request.kind == "gpu" else self._make_on_cpu(request)
        return Multiplied(self._kept.root, time.monotonic_ns() - begun_ns)

    def _make_on_cpu(self, request: Multiply) -> KeptProduct:
        from xnode.capacity.product import make_product

        return make_product(request.seed, request.n, self._on_share)

    def _make_on_gpu(self, request: Multiply) -> KeptProduct:
        from xnode.capacity.cuda_driver import CudaGpu
        from xnode.capacity.cuda_product import KERNEL_ARGS, CudaProduct, read_ptx

        gpu = self._stack.enter_context(CudaGpu(request.ordinal, read_ptx(), KERNEL_ARGS))
        product = CudaProduct(gpu, request.n)
        product.make(request.seed, self._on_share)
        return product

    def _on_share(self, done: float) -> None:
        self._report(Share(done))


def _expect(request: Expect) -> ExpectedMade:
    from xnode.capacity.freivalds import make_expected

    vector = make_vector(request.vector_seed, request.device, request.n)
    expected = make_expected(request.seed, request.n, vector, request.rows)
    return ExpectedMade(expected.vector_product, expected.rows)


def main() -> None:
    """Answer requests until standard input ends."""
    os.nice(int(sys.argv[1]))
    source, sink = sys.stdin.buffer, sys.stdout.buffer

    def send(report: Report) -> None:
        sink.write(encode_frame(report))
        sink.flush()

    worker = Worker(send)
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_requests, args=(source, requests), daemon=True).start()
    while True:
        try:
            report = worker.do(decode_request(requests.get()))
        except Permanent as error:
            report = Failed(error.reason_code, str(error))
        except MemoryError:
            report = Failed("memory", "there is not enough memory for the challenge's matrices")
        send(report)


def _read_requests(source: BinaryIO, requests: SimpleQueue[bytes]) -> None:
    """In a thread of its own, so that the daemon's end is seen in the middle of a product too."""
    while True:
        head = source.read(LENGTH_BYTES)
        payload = source.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else b""
        if not payload:
            os._exit(0)
        requests.put(payload)


if __name__ == "__main__":
    main()
