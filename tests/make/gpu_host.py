"""GPU host: a host's files and its driver's answers, as recorded in tests/fixtures/gpus, put where the real readers look.

A page there has `files` and `links` below the root, and `nvml`: what NVIDIA's library answers, device by device; a number in
place of an answer is the library's error code. The library is played where pynvml calls into it, so all of pynvml is real.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures/gpus"


class NvmlLibrary:
    """What pynvml takes for libnvidia-ml.so.1. answers: the page's `nvml`."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def __getattr__(self, name: str) -> Callable[..., int]:
        """The function of that name, as pynvml looks for it."""
        asked: dict[str, Callable[..., int]] = {
            "nvmlInitWithFlags": lambda _flags: self.answers.get("init", 0),
            "nvmlShutdown": lambda: 0,
            "nvmlSystemGetDriverVersion": lambda text, _size: self._put_text(text, self.answers["driver"]),
            "nvmlDeviceGetCount_v2": lambda into: self._put(into, self.answers.get("count", len(self._devices))),
            "nvmlDeviceGetHandleByIndex_v2": self._give_handle,
            "nvmlDeviceGetName": lambda device, text, _size: self._put_text(text, self._of(device, "name")),
            "nvmlDeviceGetUUID": lambda device, text, _size: self._put_text(text, self._of(device, "uuid")),
            "nvmlDeviceGetMemoryInfo": self._give_memory,
            "nvmlDeviceGetMigMode": lambda device, now, later: (
                self._put(now, self._of(device, "mig")) or self._put(later, self._of(device, "mig"))
            ),
            "nvmlDeviceGetVirtualizationMode": lambda device, into: self._put(into, self._of(device, "virtual")),
            "nvmlDeviceGetMinorNumber": lambda device, into: self._put(into, self._of(device, "minor")),
            "nvmlDeviceGetComputeMode": lambda device, into: self._put(into, self._of(device, "compute")),
        }
        if name not in asked or name in self.answers.get("unknown", ()):
            raise AttributeError(name)
        return asked[name]

    @property
    def _devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = self.answers.get("devices", [])
        return devices

    def _of(self, device: Any, what: str) -> Any:
        one = self._devices[(ctypes.cast(device, ctypes.c_void_p).value or 1) - 1]
        return one.get(what, {"error": pynvml.NVML_ERROR_NOT_SUPPORTED})

    def _give_handle(self, index: Any, into: Any) -> int:
        error: int = self._devices[index.value].get("handle", 0)
        if not error:
            ctypes.cast(into, ctypes.POINTER(ctypes.c_void_p))[0] = index.value + 1
        return error

    def _give_memory(self, device: Any, into: Any) -> int:
        answer = self._of(device, "memory")
        if isinstance(answer, dict):
            return int(answer["error"])
        into._obj.total = answer
        return 0

    def _put(self, into: Any, answer: Any) -> int:
        if isinstance(answer, dict):
            return int(answer["error"])
        into._obj.value = answer
        return 0

    def _put_text(self, into: Any, answer: Any) -> int:
        if isinstance(answer, dict):
            return int(answer["error"])
        into.value = answer.encode()
        return 0


class GpuHost:
    """A recorded host. root: its file system; nvml: the answers of its driver, to be changed."""

    def __init__(self, name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        page = json.loads((FIXTURES / f"{name}.json").read_text())
        self.root, self.nvml = root, page.get("nvml", {"init": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})
        for path, text in page["files"].items():
            self.write(path, text)
        for path, target in page.get("links", {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(target)
        # Each function that pynvml has looked up is kept by it: another host's must not be.
        patch.setattr(pynvml, "nvmlLib", NvmlLibrary(self.nvml))
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})

    def write(self, path: str, text: str) -> None:
        """A file below the root; a text that begins with "hex:" stands for those bytes."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode())

    def remove(self, path: str) -> None:
        """Take a file away."""
        (self.root / path).unlink()
