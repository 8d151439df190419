"""GPUs: what is in this host, by NVML and by AMD's files in sysfs, and their names for containers (CDI)."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
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

NvmlReader = Callable[[], tuple[Gpu, ...]]


def read_gpus(root: Path = Path("/"), read_nvidia: NvmlReader | None = None) -> tuple[Gpu, ...]:
    """Every GPU of the host, NVIDIA's first, each vendor's in its own order. Having none is not an error."""
    return (read_nvidia or read_nvml)() + read_amd(root)


def make_device_names(gpus: tuple[Gpu, ...]) -> tuple[str, ...]:
    """CDI names by which podman passes the GPUs into a container: "nvidia.com/gpu=0"."""
    names, seen = [], {"nvidia": 0, "amd": 0}
    for gpu in gpus:
        names.append(f"{gpu.vendor}.com/gpu={seen[gpu.vendor]}")
        seen[gpu.vendor] += 1
    return tuple(names)


def read_nvml(driver_folder: Path = NVIDIA_DRIVER) -> tuple[Gpu, ...]:
    """NVIDIA's GPUs as their driver names them; none where there is no driver.

    Raises Permanent where there are some, and the library that asks the driver is not installed.
    """
    if driver_folder.is_dir():
        require_module("pynvml", "a host with NVIDIA GPUs")
    if not has_module("pynvml"):
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        count = min(pynvml.nvmlDeviceGetCount(), MAX_GPUS)
        return tuple(_read_nvml_device(pynvml, index, driver) for index in range(count))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _read_nvml_device(pynvml: Any, index: int, driver: str) -> Gpu:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Gpu(
        vendor="nvidia",
        model=str(pynvml.nvmlDeviceGetName(device)),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(device).total),
        driver=driver,
        uuid=str(pynvml.nvmlDeviceGetUUID(device)),
    )


def read_amd(root: Path = Path("/")) -> tuple[Gpu, ...]:
    """AMD's GPUs from the files of the amdgpu driver: what its library reads as well, without needing the library."""
    cards = sorted((root / "sys/class/drm").glob("card*"), key=lambda card: (len(card.name), card.name))
    devices = [card / "device" for card in cards if CARD.match(card.name)]
    driver = _read(root / "sys/module/amdgpu/version") or _read(root / "proc/sys/kernel/osrelease")
    gpus = (_read_amd_device(device, driver) for device in devices if _read(device / "vendor") == AMD_VENDOR)
    return tuple(gpu for gpu in gpus if gpu.memory_bytes)[:MAX_GPUS]


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
