"""AMD: its GPUs by the files of the amdgpu driver: what its library reads as well, without needing the library."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from scheduler.offer import Gpu
from xnode.runtime.host.nvidia import MAX_GPUS, Found, Reading
from xnode.runtime.host.pci import AMD
from xnode.runtime.host.sysfs import read_line, read_number

KIND = "amd.com/gpu"

CARD = re.compile(r"card\d+\Z")

WHOLE = "SPX"
"""The compute partition of a card that is one device."""

FIRST_BUILT_IN = 2
"""The format of the gpu_metrics file tells processors' own graphics (2 and 3) from cards and accelerators (1); see
kgd_pp_interface.h of the driver."""

LEAST_BYTES = 2 << 30
"""Of memory of its own: with less, it is a display's."""


def read_amd(root: Path = Path("/")) -> Reading:
    """The GPUs that the driver shows, numbered as AMD's tools do: by the order of their cards."""
    cards = sorted((root / "sys/class/drm").glob("card*"), key=lambda card: (len(card.name), card.name))
    devices = [card / "device" for card in cards if CARD.match(card.name)]
    driver = read_line(root / "sys/module/amdgpu/version") or read_line(root / "proc/sys/kernel/osrelease")
    found, faults, busy = [], [], []
    amd = [device for device in devices if read_line(device / "vendor") == AMD][:MAX_GPUS]
    for index, device in enumerate(amd):
        gpu = _read_gpu(device, driver)
        one = Found(gpu, (str(index),), _find_node(device))
        fault = _find_fault(device, index, gpu)
        if fault:
            faults.append(f"AMD GPU {index} ({device.parent.name}) {fault}")
            busy += [one.key] if gpu.memory_bytes else []
        else:
            found.append(one)
    return Reading(tuple(found), tuple(faults), tuple(busy))


def _find_fault(device: Path, index: int, gpu: Gpu) -> str:
    """Why it is not lent, "" when it is."""
    partition = read_line(device / "current_compute_partition")
    if partition and partition != WHOLE:
        remedy = f"`amd-smi set --gpu {index} --compute-partition {WHOLE}` makes it whole"
        return f"is divided into {partition} partitions; {remedy}"
    if _read_metrics_format(device) >= FIRST_BUILT_IN:
        return "is built into the processor and works in the host's memory"
    if not gpu.memory_bytes:
        return "reports no memory"
    if gpu.memory_bytes < LEAST_BYTES:
        return f"has only {gpu.memory_bytes >> 20} MiB of memory of its own"
    return ""


def _read_metrics_format(device: Path) -> int:
    """The third byte of its binary table of sensors, 0 when it has none."""
    with suppress(OSError), (device / "gpu_metrics").open("rb") as file:
        header = file.read(4)
        return header[2] if len(header) == 4 else 0
    return 0


def _read_gpu(device: Path, driver: str) -> Gpu:
    name = read_line(device / "product_name") or f"GPU {read_line(device / 'device')}"
    return Gpu(
        vendor="amd",
        model=name if name.startswith("AMD") else f"AMD {name}",
        memory_bytes=read_number(device / "mem_info_vram_total"),
        driver=driver,
        uuid=read_line(device / "unique_id"),
    )


def _find_node(device: Path) -> str:
    """Its render node, "" when sysfs does not show one."""
    nodes = sorted(path.name for path in (device / "drm").glob("renderD*"))
    return f"/dev/dri/{nodes[0]}" if nodes else ""
