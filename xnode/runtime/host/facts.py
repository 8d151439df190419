"""Facts: what a host truly has of all that a provider needs, read from it and judged elsewhere (fitness)."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xnode.distribution import Manager, find_manager
from xnode.errors import Permanent
from xnode.runtime.host.cgroup import V1_CONTROLLERS, V2_CONTROLLERS, parse_mounts
from xnode.runtime.host.gpus import Survey, survey_gpus
from xnode.runtime.host.hardware import read_memory_bytes
from xnode.runtime.host.preparation import find_unmounted
from xnode.runtime.host.program import OUTPUT_LIMIT_CHARS, SEARCH_PATH, find_program
from xnode.runtime.host.sysfs import read_line, read_number

CAP_SYS_ADMIN, CAP_SYS_RESOURCE = 21, 24

PROGRAMS = ("podman", "conmon", "mkfs.ext4", "mount", "umount", "ip", "nft")

RUNTIMES = ("crun", "runc", "runsc")
"""Known to work; crun's place is taken by runc where only that is there."""

TOOL_DEADLINE_S = 20.0

STA_UNSYNC = 0x40
"""Of the kernel's clock: nothing has set it right. See adjtimex(2)."""


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The file system below the data folder. held_bytes: what our own leases' disks take of it; kind: "ext4"."""

    path: str
    total_bytes: int
    free_bytes: int
    held_bytes: int = 0
    kind: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """capabilities: the bits of CapEff; cpus: that we may run on, as far as our cgroup lets us; uids: every user id below is
    ours; max_files, max_processes: hard limits; programs: where each is, "" where it is not; runtime: the OCI runtime that
    is used, "" when there is none; runtime_fault: why it does not work; podman_version: or why it does not run; manager: what
    installs packages here."""

    uid: int
    capabilities: int
    cpus: float
    memory_bytes: int
    disk: DiskFacts
    gpus: Survey
    uids: int
    max_files: int
    max_processes: int
    inotify_instances: int
    user_namespaces: int
    programs: Mapping[str, str]
    runtime: str
    runtimes: tuple[str, ...]
    runtime_version: str
    runtime_fault: str
    podman_version: str
    cgroup_version: int
    cgroup_missing: tuple[str, ...] = ()
    cgroup_unmounted: tuple[str, ...] = ()
    cgroup_read_only: str = ""
    file_systems: frozenset[str] = frozenset()
    has_modules: bool = True
    has_loop: bool = True
    is_clock_synchronized: bool | None = None
    manager: Manager = ""

    def has_capability(self, bit: int) -> bool:
        """True when we may do what this capability allows."""
        return bool(self.capabilities >> bit & 1)


def read_facts(data_dir: Path, runtime: str, survey: Survey | None = None, root: Path = Path("/")) -> HostFacts:
    """Blocks for a tenth of a second, and longer where a driver slept. runtime: the one that is configured; survey: of the
    GPUs, when they were asked already; root: another host's files in tests, while limits and programs are ours.

    Raises Permanent where there are NVIDIA GPUs and the library that asks their driver is not installed.
    """
    status = _read_fields(root / "proc/self/status")
    used = choose_runtime(runtime)
    version, fault = _ask_version(used) if used else ("", "")
    podman, trouble = _ask_version("podman") if _find("podman") else ("", "")
    cgroup_version, missing = _read_controllers(root)
    return HostFacts(
        uid=os.geteuid(),
        capabilities=int(status.get("CapEff", "0"), 16),
        cpus=read_cpus(root),
        memory_bytes=read_memory_bytes(root),
        disk=read_disk(data_dir, root),
        gpus=survey or survey_gpus(root),
        uids=_read_uids(root),
        max_files=_hard_limit(resource.RLIMIT_NOFILE),
        max_processes=_hard_limit(resource.RLIMIT_NPROC),
        inotify_instances=read_number(root / "proc/sys/fs/inotify/max_user_instances"),
        user_namespaces=read_number(root / "proc/sys/user/max_user_namespaces"),
        programs={name: _find(name) for name in PROGRAMS},
        runtime=used,
        runtimes=tuple(name for name in RUNTIMES if _find(name)),
        runtime_version=version,
        runtime_fault=fault,
        podman_version=trouble or podman.rpartition(" ")[2],
        cgroup_version=cgroup_version,
        cgroup_missing=missing,
        cgroup_unmounted=find_unmounted(root),
        cgroup_read_only=_find_read_only(root),
        file_systems=frozenset(line.split()[-1] for line in read_line(root / "proc/filesystems").splitlines() if line),
        has_modules=(root / "proc/modules").exists(),
        has_loop=(root / "dev/loop-control").exists(),
        is_clock_synchronized=_is_clock_synchronized(),
        manager=find_manager(root),
    )


def choose_runtime(wanted: str) -> str:
    """The OCI runtime to use: runc when crun is wanted and is not there; "" when there is none."""
    return wanted if _find(wanted) else "runc" if wanted == "crun" and _find("runc") else ""


