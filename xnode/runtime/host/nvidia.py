"""NVIDIA: its GPUs by NVML, the driver's own library, each as what it is or with the reason why it is not lent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.offer import Gpu
from xnode.extras import has_module, require_module

DRIVER_FOLDER = "proc/driver/nvidia/gpus"
"""One folder for each GPU while the driver is loaded."""

KIND = "nvidia.com/gpu"

MAX_GPUS = 64
"""More than any host holds; a driver that reports more is broken."""

UNIFIED_PERCENT = 50
"""Of the host's memory, what a GPU offers that has none of its own: the rest is the CPU's."""

GRAPHICS_ONLY = re.compile(r"-\d+[AB]\Z")
"""vGPU types for virtual applications and PCs, on which CUDA does not run (those for computing end in C or Q)."""

LOST_REMEDY = "; `dmesg` names its Xid; a reset of it or a restart of the host brings it back"


@dataclass(frozen=True, slots=True)
class Found:
    """A GPU that works. names: of it in a CDI specification, the surest first; node: its own device file, "" when not
    known; is_unified: its memory is the host's."""

    gpu: Gpu
    names: tuple[str, ...]
    node: str = ""
    is_unified: bool = False

    @property
    def key(self) -> str:
        """What tells it from all others of this host."""
        return self.gpu.uuid or self.node or self.names[0]


@dataclass(frozen=True, slots=True)
class Reading:
    """One vendor's GPUs. found: those to lend; faults: why each other one is not; busy: keys of those among them that
    work all the same; is_answered: False when the driver said nothing, so that none can be called lost."""

    found: tuple[Found, ...] = ()
    faults: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    is_answered: bool = True

    @property
    def keys(self) -> frozenset[str]:
        """Of all GPUs that work."""
        return frozenset((*(one.key for one in self.found), *self.busy))


def read_nvidia(root: Path = Path("/")) -> Reading:
    """The GPUs that the driver knows; none where there is no driver. One that is lost hides no other.

    Raises Permanent where there are some, and the library that asks the driver is not installed.
    """
    folder = root / DRIVER_FOLDER
    known = _count_entries(folder)
    if folder.is_dir():
        require_module("pynvml", "a host with NVIDIA GPUs")
    elif root != Path("/"):
        return Reading()
    if not has_module("pynvml"):
        return Reading()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        faults = (f"the NVIDIA driver does not answer: {error}{_remedy_of(pynvml, error)}",) if known else ()
        return Reading(faults=faults, is_answered=False)
    try:
        return _read_all(pynvml, known, root)
    except pynvml.NVMLError as error:
        return Reading(faults=(f"the NVIDIA driver does not say what it has: {error}",), is_answered=False)
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _remedy_of(pynvml: Any, error: Any) -> str:
    mismatch = getattr(error, "value", None) == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    return "; its library was updated while it was loaded: restart the host" if mismatch else ""


def _read_all(pynvml: Any, known: int, root: Path) -> Reading:
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    count = min(pynvml.nvmlDeviceGetCount(), MAX_GPUS)
    found, faults, busy = [], [], []
    if count < known:
        faults.append(f"{known - count} of {known} NVIDIA GPUs are lost to the driver{LOST_REMEDY}")
    for index in range(count):
        try:
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            one = _read_device(pynvml, device, index, driver, root)
            fault = next(_find_faults(pynvml, device, index, one.gpu.model), None)
        except pynvml.NVMLError as error:
            is_lost = error.value == pynvml.NVML_ERROR_GPU_IS_LOST
            faults.append(f"NVIDIA GPU {index}: {error}{LOST_REMEDY if is_lost else ''}")
            continue
        if fault is None:
            found.append(one)
        else:
            faults.append(f"NVIDIA GPU {index} {fault}")
            busy.append(one.key)
    return Reading(tuple(found), tuple(faults), tuple(busy))


def _read_device(pynvml: Any, device: Any, index: int, driver: str, root: Path) -> Found:
    memory, is_unified = _read_memory(pynvml, device, root)
    model, uuid = _text(pynvml.nvmlDeviceGetName(device)), _text(pynvml.nvmlDeviceGetUUID(device))
    minor = _ask(pynvml, pynvml.nvmlDeviceGetMinorNumber, device)
    node = f"/dev/nvidia{minor}" if minor is not None else ""
    # By UUID first: numbers shift when a GPU is lost and the specification is written anew.
    return Found(Gpu("nvidia", model, memory, driver, uuid), (uuid, str(index), f"gpu{index}"), node, is_unified)


def _find_faults(pynvml: Any, device: Any, index: int, model: str) -> Iterator[str]:
    """Why a GPU that works is not lent."""
    mode = _ask(pynvml, pynvml.nvmlDeviceGetMigMode, device)
    if mode is not None and mode[0]:
        yield f"is divided by MIG; `nvidia-smi -i {index} -mig 0` makes it whole"
    virtual = _ask(pynvml, pynvml.nvmlDeviceGetVirtualizationMode, device)
    if virtual in (pynvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU, pynvml.NVML_GPU_VIRTUALIZATION_MODE_HOST_VSGA):
        yield "is shared out to virtual machines by this host (vGPU)"
    if virtual == pynvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU and GRAPHICS_ONLY.search(model):
        yield f"is a vGPU for graphics only ({model}); computing takes a type that ends in C or Q"
    if _ask(pynvml, pynvml.nvmlDeviceGetComputeMode, device) == pynvml.NVML_COMPUTEMODE_PROHIBITED:
        yield f"is forbidden to compute; `nvidia-smi -i {index} -c 0` allows it"


def _read_memory(pynvml: Any, device: Any, root: Path) -> tuple[int, bool]:
    """(its own memory, False); of a GPU without any, which works in the host's, (the part that we let it have, True)."""
    try:
        total = int(pynvml.nvmlDeviceGetMemoryInfo(device).total)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
        total = 0
    return (total, False) if total else (_host_memory_bytes(root) * UNIFIED_PERCENT // 100, True)


def _ask(pynvml: Any, question: Any, device: Any) -> Any:
    """The answer, None where this GPU or this driver knows no such thing."""
    try:
        return question(device)
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            return None
        raise


def _host_memory_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(value: str | bytes) -> str:
    """What older versions of the library give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _count_entries(folder: Path) -> int:
    with suppress(OSError):
        return len(list(folder.iterdir()))
    return 0
