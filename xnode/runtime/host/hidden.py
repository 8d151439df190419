"""Hidden: what /proc and /sys would show a workload of this host's disks and of its other leases."""

from __future__ import annotations

from pathlib import Path

FILES = (
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/key-users",
    "/proc/locks",
    "/proc/partitions",
    "/proc/schedstat",
    "/proc/softirqs",
    "/proc/swaps",
)
"""Counts of the whole host, which move with what the others do. Left as they are, because programs do not work without
them and sysinfo(2) tells the same: /proc/stat, /proc/meminfo, /proc/loadavg, /proc/uptime."""

FOLDERS = (
    "/proc/fs",
    "/sys/block",
    "/sys/bus/nd",
    "/sys/class/bdi",
    "/sys/class/block",
    "/sys/dev/block",
    "/sys/devices/virtual/bdi",
    "/sys/devices/virtual/block",
    "/sys/devices/virtual/powercap",
    "/sys/kernel/btf",
    "/sys/kernel/debug",
    "/sys/kernel/irq",
    "/sys/kernel/security",
    "/sys/kernel/slab",
    "/sys/kernel/tracing",
)
"""Every lease has a loop device and a file system of its own, which all of these name."""

KEPT_FILE_SYSTEMS = ("cgroup", "bpf", "fuse")
"""Of /sys/fs: the workload's own cgroup, and two that say nothing."""


def find_hidden(root: Path = Path("/")) -> tuple[str, ...]:
    """The paths that no workload may read, as far as this host has them: a file reads as empty, so does a folder."""
    fixed = [path for path in FILES if (root / path[1:]).is_file()]
    fixed += [path for path in FOLDERS if (root / path[1:]).is_dir()]
    return tuple(sorted({*fixed, *_find_disks(root), *_find_file_systems(root)}))


def _find_disks(root: Path) -> set[str]:
    """The folders of real disks, which lie below the devices that they are plugged into."""
    folders = set()
    for link in (root / "sys/block").glob("*"):
        disk = link.resolve()
        folder = disk.parent if disk.parent.name == "block" else disk
        if folder.is_relative_to(root / "sys/devices"):
            folders.add("/" + str(folder.relative_to(root)))
    return folders


def _find_file_systems(root: Path) -> set[str]:
    kinds = (path.name for path in (root / "sys/fs").glob("*") if path.is_dir())
    return {f"/sys/fs/{kind}" for kind in kinds if kind not in KEPT_FILE_SYSTEMS}
