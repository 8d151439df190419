"""Disk: the ext4 image behind all that a workload may write, one file of exactly the leased size, mounted over a loop
device.

The file is allocated whole before the workload starts, so a lease's disk can neither fail halfway nor fill the host's.
The file system's own tables are part of it (about 2 %).
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

from xnode.errors import Permanent
from xnode.runtime.host.program import run_tool

BLOCK_BYTES = 4096
MIN_DISK_BYTES = 1 << 20
"""Below this ext4 does not fit; a lease with less gets this much."""

TOOL_DEADLINE_S = 120.0
"""mkfs of a terabyte takes seconds; longer means the host's disk hangs."""

MOUNT_OPTIONS = "loop,nosuid,nodev,noatime"

FOLDERS = ("out", "home", "tmp")
"""What a workload finds as /work/out, as its home and as /var/tmp."""

_run = partial(run_tool, deadline_s=TOOL_DEADLINE_S)


def make_disk(image: Path, size_bytes: int, mount: Path, owner: int) -> None:
    """Make, mount and hand over: the folders on it belong to user id `owner`. The same call twice changes nothing."""
    if not os.path.ismount(mount):
        if not image.exists():
            _make_image(image, size_bytes)
        mount.mkdir(mode=0o711, exist_ok=True)
        _run("mount", "-o", MOUNT_OPTIONS, str(image), str(mount))
    shutil.rmtree(mount / "lost+found", ignore_errors=True)
    for name in FOLDERS:
        (mount / name).mkdir(mode=0o755, exist_ok=True)
        os.chown(mount / name, owner, owner)


def mount_again(image: Path, mount: Path) -> None:
    """Mount a disk that a reboot unmounted. Raises Permanent when there is none."""
    if os.path.ismount(mount):
        return
    if not image.exists():
        raise Permanent(f"{image} is gone: the workload's disk was removed")
    mount.mkdir(mode=0o711, exist_ok=True)
    _run("mount", "-o", MOUNT_OPTIONS, str(image), str(mount))


def remove_disk(image: Path, mount: Path) -> None:
    """Unmount (the loop device goes with it) and delete. Retryable while something uses it."""
    while os.path.ismount(mount):
        _run("umount", str(mount))
    image.unlink(missing_ok=True)


def unmount_below(place: Path) -> None:
    """Unmount whatever is mounted at or below a folder, the innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(place)), reverse=True):
        _run("umount", mount)


def _make_image(image: Path, size_bytes: int) -> None:
    size = max(MIN_DISK_BYTES, size_bytes // BLOCK_BYTES * BLOCK_BYTES)
    fresh = image.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            # The folder is open to the workload's user; the lease's files are not for others of this host.
            os.fchmod(file.fileno(), 0o600)
            os.posix_fallocate(file.fileno(), 0, size)
        # nodiscard: or mkfs would punch the allocation out again. No journal: this disk is not read after a crash.
        options = ("-E", "nodiscard,lazy_itable_init=1", "-O", "^has_journal", "-m", "0", "-b", str(BLOCK_BYTES))
        _run("mkfs.ext4", "-q", "-F", *options, str(fresh))
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Permanent(
            f"{image}: cannot reserve {size} bytes of disk: {error.strerror}", hint="free some space"
        ) from error
    fresh.replace(image)
