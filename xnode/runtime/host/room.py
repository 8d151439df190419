"""Room: how much of a disk something may still fill, looked at while a program that is not ours fills it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from xnode.errors import Permanent

MAX_UNPACKED_BYTES = 64 << 30
"""What one image may unpack to: the largest with a whole CUDA tool kit take a third of it."""

KEEP_BYTES = 512 << 20
"""Stays free whatever an image unpacks to: the journal on the same disk must never meet a full one."""

KEEP_FILES = 10_000
"""And so many inodes: a layer may be millions of empty files."""


@dataclass(frozen=True, slots=True)
class Room:
    """most_bytes: what one watch allows; keep_bytes, keep_files: what stays free beside it."""

    most_bytes: int = MAX_UNPACKED_BYTES
    keep_bytes: int = KEEP_BYTES
    keep_files: int = KEEP_FILES

    def watch(self, folder: Path) -> RoomWatch:
        """From now on. Raises Permanent when the disk is full already."""
        watch = RoomWatch(self, folder, free_bytes_of(folder))
        if watch.is_used_up():
            raise Permanent(
                f"disk full: {folder} has {watch.free_bytes} bytes free, and {self.keep_bytes} must stay free",
                hint="free some, or move the data folder",
            )
        return watch


@dataclass(frozen=True, slots=True)
class RoomWatch:
    """free_bytes: when it began. What others write meanwhile counts too: a full disk is nobody's fault alone."""

    room: Room
    folder: Path
    free_bytes: int

    def is_used_up(self) -> bool:
        """True when what has come must be the end of it."""
        space = os.statvfs(self.folder)
        free = space.f_bavail * space.f_frsize
        few_files = space.f_files > 0 and space.f_favail < self.room.keep_files
        return few_files or free < self.room.keep_bytes or self.free_bytes - free > self.room.most_bytes

    def describe(self) -> str:
        """How much there was."""
        return f"the {min(self.room.most_bytes, self.free_bytes - self.room.keep_bytes)} bytes there is room for here"


def free_bytes_of(folder: Path) -> int:
    """What may be written to the folder's disk."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize
