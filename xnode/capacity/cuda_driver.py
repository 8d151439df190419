"""CUDA driver: what we need of libcuda by ctypes: a provider has the driver, and needs no toolkit and no Python package."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from xnode.errors import Permanent

LIBRARY = "libcuda.so.1"

Arg = int
"""Pointers and numbers alike; each kernel's own parameter types say how wide (KERNEL_ARGS of cuda_product)."""


class Gpu(Protocol):
    """A device that runs our kernels: a real one, or in tests the host in its place."""

    def allocate(self, size_bytes: int) -> int:
        """Device memory, until close()."""
        ...

    def launch(self, kernel: str, grid: tuple[int, int], threads: int, args: Sequence[Arg]) -> None:
        """Start it; what is launched later comes after it."""
        ...

    def wait(self) -> None:
        """Returns when all that was launched is done."""
        ...

    def write(self, address: int, data: bytes) -> None: ...

    def read(self, address: int, size_bytes: int) -> bytes: ...

    def free_bytes(self) -> int: ...


class CudaGpu:
    """One NVIDIA GPU, by its number among those the driver shows. Use as a context manager; raises Permanent."""

    def __init__(self, ordinal: int, ptx: bytes, args: dict[str, tuple[type[ctypes._SimpleCData[int]], ...]]) -> None:
        """args: the C types of each kernel's parameters."""
        try:
            self._cuda = ctypes.CDLL(LIBRARY)
        except OSError:
            raise Permanent(f"GPU {ordinal}: there is no {LIBRARY}; install NVIDIA's driver", code="no_gpu") from None
        self._ordinal, self._ptx, self._args = ordinal, ptx, args
        self._device = ctypes.c_int()
        self._functions: dict[str, ctypes.c_void_p] = {}
        self._memory: list[int] = []

    def __enter__(self) -> Self:
        self._check("cuInit", ctypes.c_uint(0))
        count = ctypes.c_int()
        self._check("cuDeviceGetCount", ctypes.byref(count))
        if self._ordinal >= count.value:
            raise Permanent(f"there is no GPU {self._ordinal}: the driver shows {count.value}", code="no_gpu")
        self._check("cuDeviceGet", ctypes.byref(self._device), ctypes.c_int(self._ordinal))
        context = ctypes.c_void_p()
        # The device's primary context: the one way to get one that is the same in all versions of the driver.
        self._check("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device)
        self._check("cuCtxSetCurrent", context)
        module = ctypes.c_void_p()
        self._check("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(self._ptx))
        for name in self._args:
            function = ctypes.c_void_p()
            self._check("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(name.encode()))
            self._functions[name] = function
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for address in self._memory:
            self._cuda.cuMemFree_v2(ctypes.c_uint64(address))
        self._cuda.cuDevicePrimaryCtxRelease_v2(self._device)

    def allocate(self, size_bytes: int) -> int:
        address = ctypes.c_uint64()
        self._check("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        self._memory.append(address.value)
        return address.value

    def launch(self, kernel: str, grid: tuple[int, int], threads: int, args: Sequence[Arg]) -> None:
        values = [kind(value) for kind, value in zip(self._args[kernel], args, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        one, none = ctypes.c_uint(1), ctypes.c_void_p()
        blocks = (ctypes.c_uint(grid[0]), ctypes.c_uint(grid[1]), one)
        block = (ctypes.c_uint(threads), one, one)
        self._check("cuLaunchKernel", self._functions[kernel], *blocks, *block, ctypes.c_uint(0), none, pointers, none)

    def wait(self) -> None:
        self._check("cuCtxSynchronize")

    def write(self, address: int, data: bytes) -> None:
        self._check("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_char_p(data), ctypes.c_size_t(len(data)))

    def read(self, address: int, size_bytes: int) -> bytes:
        data = ctypes.create_string_buffer(size_bytes)
        self._check("cuMemcpyDtoH_v2", data, ctypes.c_uint64(address), ctypes.c_size_t(size_bytes))
        return data.raw

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._check("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def _check(self, name: str, *args: object) -> None:
        """Call the driver; its own words when it refuses."""
        code = getattr(self._cuda, name)(*args)
        if code != 0:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
            detail = (text.value or b"unknown").decode()
            raise Permanent(f"GPU {self._ordinal}: {name} failed with {detail} ({code})", code="gpu")
