"""The CUDA kernels, their threads run on the host, against numpy: no GPU is needed, and none is tested here."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from metering.eip712 import keccak
from xnode.capacity import cuda_product
from xnode.capacity.challenge import make_vector
from xnode.capacity.cuda_product import KERNEL_ARGS, CudaProduct, count_gpu_bytes
from xnode.capacity.product import make_product
from xnode.errors import Permanent

CUDA = Path(cuda_product.__file__).parent / "cuda"
SEED = keccak(b"a GPU")


class HostGpu:
    """Runs the kernels' threads on this machine: xnode.capacity.cuda_driver.Gpu with the process's own memory."""

    def __init__(self, library: ctypes.CDLL, free_bytes: int = 1 << 30) -> None:
        self._library, self._free = library, free_bytes
        self._memory: list[ctypes.Array[ctypes.c_char]] = []
        self.launched: list[str] = []

    def allocate(self, size_bytes: int) -> int:
        self._memory.append(ctypes.create_string_buffer(size_bytes))
        return ctypes.addressof(self._memory[-1])

    def launch(self, kernel: str, grid: tuple[int, int], threads: int, args: Sequence[int]) -> None:
        assert len(args) == len(KERNEL_ARGS[kernel])
        self.launched.append(kernel)
        # A thread of the host is dear: fewer of them do the same work, but where the block's shape is part of the kernel.
        if kernel in ("expand", "hash_leaves", "hash_nodes"):
            grid, threads = (2, 1), 2
        if kernel == "multiply_vector":
            threads = 8
        number = list(KERNEL_ARGS).index(kernel)
        values = (ctypes.c_uint64 * len(args))(*args)
        self._library.launch(number, grid[0], grid[1], threads, values)

    def wait(self) -> None:
        """Nothing runs behind our back."""

    def write(self, address: int, data: bytes) -> None:
        ctypes.memmove(address, data, len(data))

    def read(self, address: int, size_bytes: int) -> bytes:
        return ctypes.string_at(address, size_bytes)

    def free_bytes(self) -> int:
        return self._free


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernels as a library of the host."""
    out = tmp_path_factory.mktemp("cuda") / "kernels.so"
    shim = Path(__file__).with_name("cuda_host.c")
    options = ["-O2", "-shared", "-fPIC", "-pthread", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-fwrapv"]
    kernels = f'-DKERNELS="{CUDA / "kernels.cu"}"'
    subprocess.run(["gcc", *options, kernels, "-o", str(out), str(shim)], check=True, timeout=120)
    return ctypes.CDLL(str(out))


@pytest.mark.parametrize("n", [256, 768])
def test_the_kernels_give_the_product_and_tree_of_numpy(library: ctypes.CDLL, n: int) -> None:
    expected = make_product(SEED, n)
    shares: list[float] = []
    gpu = HostGpu(library)
    product = CudaProduct(gpu, n)
    product.make(SEED, shares.append)
    vector = make_vector(SEED, 5, n)
    assert product.root == expected.root
    assert product.multiply_vector(vector) == expected.multiply_vector(vector)
    for row in (0, 1, n // 2 + 1, n - 1):
        assert product.open_row(row) == expected.open_row(row)
    assert shares[-1] == 1.0
    assert set(gpu.launched) == set(KERNEL_ARGS)


def test_the_vector_kernel_wraps_at_64_bits_as_numpy_does(library: ctypes.CDLL) -> None:
    product = CudaProduct(HostGpu(library), 256)
    elements = np.full((256, 256), -(1 << 31), dtype="<i4")
    product._gpu.write(product._elements, elements.tobytes())
    total = (-(1 << 31) * ((1 << 32) - 1) * 256) % (1 << 64)
    assert product.multiply_vector(b"\xff" * 1024) == total.to_bytes(8, "big") * 256


def test_a_product_that_does_not_fit_the_memory_is_refused_before_any_is_taken(library: ctypes.CDLL) -> None:
    gpu = HostGpu(library, free_bytes=count_gpu_bytes(512) - 1)
    with pytest.raises(Permanent, match="GPU memory"):
        CudaProduct(gpu, 512)
    assert not gpu._memory


def test_the_memory_taken_is_the_memory_named(library: ctypes.CDLL) -> None:
    gpu = HostGpu(library)
    CudaProduct(gpu, 768)
    assert sum(len(each) for each in gpu._memory) == count_gpu_bytes(768)
    assert count_gpu_bytes(131_072) < 6.26 * 131_072**2


def test_every_kernel_of_the_source_is_in_the_committed_ptx() -> None:
    ptx = (CUDA / "kernels.ptx").read_text()
    for kernel, args in KERNEL_ARGS.items():
        declared = ptx.partition(f".visible .entry {kernel}(")[2].partition(")")[0]
        widths = [ctypes.sizeof(kind) * 8 for kind in args]
        assert [int(line.split(".u")[1].split()[0]) for line in declared.split(",")] == widths


def test_the_committed_ptx_is_what_the_source_gives() -> None:
    """Only where the compiler is that made it; test_every_kernel_… holds elsewhere."""
    done = subprocess.run(
        [sys.executable, str(CUDA / "build.py"), "--check"], capture_output=True, text=True, check=False
    )
    if done.returncode == 2:
        pytest.skip(f"nothing to rebuild with: {done.stderr.strip()}")
    assert shutil.which("nvcc") and done.returncode == 0, done.stderr
