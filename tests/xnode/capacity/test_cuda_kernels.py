"""The CUDA kernels, their threads run on the host, against numpy: no GPU is needed, and none is tested here."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trio

from metering.eip712 import keccak
from xnode.capacity import cuda_driver, cuda_product
from xnode.capacity.challenge import make_vector
from xnode.capacity.cuda_driver import CudaGpu
from xnode.capacity.cuda_product import KERNEL_ARGS, CudaProduct, count_gpu_bytes, read_ptx
from xnode.capacity.product import make_product
from xnode.capacity.products import DeviceTask, open_products
from xnode.errors import Permanent

CUDA = Path(cuda_product.__file__).parent / "cuda"
SEED = keccak(b"a GPU")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with the driver's interface that runs the kernels' threads on this machine."""
    out = tmp_path_factory.mktemp("cuda") / cuda_driver.LIBRARY
    shim = Path(__file__).with_name("cuda_host.c")
    options = ["-O2", "-shared", "-fPIC", "-pthread", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-fwrapv"]
    kernels = f'-DKERNELS="{CUDA / "kernels.cu"}"'
    subprocess.run(["gcc", *options, kernels, "-o", str(out), str(shim)], check=True, timeout=120)
    return out


@pytest.fixture
def gpu(driver: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CudaGpu]:
    """The host in a GPU's place."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(driver))
    with CudaGpu(0, read_ptx(), KERNEL_ARGS) as opened:
        yield opened


@pytest.mark.parametrize("n", [256, 768])
def test_the_kernels_give_the_product_and_tree_of_numpy(gpu: CudaGpu, n: int) -> None:
    expected = make_product(SEED, n)
    shares: list[float] = []
    product = CudaProduct(gpu, n)
    product.make(SEED, shares.append)
    vector = make_vector(SEED, 5, n)
    assert product.root == expected.root
    assert product.multiply_vector(vector) == expected.multiply_vector(vector)
    for row in (0, 1, n // 2 + 1, n - 1):
        assert product.open_row(row) == expected.open_row(row)
    assert shares[-1] == 1.0


def test_the_vector_kernel_wraps_at_64_bits_as_numpy_does(gpu: CudaGpu) -> None:
    product = CudaProduct(gpu, 256)
    elements = np.full((256, 256), -(1 << 31), dtype="<i4")
    gpu.write(product._elements, elements.tobytes())
    total = (-(1 << 31) * ((1 << 32) - 1) * 256) % (1 << 64)
    assert product.multiply_vector(b"\xff" * 1024) == total.to_bytes(8, "big") * 256


def test_the_memory_taken_is_the_memory_named(gpu: CudaGpu) -> None:
    before = gpu.free_bytes()
    CudaProduct(gpu, 768)
    assert before - gpu.free_bytes() == count_gpu_bytes(768)
    assert count_gpu_bytes(131_072) < 6.26 * 131_072**2


def test_a_product_that_does_not_fit_the_memory_is_refused_before_any_is_taken(gpu: CudaGpu) -> None:
    before = gpu.free_bytes()
    with pytest.raises(Permanent, match="GPU memory"):
        CudaProduct(gpu, 16_384)
    assert gpu.free_bytes() == before


def test_what_the_driver_refuses_is_told_in_its_words(gpu: CudaGpu) -> None:
    with pytest.raises(Permanent, match=r"cuMemAlloc_v2 failed with CUDA_ERROR_OUT_OF_MEMORY \(2\)"):
        gpu.allocate(1 << 31)


def test_a_gpu_that_the_driver_does_not_show_is_refused(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(driver))
    with pytest.raises(Permanent, match="there is no GPU 1: the driver shows 1"), CudaGpu(1, b"", KERNEL_ARGS):
        pass


async def test_a_worker_computes_and_shows_on_a_gpu_as_on_the_cpu(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver.parent))
    expected = make_product(SEED, 256)
    with trio.fail_after(60):
        async with open_products([DeviceTask(0, "gpu", 0, SEED, 256)]) as products:
            assert await products.wait_roots([0]) == (expected.root,)
            assert await products.open_row(0, 9) == expected.open_row(9)
            vector = make_vector(SEED, 0, 256)
            assert await products.multiply_vector(0, SEED) == expected.multiply_vector(vector)


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
