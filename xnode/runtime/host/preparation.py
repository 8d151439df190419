"""Host preparation: what containers need from the host beyond installed programs. Idempotent, many daemons at once."""

from __future__ import annotations

import ctypes
import itertools
import os
from pathlib import Path

from xnode.errors import Permanent
from xnode.private_lock import hold_private_lock, own_folder
from xnode.runtime.host.cgroup import read_if_there

RUN_DIR = Path("/run/xnode")
"""What must vanish with a reboot, for all daemons of this host."""


def prepare_host(root: Path = Path("/"), run_dir: Path = RUN_DIR) -> None:
    """Make what crun needs: on a host with version 1 hierarchies, a mount of each controller that has none.

    crun calls a host hybrid, and refuses it, while the unified tree still holds a controller (usually hugetlb). And a
    hierarchy that the kernel keeps without a mount is one in which no workload gets a group of its own: the container
    would mount it from its root and see the groups of everyone.
    """
    try:
        # Containers whose users are mapped come through it to what is theirs.
        own_folder(run_dir, 0o711)
        with hold_private_lock(run_dir / "host.lock"):
            for controllers in find_unmounted(root):
                _mount_v1(controllers, run_dir / f"cgroup-{controllers.replace('=', '-')}")
    except PermissionError as error:
        raise Permanent(
            f"a provider cannot write {error.filename} as this user",
            hint="run it as root: containers get cgroups and disks of their own",
        ) from error


def find_unmounted(root: Path = Path("/")) -> tuple[str, ...]:
    """What a host with version 1 hierarchies has not mounted, as mount options ("hugetlb", "net_cls,net_prio",
    "name=systemd"): controllers left in the unified tree and hierarchies without a mount. None on a version 2 host."""
    lines = [line.split() for line in (root / "proc/self/mounts").read_text().splitlines()]
    unified = [fields[1] for fields in lines if fields[2] == "cgroup2"]
    mounted = {option for fields in lines if fields[2] == "cgroup" for option in fields[3].split(",")}
    if "memory" not in mounted:
        return ()
    there = [read_if_there(root / place.lstrip("/") / "cgroup.controllers").split() for place in unified[:1]]
    own = [line.split(":", 2)[1] for line in read_if_there(root / "proc/self/cgroup").splitlines() if ":" in line]
    return tuple(
        names
        for names in dict.fromkeys([*itertools.chain(*there), *own])
        if names and not mounted.issuperset(names.split(","))
    )


def _mount_v1(controllers: str, place: Path) -> None:
    place.mkdir(mode=0o755, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"none,{controllers}" if controllers.startswith("name=") else controllers
    if libc.mount(b"none", os.fsencode(place), b"cgroup", 0, options.encode()) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Permanent(
            f"cannot mount the {controllers} cgroup at {place}: {reason}", hint="run as root, or choose runtime runc"
        )


def read_boot_id(root: Path = Path("/")) -> str:
    """This boot's name: what was recorded under another one has not survived."""
    return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
