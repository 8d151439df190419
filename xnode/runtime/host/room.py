"""Room: how much of a disk something may still fill, looked at while it is being filled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from xnode.errors import Permanent

MAX_UNPACKED_BYTES = 64 << 30
"""What one image may unpack to: the largest with a whole CUDA tool kit take a third of it."""

MAX_UNPACKED_FILES = 1_000_000
"""A whole scientific Python has a third of it."""

MAX_RATIO, SMALL_BYTES = 20, 1 << 30
"""How many times its packed bytes an image may unpack to: images have 2 to 5 of them, a bomb a thousand. A small image may be
odd: up to so many bytes it may unpack to anyhow."""

KEEP_BYTES = 512 << 20
"""Stays free whatever an image unpacks to: the journal on the same disk must never meet a full one."""

KEEP_FILES = 10_000
"""And so many inodes: a layer may be millions of empty files."""


@dataclass(frozen=True, slots=True)
class Room:
    """most_bytes, most_files: what one watch allows; keep_bytes, keep_files: what stays free beside it."""

    most_bytes: int = MAX_UNPACKED_BYTES
    keep_bytes: int = KEEP_BYTES
    keep_files: int = KEEP_FILES
    most_files: int = MAX_UNPACKED_FILES

    def for_packed(self, packed_bytes: int) -> Room:
        """The room for what is unpacked from so many bytes."""
        return replace(self, most_bytes=min(self.most_bytes, max(SMALL_BYTES, packed_bytes * MAX_RATIO)))

    def watch(self, folder: Path) -> RoomWatch:
        """From now on. Raises Permanent when the disk is full already."""
        watch = RoomWatch(self, folder, *_free_of(folder))
        watch.check()
        return watch


@dataclass(frozen=True, slots=True)
class RoomWatch:
    """free_bytes, free_files: of the disk when it began; what others write meanwhile is missing there too."""

    room: Room
    folder: Path
    free_bytes: int
    free_files: int

    def check(self, more_bytes: int = 0) -> None:
        """Raises Permanent when the disk has no room for so many bytes more beside what stays free."""
        free_bytes, free_files = _free_of(self.folder)
        if free_bytes - more_bytes < self.room.keep_bytes or 0 <= free_files < self.room.keep_files:
            raise Permanent(
                f"disk full: {self.folder} has {free_bytes} bytes free, and {self.room.keep_bytes} must stay free",
                code="image_room",
                hint="free some, or move the data folder",
                told="this provider's disk has no room for the image",
            )

    def may_be_used_up(self) -> bool:
        """True when so much is gone since the beginning that it is worth to look who wrote it."""
        free_bytes, free_files = _free_of(self.folder)
        gone = self.free_bytes - free_bytes > self.room.most_bytes
        return gone or (free_files >= 0 and self.free_files - free_files > self.room.most_files)

    def is_used_up_by(self, folders: Iterable[Path]) -> bool:
        """True when these hold more than is allowed. Blocks for as long as their files take to count, up to that many."""
        left_bytes, left_files = self.room.most_bytes, self.room.most_files
        waiting = list(folders)
        while waiting and left_bytes >= 0 and left_files >= 0:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        left_bytes -= entry.stat(follow_symlinks=False).st_blocks * 512
                        left_files -= 1
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(Path(entry.path))
                        if left_bytes < 0 or left_files < 0:
                            break
            except OSError:
                continue  # taken away meanwhile
        return left_bytes < 0 or left_files < 0

    def describe(self) -> str:
        """How much is allowed."""
        return f"{self.room.most_bytes} bytes or {self.room.most_files} files"


def free_bytes_of(folder: Path) -> int:
    """What may be written to the folder's disk."""
    return _free_of(folder)[0]


def _free_of(folder: Path) -> tuple[int, int]:
    """(bytes, files) that may still be written; files -1 where the file system has no limit of its own."""
    space = os.statvfs(folder)
    return space.f_bavail * space.f_frsize, space.f_favail if space.f_files else -1
