"""Host preparation: what containers need from the host beyond installed programs. Idempotent, many daemons at once."""

from __future__ import annotations

import ctypes
import fcntl
import os
from pathlib import Path
from typing import TextIO

from xnode.errors import Permanent

RUN_DIR = Path("/run/xnode")
"""What must vanish with a reboot, for all daemons of this host."""


def prepare_host(root: Path = Path("/"), run_dir: Path = RUN_DIR) -> None:
    """Make what crun needs: on a hybrid host a version 1 hierarchy for each controller that is in neither world.

    crun calls a host hybrid, and refuses it, while the unified tree still holds a controller (usually hugetlb).
    """
    with _open_lock(run_dir) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for controller in find_unified_leftovers(root):
            _mount_v1(controller, run_dir / f"cgroup-{controller}")


def _open_lock(run_dir: Path) -> TextIO:
    try:
        run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        return (run_dir / "host.lock").open("w")
    except PermissionError as error:
        raise Permanent(
            f"a provider cannot write {error.filename} as this user",
            hint="run it as root: containers get cgroups and disks of their own",
        ) from error


def find_unified_leftovers(root: Path = Path("/")) -> tuple[str, ...]:
    """Controllers still in the unified tree of a hybrid host; none on a pure version 1 or 2 host."""
    lines = [line.split() for line in (root / "proc/self/mounts").read_text().splitlines()]
    unified = [fields[1] for fields in lines if fields[2] == "cgroup2"]
    legacy = [fields for fields in lines if fields[2] == "cgroup"]
    if not unified or not any("memory" in fields[3].split(",") for fields in legacy):
        return ()
    mounted = {option for fields in legacy for option in fields[3].split(",")}
    there = (root / unified[0].lstrip("/") / "cgroup.controllers").read_text().split()
    return tuple(name for name in there if name not in mounted)


def _mount_v1(controller: str, place: Path) -> None:
    place.mkdir(mode=0o755, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(place), b"cgroup", 0, controller.encode()) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Permanent(
            f"cannot mount the {controller} cgroup at {place}: {reason}", hint="run as root, or choose runtime runc"
        )


def read_boot_id(root: Path = Path("/")) -> str:
    """This boot's name: what was recorded under another one has not survived."""
    return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
