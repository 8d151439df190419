"""Private lock: one process at a time. The file is ours alone, for whoever can open a file can hold its lock forever."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xnode.errors import Permanent, Retryable

WAIT_S = 30.0
"""What is done under a lock takes milliseconds."""

LOOK_S = 0.05
"""Between two tries."""

MAX_TABLE_BYTES = 1 << 20
"""Read of the kernel's table of locks, to name a holder."""


class LockBusy(Retryable):
    """Another process holds the lock. holder: "pid 12", or "" when the kernel does not say."""

    def __init__(self, path: Path, holder: str, waited_s: float) -> None:
        self.holder = holder
        who = f"by {holder}" if holder else "by another process"
        super().__init__(
            f"{path} has been locked {who} for {waited_s:g} s",
            hint="look at what that process does, and end it if it is not yours",
        )


@contextmanager
def hold_private_lock(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Ours alone while inside; the lock dies with the process. Blocks for up to `wait_s`.

    Raises LockBusy when it cannot be had in that time, Permanent when the file is another user's or not a file.
    """
    descriptor = _open_own(path)
    try:
        deadline = time.monotonic() + wait_s
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise LockBusy(path, _find_holder(descriptor), wait_s)
            time.sleep(LOOK_S)
        yield
    finally:
        os.close(descriptor)


def own_folder(folder: Path, mode: int = 0o700) -> None:
    """Make the folder, and take from others what `mode` does not give them. Raises Permanent when it is another user's."""
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    descriptor = _open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _require_own(descriptor, folder, mode)
    finally:
        os.close(descriptor)


def _open_own(path: Path) -> int:
    # Not kept waiting by a pipe that lies there.
    descriptor = _open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Permanent(f"{path} is not a file", hint="remove it")
        _require_own(descriptor, path, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise Permanent(f"{path} is a link to somewhere else", hint="remove it: this node makes its own") from error
        raise


def _require_own(descriptor: int, path: Path, mode: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise Permanent(
            f"{path} belongs to another user (uid {found.st_uid})", hint="remove it: this node makes its own"
        )
    if stat.S_IMODE(found.st_mode) & ~mode:
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & mode)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _find_holder(descriptor: int) -> str:
    """As LockBusy.holder, from lines like "3: FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF"; those that wait have a "->"."""
    inode = os.fstat(descriptor).st_ino
    try:
        with Path("/proc/locks").open() as table:
            lines = table.read(MAX_TABLE_BYTES).splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return f"pid {fields[4]}"
    return ""
