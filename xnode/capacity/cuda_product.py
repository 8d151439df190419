"""CUDA product: a device's whole answer computed and kept on an NVIDIA GPU. Only worker processes import it.

Takes 6.25 n^2 bytes of the GPU's memory: n^2 each for A and B, 4 n^2 for the product, n^2 / 4 for the tree.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metering.capacity import count_leaves, count_levels
from metering.units import Hash32
from xnode.capacity.challenge import VECTOR_BYTES, check_size
from xnode.capacity.cuda_driver import Gpu
from xnode.capacity.matrices import split_seed
from xnode.capacity.opened_row import OpenedRow
from xnode.capacity.tree import HASH_BYTES, find_row_span, make_empty_hashes
from xnode.errors import Permanent

TILE = 128
"""Rows and columns of the product that one block of threads computes (TILE in kernels.cu)."""

STRIP_ROWS = 1024
"""Rows multiplied by one launch: a display driver ends launches of seconds, and the worker says how far it is."""

THREADS = 256
MAX_BLOCKS = 65_535

_PTR, _U64, _U32 = ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32

KERNEL_ARGS: dict[str, tuple[type[ctypes._SimpleCData[int]], ...]] = {
    "expand": (_PTR, _U64, _U64, _U64),
    "multiply": (_PTR, _PTR, _PTR, _U32, _U32),
    "multiply_vector": (_PTR, _PTR, _PTR, _U32),
    "hash_leaves": (_PTR, _PTR, _U64, _U64),
    "hash_nodes": (_PTR, _PTR, _U64, _U64, _U64, _U64, _U64),
}
"""The parameters of each kernel in kernels.cu, in order."""


def read_ptx() -> bytes:
    """The kernels as the driver takes them."""
    return (Path(__file__).parent / "cuda" / "kernels.ptx").read_bytes()


def count_gpu_bytes(n: int) -> int:
    """Device memory that a product takes."""
    return 6 * n * n + sum(_level_sizes(n)) + (VECTOR_BYTES + 8) * n


class CudaProduct:
    """As xnode.capacity.product.Product, on a GPU. make() first."""

    def __init__(self, gpu: Gpu, n: int) -> None:
        """Takes the memory. Raises Permanent when there is too little."""
        check_size(n)
        need, free = count_gpu_bytes(n), gpu.free_bytes()
        if need > free:
            raise Permanent(f"n = {n} takes {need >> 20} MiB of GPU memory, {free >> 20} are free", code="gpu_memory")
        self._gpu, self.n = gpu, n
        self._rows, self._columns = gpu.allocate(n * n), gpu.allocate(n * n)
        self._elements = gpu.allocate(4 * n * n)
        self._levels = [gpu.allocate(size) for size in _level_sizes(n)]
        self._vector, self._by_vector = gpu.allocate(VECTOR_BYTES * n), gpu.allocate(8 * n)
        self._empty = make_empty_hashes(count_levels(count_leaves(n)))

    def make(self, seed: Hash32, on_share: Callable[[float], None] = lambda _share: None) -> None:
        """Compute product and tree."""
        n = self.n
        for address, word in zip((self._rows, self._columns), split_seed(seed), strict=True):
            self._launch("expand", n * n // 8, (address, word, 0, n * n // 8))
        for first in range(0, n, STRIP_ROWS):
            count = min(STRIP_ROWS, n - first)
            grid = (n // TILE, count // TILE)
            self._gpu.launch("multiply", grid, THREADS, (self._rows, self._columns, self._elements, n, first))
            start, leaves = find_row_span(n, first)
            self._launch("hash_leaves", leaves * count, (self._elements, self._levels[0], start, leaves * count))
            self._gpu.wait()
            on_share((first + count) / n)
        self._make_tree()

    def _make_tree(self) -> None:
        sizes = _level_sizes(self.n)
        for level, (below, out) in enumerate(zip(self._levels, self._levels[1:], strict=False)):
            empty = np.frombuffer(self._empty[level], dtype="<u8").tolist()
            count = sizes[level] // HASH_BYTES
            self._launch("hash_nodes", (count + 1) // 2, (below, out, count, *empty))
        self._gpu.wait()

    def _launch(self, kernel: str, work: int, args: Sequence[int]) -> None:
        blocks = min(MAX_BLOCKS, -(-work // THREADS))
        self._gpu.launch(kernel, (blocks, 1), THREADS, args)

    @property
    def root(self) -> Hash32:
        """What the node signs."""
        return Hash32(self._gpu.read(self._levels[-1], HASH_BYTES))

    def multiply_vector(self, vector: bytes) -> bytes:
        """As Product.multiply_vector."""
        self._gpu.write(self._vector, vector)
        args = (self._elements, self._vector, self._by_vector, self.n)
        self._gpu.launch("multiply_vector", (self.n, 1), THREADS, args)
        self._gpu.wait()
        return np.frombuffer(self._gpu.read(self._by_vector, 8 * self.n), dtype="<u8").astype(">u8").tobytes()

    def open_row(self, row: int) -> OpenedRow:
        """As Product.open_row."""
        data = self._gpu.read(self._elements + 4 * self.n * row, 4 * self.n)
        first, count = find_row_span(self.n, row)
        left, right = [], []
        low, high = first, first + count - 1
        for level in range(len(self._levels) - 1):
            if low & 1:
                left.append(self._read_node(level, low - 1))
            if not high & 1:
                right.append(self._read_node(level, high + 1))
            low, high = low >> 1, high >> 1
        return OpenedRow(np.frombuffer(data, dtype="<i4").astype(">i4").tobytes(), tuple(left), tuple(right))

    def _read_node(self, level: int, number: int) -> Hash32:
        if HASH_BYTES * number >= _level_sizes(self.n)[level]:
            return self._empty[level]
        return Hash32(self._gpu.read(self._levels[level] + HASH_BYTES * number, HASH_BYTES))


def _level_sizes(n: int) -> list[int]:
    """Bytes of the hashes at each level of the tree, from the leaves to the root."""
    counts = [count_leaves(n)]
    while counts[-1] > 1:
        counts.append((counts[-1] + 1) // 2)
    return [HASH_BYTES * count for count in counts]