def read_cpus(root: Path = Path("/")) -> float:
    """The CPUs that we may run on, or the part of them that our cgroup and those above it let us have."""
    return min([float(len(os.sched_getaffinity(0))), *_read_quotas(root)])


def _read_quotas(root: Path) -> list[float]:
    own = [line.split(":", 2) for line in read_line(root / "proc/self/cgroup").splitlines() if line.count(":") >= 2]
    quotas = []
    with suppress(Permanent):
        tree = parse_mounts(read_line(root / "proc/self/mounts"), root)
        mount = tree.mount_of("cpu")
        paths = [path for _, names, path in own if "cpu" in names.split(",") or (tree.version == 2 and not names)]
        place = mount / (paths[0] if paths else "").lstrip("/")
        while place.is_relative_to(mount):
            quota, period = (read_line(place / "cpu.max") or "max 100000").split()
            if tree.version == 1:
                quota, period = read_line(place / "cpu.cfs_quota_us"), read_line(place / "cpu.cfs_period_us")
            if quota.isdecimal() and period.isdecimal() and int(period):
                quotas.append(int(quota) / int(period))
            place = place.parent
    return quotas


def read_disk(data_dir: Path, root: Path = Path("/")) -> DiskFacts:
    """The disk on which the folder lies, or will when it is made."""
    folder = data_dir
    while not folder.exists():
        folder = folder.parent
    space = os.statvfs(folder)
    images = data_dir.glob("engine/*/leases/*/disk.img")
    return DiskFacts(
        path=str(folder),
        total_bytes=space.f_blocks * space.f_frsize,
        free_bytes=space.f_bavail * space.f_frsize,
        held_bytes=sum(image.stat().st_blocks * 512 for image in images if image.exists()),
        kind=_find_kind(folder, read_line(root / "proc/self/mounts")),
    )


def _find_kind(folder: Path, mounts: str) -> str:
    lines = [line.split() for line in mounts.splitlines()]
    below = [(len(fields[1]), fields[2]) for fields in lines if folder.resolve().is_relative_to(fields[1])]
    # Of two mounts at one place the later one is seen.
    return max(enumerate(below), key=lambda one: (one[1][0], one[0]), default=(0, (0, "")))[1][1]


def _read_controllers(root: Path) -> tuple[int, tuple[str, ...]]:
    """(version, what is missing of what we need)."""
    try:
        tree = parse_mounts(read_line(root / "proc/self/mounts"), root)
    except Permanent:
        return 0, ()
    if tree.version == 1:
        return 1, tuple(name for name in V1_CONTROLLERS if name not in dict(tree.mounts))
    there = read_line(tree.roots()[0] / "cgroup.controllers").split()
    return 2, tuple(name for name in V2_CONTROLLERS if name not in there)


def _find_read_only(root: Path) -> str:
    """The first of the cgroup mounts that only reads, "" when all can be written."""
    lines = (line.split() for line in read_line(root / "proc/self/mounts").splitlines())
    kinds = ("cgroup", "cgroup2")
    return next((fields[1] for fields in lines if fields[2] in kinds and "ro" in fields[3].split(",")), "")


def _read_uids(root: Path) -> int:
    """The user ids from 0 on that our user namespace maps."""
    ours = 0
    for line in sorted(read_line(root / "proc/self/uid_map").splitlines(), key=lambda line: int(line.split()[0])):
        first, _, count = (int(word) for word in line.split())
        if first <= ours:
            ours = max(ours, first + count)
    return ours


def _read_fields(path: Path) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in read_line(path).splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _hard_limit(which: int) -> int:
    hard = resource.getrlimit(which)[1]
    return hard if hard != resource.RLIM_INFINITY else 1 << 62


def _find(name: str) -> str:
    """Where the engine finds the program, "" where it does not."""
    with suppress(Permanent):
        return str(find_program(name))
    return ""


def _ask_version(name: str) -> tuple[str, str]:
    """(its first line about itself, why it does not run)."""
    try:
        done = subprocess.run(
            [_find(name), "--version"],
            capture_output=True,
            env={"PATH": SEARCH_PATH, "HOME": "/"},
            timeout=TOOL_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", str(error)[:OUTPUT_LIMIT_CHARS]
    said = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).decode(errors="replace").strip()
    first = said.splitlines()[0][:OUTPUT_LIMIT_CHARS] if said else ""
    return (first, "") if done.returncode == 0 else ("", first or f"it exits with status {done.returncode}")


def _is_clock_synchronized() -> bool | None:
    """As the kernel knows it; None when it does not say."""
    libc = ctypes.CDLL(None, use_errno=True)
    timex = (ctypes.c_long * 64)()
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        return None
    # struct timex: modes, offset, freq, maxerror, esterror, status, each aligned to a long.
    return not timex[5] & STA_UNSYNC
