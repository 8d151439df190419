"""Hardware: what this host has, in the terms of an offer. Reads /proc and /sys below a root, so that other hosts can be
tested."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from scheduler.offer import HardwareProfile
from xnode.errors import Permanent
from xnode.runtime.host.cgroup import CgroupTree, parse_mounts
from xnode.runtime.host.gpus import Survey, survey_gpus
from xnode.runtime.host.sysfs import read_line

VIRTUAL_LINKS = ("lo", "veth", "docker", "cni", "podman", "br-", "virbr", "tun", "tap", "wg")
"""Names of network interfaces that lead nowhere on their own."""


def probe_hardware(data_dir: Path, root: Path = Path("/"), survey: Survey | None = None) -> HardwareProfile:
    """The host's profile; disk_bytes is what is free where leases' disks will lie, GPUs those that can be lent. Blocks for
    some milliseconds, and longer where a driver slept. survey: of the GPUs, when they were asked already."""
    model, cores, threads = parse_cpuinfo((root / "proc/cpuinfo").read_text())
    tree = _read_tree(root)
    space = os.statvfs(data_dir)
    return HardwareProfile(
        cpu_model=model,
        cpu_cores=cores,
        cpu_threads=threads,
        memory_bytes=read_memory_bytes(root),
        disk_bytes=space.f_bavail * space.f_frsize,
        architecture=read_line(root / "proc/sys/kernel/arch") or platform.machine(),
        kernel=read_line(root / "proc/sys/kernel/osrelease"),
        gpus=(survey or survey_gpus(root)).gpus,
        network_mbps=read_network_mbps(root),
        cgroup_version=tree.version if tree else 0,
    )


def parse_cpuinfo(text: str) -> tuple[str, int, int]:
    """(model, cores, threads) from the text of /proc/cpuinfo; cores counts threads where the kernel names no cores."""
    threads, cores, model, implementer, part = 0, set(), "", "", ""
    for block in text.split("\n\n"):
        fields = dict(_split_field(line) for line in block.splitlines() if ":" in line)
        if "processor" not in fields:
            continue
        threads += 1
        model = model or fields.get("model name", "")
        implementer, part = fields.get("CPU implementer", implementer), fields.get("CPU part", part)
        if "core id" in fields:
            cores.add((fields.get("physical id", "0"), fields["core id"]))
    return model or f"CPU {implementer} {part}".strip(), len(cores) or threads, threads


def read_memory_bytes(root: Path = Path("/")) -> int:
    """The host's memory, or the least limit of the cgroups we stand in ourselves."""
    info = dict(_split_field(line) for line in (root / "proc/meminfo").read_text().splitlines())
    total = int(info["MemTotal"].split()[0]) * 1024
    return min([total, *_memory_limits(root, _read_tree(root))])


def read_network_mbps(root: Path) -> int:
    """The speed of the fastest link that is up; 0 when no driver reports one (virtual machines)."""
    fastest = 0
    for link in sorted((root / "sys/class/net").glob("*")):
        speed = read_line(link / "speed")
        if speed.isdigit() and read_line(link / "operstate") == "up" and not link.name.startswith(VIRTUAL_LINKS):
            fastest = max(fastest, int(speed))
    return fastest


def _memory_limits(root: Path, tree: CgroupTree | None) -> list[int]:
    """The limits of our own cgroup and of all above it."""
    if tree is None:
        return []
    name = "memory.max" if tree.version == 2 else "memory.limit_in_bytes"
    place = tree.mount_of("memory") / _own_cgroup(read_line(root / "proc/self/cgroup"), tree.version).lstrip("/")
    limits = []
    while place.is_relative_to(tree.mount_of("memory")):
        text = read_line(place / name)
        limits += [int(text)] if text.isdigit() else []
        place = place.parent
    return limits


def _own_cgroup(text: str, version: int) -> str:
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if (number == "0" and version == 2) or "memory" in controllers.split(","):
            return path
    return "/"


def _read_tree(root: Path) -> CgroupTree | None:
    with suppress(Permanent):
        return parse_mounts(read_line(root / "proc/self/mounts"), root)
    return None


def _split_field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
