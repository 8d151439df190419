"""PCI: graphics cards on the bus that no driver of ours has, and so which no other list names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xnode.runtime.host.sysfs import read_line, read_link

NVIDIA, AMD, INTEL = "0x10de", "0x1002", "0x8086"

DRIVERS = {NVIDIA: ("NVIDIA", "nvidia"), AMD: ("AMD", "amdgpu"), INTEL: ("Intel", "")}
"""Who makes it, and the driver through which we lend it."""

GRAPHICS = ("0x03", "0x12")
"""Classes of devices: displays (and 3D controllers), and processing accelerators."""

BUILT_IN_BUS = "0000:00:"
"""Where a processor's own graphics are."""


def find_idle_cards(root: Path = Path("/")) -> Iterator[str]:
    """Why each graphics card is not lent that another driver has, or none."""
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = read_line(device / "vendor")
        if vendor not in DRIVERS or not read_line(device / "class").startswith(GRAPHICS):
            continue
        name, wanted = DRIVERS[vendor]
        driver = read_link(device / "driver")
        card = f"{name} GPU at {device.name}"
        if not wanted:
            if not device.name.startswith(BUILT_IN_BUS):
                yield f"{card} cannot be lent: only NVIDIA's and AMD's can"
        elif driver == "vfio-pci":
            yield f"{card} is set aside for a virtual machine (vfio-pci)"
        elif driver != wanted:
            has = f"has the driver {driver}" if driver else "has no driver"
            yield f"{card} {has}; load {wanted}, the driver that computes"
