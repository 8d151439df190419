"""Logs: conmon's k8s-file log as a stream that can be taken up again at any of its offsets.

An offset is a byte position in the log file as it lies on disk (record headers included), always at the start of a
record.
conmon only appends, so an offset means the same forever: after our death, the client's, or both. Any other offset is
moved forward to the next record. Each record is one line "TIME STREAM TAG TEXT"; tag P means that the line goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import trio

from xnode.durable import sync_file

MAX_PIECE_BYTES = 65_536
"""The most one piece holds and one read takes; conmon's records are at most 8 KiB."""

POLL_S = 0.1
"""How often to look when the kernel has no inotify instance left for us (128 per user by default)."""

IN_MODIFY, IN_NONBLOCK, IN_CLOEXEC = 0x2, os.O_NONBLOCK, os.O_CLOEXEC


async def read_pieces(
    log: Path, offset: int, follow: bool, ended: Callable[[], bool], wait_end: Callable[[], Awaitable[object]]
) -> AsyncGenerator[tuple[int, bytes], None]:
    """(offset after this piece, piece) from `offset` on; with `follow` until the workload has ended and all is read.

    ended: tells whether everything the workload wrote is in the file; wait_end: returns when it has become so.
    """
    try:
        fd = await trio.to_thread.run_sync(os.open, log, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    growth = Growth(log)
    try:
        offset = await trio.to_thread.run_sync(find_record, fd, offset)
        while True:
            # Asked before reading: what is written between the two is then read in the next round.
            is_last = ended() or not follow
            raw = await trio.to_thread.run_sync(os.pread, fd, MAX_PIECE_BYTES, offset)
            piece, taken = parse_records(raw)
            offset += taken
            if piece:
                yield offset, piece
            elif is_last and not taken:
                return
            elif not taken:
                await growth.wait(wait_end)
    finally:
        growth.close()
        os.close(fd)


def copy_log(log: Path, into: Path) -> None:
    """Copy a raw log, whole and durable when this returns; a workload that never wrote has an empty one. Blocks."""
    part = into.with_suffix(".part")
    with part.open("wb") as target:
        with contextlib.suppress(FileNotFoundError), log.open("rb") as source:
            shutil.copyfileobj(source, target)
        sync_file(target)
    part.replace(into)


def parse_records(raw: bytes) -> tuple[bytes, int]:
    """The text of all whole records at the beginning of `raw`, and how many bytes they took."""
    taken = raw.rfind(b"\n") + 1
    if not taken and len(raw) == MAX_PIECE_BYTES:
        return raw, len(raw)  # no record of conmon's: passed on as it is rather than waited for
    return b"".join(_text_of(line) for line in raw[:taken].splitlines(keepends=True)), taken


def _text_of(line: bytes) -> bytes:
    fields = line.split(b" ", 3)
    if len(fields) < 4:
        return line
    return fields[3] if fields[2] == b"F" else fields[3][:-1]


def find_record(fd: int, offset: int) -> int:
    """The first start of a record at or after `offset`."""
    size = os.fstat(fd).st_size
    offset = max(0, offset)
    if offset == 0 or offset >= size:
        return min(offset, size)
    while offset < size:
        before = os.pread(fd, MAX_PIECE_BYTES, offset - 1)
        at = before.find(b"\n")
        if at >= 0:
            return offset + at
        offset += len(before)
    return size


class Growth:
    """Waits until a file has grown, by inotify."""

    def __init__(self, path: Path) -> None:
        self._fd = _open_inotify(path)

    async def wait(self, wait_end: Callable[[], Awaitable[object]]) -> None:
        """Returns at the next write, or when `wait_end` returns."""
        async with trio.open_nursery() as nursery:

            async def cancel_after(wait: Callable[[], Awaitable[object]]) -> None:
                await wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(cancel_after, self._wait_write)
            nursery.start_soon(cancel_after, wait_end)

    async def _wait_write(self) -> None:
        if self._fd is None:
            await trio.sleep(POLL_S)
            return
        await trio.lowlevel.wait_readable(self._fd)
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4096)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


def _open_inotify(path: Path) -> int | None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
    if fd < 0:
        if ctypes.get_errno() in (errno.EMFILE, errno.ENFILE):
            return None
        raise OSError(ctypes.get_errno(), "inotify_init1")
    libc.inotify_add_watch(fd, os.fsencode(path), IN_MODIFY)
    return int(fd)
