"""GPUs: what is in this host, by NVML and by AMD's files in sysfs, and their names for containers (CDI)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.offer import Gpu
from xnode.extras import has_module, require_module

MAX_GPUS = 64
"""More than any host holds; a driver that reports more is broken."""

AMD_VENDOR = "0x1002"
NVIDIA_DRIVER = Path("/proc/driver/nvidia/gpus")
"""One folder for each GPU while the driver is loaded."""

CARD = re.compile(r"card\d+\Z")

UNIFIED_PERCENT = 50
"""Of the host's memory, what a GPU offers that has none of its own: the rest is the CPU's."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The GPUs that can be lent. devices: how podman passes each into a container (CDI), named by its place among all of
    the host's, also those that are lost; faults: what was found and cannot be lent, and why."""

    gpus: tuple[Gpu, ...] = ()
    devices: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __add__(self, other: Survey) -> Survey:
        return Survey(self.gpus + other.gpus, self.devices + other.devices, self.faults + other.faults)


NvmlReader = Callable[[], Survey]


def survey_gpus(root: Path = Path("/"), read_nvidia: NvmlReader | None = None) -> Survey:
    """Every GPU of the host, NVIDIA's first, each vendor's in its own order. Having none is not an error."""
    return (read_nvidia or read_nvml)() + read_amd(root)


def read_nvml(driver_folder: Path = NVIDIA_DRIVER) -> Survey:
    """NVIDIA's GPUs as their driver names them; none where there is no driver. One that is lost hides no other.

    Raises Permanent where there are some, and the library that asks the driver is not installed.
    """
    known = _count_entries(driver_folder)
    if driver_folder.is_dir():
        require_module("pynvml", "a host with NVIDIA GPUs")
    if not has_module("pynvml"):
        return Survey()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Survey(faults=(f"the NVIDIA driver does not answer: {error}{_hint_of(pynvml, error)}",) if known else ())
    try:
        return _survey_nvml(pynvml, known)
    except pynvml.NVMLError as error:
        return Survey(faults=(f"the NVIDIA driver does not say what it has: {error}",))
    finally:
        pynvml.nvmlShutdown()


def _hint_of(pynvml: Any, error: Any) -> str:
    mismatch = getattr(error, "value", None) == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    return "; its library was updated while it was loaded: restart the host" if mismatch else ""


def _survey_nvml(pynvml: Any, known: int) -> Survey:
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    count = min(pynvml.nvmlDeviceGetCount(), MAX_GPUS)
    survey = Survey(faults=(f"{known - count} of {known} NVIDIA GPUs are lost to the driver",) if count < known else ())
    for index in range(count):
        try:
            survey += _read_nvml_device(pynvml, index, driver)
        except pynvml.NVMLError as error:
            survey += Survey(faults=(f"NVIDIA GPU {index}: {error}",))
    return survey


def _read_nvml_device(pynvml: Any, index: int, driver: str) -> Survey:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = _read_nvml_memory(pynvml, device)
    if _is_divided(pynvml, device):
        return Survey(faults=(f"NVIDIA GPU {index} is divided by MIG; `nvidia-smi -i {index} -mig 0` makes it whole",))
    model, uuid = _text(pynvml.nvmlDeviceGetName(device)), _text(pynvml.nvmlDeviceGetUUID(device))
    return Survey((Gpu("nvidia", model, memory, driver, uuid),), (f"nvidia.com/gpu={index}",))


def _read_nvml_memory(pynvml: Any, device: Any) -> int:
    """Its own memory; of a GPU without any, which works in the host's, the part that we let it have."""
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(device).total)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * UNIFIED_PERCENT // 100


def _is_divided(pynvml: Any, device: Any) -> bool:
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(device)
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            return False
        raise
    return bool(current)


def _text(value: str | bytes) -> str:
    """What older versions of the library give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _count_entries(folder: Path) -> int:
    with suppress(OSError):
        return len(list(folder.iterdir()))
    return 0


def read_amd(root: Path = Path("/")) -> Survey:
    """AMD's GPUs from the files of the amdgpu driver: what its library reads as well, without needing the library."""
    cards = sorted((root / "sys/class/drm").glob("card*"), key=lambda card: (len(card.name), card.name))
    devices = [card / "device" for card in cards if CARD.match(card.name)]
    driver = _read(root / "sys/module/amdgpu/version") or _read(root / "proc/sys/kernel/osrelease")
    amd = [device for device in devices if _read(device / "vendor") == AMD_VENDOR][:MAX_GPUS]
    survey = Survey()
    for index, device in enumerate(amd):
        gpu = _read_amd_device(device, driver)
        if gpu.memory_bytes:
            survey += Survey((gpu,), (f"amd.com/gpu={index}",))
        else:
            survey += Survey(faults=(f"AMD GPU {index} ({device.parent.name}) reports no memory",))
    return survey


def _read_amd_device(device: Path, driver: str) -> Gpu:
    memory = _read(device / "mem_info_vram_total")
    name = _read(device / "product_name") or f"GPU {_read(device / 'device')}"
    return Gpu(
        vendor="amd",
        model=name if name.startswith("AMD") else f"AMD {name}",
        memory_bytes=int(memory) if memory.isdigit() else 0,
        driver=driver,
        uuid=_read(device / "unique_id"),
    )


def _read(path: Path) -> str:
    """A small file's text, "" when it is not there or gives nothing."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""
