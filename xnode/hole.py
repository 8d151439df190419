"""Hole: the middle of a log that grows too long, given back to the disk; a marker beside the file says where it was.

Positions before and behind it stay what they were, so a reader of the file goes on at the offset it knows.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from xnode.durable import replace_file

HEAD_BYTES = 32 << 20
"""Kept from the beginning of a log: how it began is half of what it is read for."""

TAIL_BYTES = 32 << 20
"""Kept from the end: how it ended is the other half."""

SLACK_BYTES = 8 << 20
"""How far a log outgrows head and tail before its hole is made larger: not at each line."""

PAGE_BYTES = 4096

_PUNCH_HOLE, _KEEP_SIZE = 2, 1
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Hole:
    """start, end: what is missing, from the beginning of a line to the beginning of another."""

    start: int
    end: int

    def find_gap(self, offset: int, size: int) -> tuple[int, int]:
        """(bytes that may be used of `size` read at `offset`, where to go on when that is none)."""
        if offset + size <= self.start or offset >= self.end:
            return size, offset
        return (self.start - offset, offset) if offset < self.start else (0, self.end)

    def describe(self, offset: int) -> bytes:
        """What stands in the log in place of what is missing from here on."""
        return b"\n[xnode: %d bytes of this log were not kept: only its beginning and its end are]\n" % (
            self.end - offset
        )


def marker_of(log: Path) -> Path:
    """The file beside a log that says where its hole is."""
    return log.with_name(log.name + ".hole")


def read_hole(log: Path) -> Hole | None:
    """The hole of a log, or None. Read it after the log: it is written before anything is given back."""
    try:
        start, end = marker_of(log).read_text().split()
    except FileNotFoundError:
        return None
    return Hole(int(start), int(end))


def write_hole(log: Path, hole: Hole) -> None:
    """Say where a hole is about to be. Blocks."""
    replace_file(marker_of(log), f"{hole.start} {hole.end}", sync=False)


def find_hole(log: Path, fd: int) -> Hole | None:
    """The hole that the log should have by now, which is the one it has, or a larger one. Blocks."""
    size, hole = os.fstat(fd).st_size, read_hole(log)
    if size - (hole.end if hole else HEAD_BYTES) <= TAIL_BYTES + SLACK_BYTES:
        return hole
    start = hole.start if hole else find_line(fd, HEAD_BYTES)
    return Hole(start, max(start, find_line(fd, size - TAIL_BYTES)))


def find_punched(fd: int, offset: int, raw: bytes) -> Hole | None:
    """The hole among the bytes `raw` that were read at `offset`, the beginning of a line, as the file system knows it."""
    if b"\0" not in raw:
        return None
    start = os.lseek(fd, offset, os.SEEK_HOLE)
    if start >= offset + len(raw):
        return None
    try:
        end = os.lseek(fd, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        end = os.fstat(fd).st_size
    return Hole(offset + raw[: start - offset].rfind(b"\n") + 1, find_line(fd, end))


def trim(log: Path) -> None:
    """Give back the middle of a log that has grown too long. Blocks; the program that writes to it only appends."""
    try:
        fd = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        hole = find_hole(log, fd)
        if hole is not None and hole != read_hole(log):
            write_hole(log, hole)
            _punch(fd, hole)
    finally:
        os.close(fd)


def _punch(fd: int, hole: Hole) -> None:
    start = -(-hole.start // PAGE_BYTES) * PAGE_BYTES
    length = hole.end // PAGE_BYTES * PAGE_BYTES - start
    if length <= 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length))
    # A file system without holes keeps the bytes; nobody reads them any more.
    if done != 0 and ctypes.get_errno() != errno.EOPNOTSUPP:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "the log's middle")


def find_line(fd: int, offset: int) -> int:
    """The first beginning of a line at or after `offset`; the end of the file when none begins."""
    size = os.fstat(fd).st_size
    offset = max(0, offset)
    if offset == 0 or offset >= size:
        return min(offset, size)
    while offset < size:
        before = os.pread(fd, _READ_BYTES, offset - 1)
        at = before.find(b"\n")
        if at >= 0:
            return offset + at
        offset += len(before)
    return size
