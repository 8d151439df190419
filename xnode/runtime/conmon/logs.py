"""Logs: conmon's k8s-file log as a stream that can be taken up again at any of its offsets.

An offset is a byte position in the log file as it lies on disk (record headers included), always at the start of a
record. conmon only appends, so an offset means the same forever: after our death, the client's, or both. Any other
offset is moved forward to the next record. Of a long log only head and tail are kept (xnode.hole); a note stands for the
rest. Each record is one line "TIME STREAM TAG TEXT"; tag P means that the line goes on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import IO

import trio

from xnode.durable import naming, sync_file
from xnode.hole import HEAD_BYTES, TAIL_BYTES, Hole, find_hole, find_line, find_punched, read_hole, trim, write_hole

MAX_PIECE_BYTES = 65_536
"""The most one piece holds and one read takes; conmon's records are at most 8 KiB."""

POLL_S = 0.1
"""How often to look when the kernel has no inotify instance left for us (128 per user by default)."""

GATHER_S = 0.05
"""The least time between two pieces of a log that grows: a program that prints a hundred lines a second sends twenty pieces. What
comes after a pause is sent at once."""

LIMIT_BYTES = 4 << 30
"""The most of one workload's log that conmon writes; it drops what comes after. Of what it writes we keep head and tail."""

TRIM_S = 3.0
"""How often the log of a running workload is looked at: at most 400 MB, at the fastest that was ever seen, between two looks."""

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
        offset = await trio.to_thread.run_sync(_find_start, log, fd, offset)
        while True:
            # Asked before reading: what is written between the two is then read in the next round.
            is_last = ended() or not follow
            raw, hole = await trio.to_thread.run_sync(_read_around_hole, log, fd, offset)
            if hole is not None:
                note = hole.describe(offset)
                offset = hole.end
                yield offset, note
                continue
            piece, taken = parse_records(raw)
            offset += taken
            if piece:
                yield offset, piece
                if not is_last and len(raw) < MAX_PIECE_BYTES:
                    await trio.sleep(GATHER_S)
            elif is_last and not taken:
                return
            elif not taken:
                await growth.wait(wait_end)
    finally:
        growth.close()
        os.close(fd)


async def keep_short(log: Path) -> None:
    """Keep head and tail of a growing log, until cancelled."""
    while True:
        await trio.sleep(TRIM_S)
        if _size_of(log) > HEAD_BYTES + TAIL_BYTES:
            await trio.to_thread.run_sync(trim, log)


def _size_of(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def _find_start(log: Path, fd: int, offset: int) -> int:
    """Where a reader that comes with this offset begins: there if it is in a hole, so that the hole is told and not passed
    over, else at the next record."""
    offset = min(max(0, offset), os.fstat(fd).st_size)
    _, hole = _read_around_hole(log, fd, offset)
    return find_line(fd, offset) if hole is None else offset


def _read_around_hole(log: Path, fd: int, offset: int) -> tuple[bytes, Hole | None]:
    """The next bytes, or the hole that begins here."""
    raw = os.pread(fd, MAX_PIECE_BYTES, offset)
    # The marker goes with the lease's folder, while a reader that is behind still reads: then the file itself says what is gone.
    hole = read_hole(log) or find_punched(fd, offset, raw)
    if hole is None:
        return raw, None
    usable, _ = hole.find_gap(offset, len(raw))
    return raw[:usable], hole if hole.start <= offset < hole.end else None


def copy_log(log: Path, into: Path) -> None:
    """Copy a raw log but for its middle, if it is too long, durable when this returns; a workload that never wrote has an
    empty one. Blocks."""
    part = into.with_suffix(".part")
    try:
        with naming(into):
            _copy_log(log, part, into)
            part.replace(into)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _copy_log(log: Path, part: Path, into: Path) -> None:
    with part.open("wb") as target:
        with contextlib.suppress(FileNotFoundError), log.open("rb") as source:
            hole = find_hole(log, source.fileno())
            if hole is not None:
                write_hole(into, hole)
                _copy_bytes(source, target, hole.start)
                source.seek(hole.end)
                target.seek(hole.end)
            shutil.copyfileobj(source, target)
        sync_file(target)


def _copy_bytes(source: IO[bytes], target: IO[bytes], count: int) -> None:
    while count > 0 and (data := source.read(min(count, MAX_PIECE_BYTES))):
        target.write(data)
        count -= len(data)


def parse_records(raw: bytes) -> tuple[bytes, int]:
    """The text of all whole records at the beginning of `raw`, and how many bytes they took."""
    taken = raw.rfind(b"\n") + 1
    if not taken and len(raw) == MAX_PIECE_BYTES:
        return raw, len(raw)  # no record of conmon's: passed on as it is rather than waited for
    # Only a line feed ends a record: its text may hold carriage returns, and other bytes that some take for ends of lines.
    return b"".join(_text_of(line + b"\n") for line in raw[:taken].split(b"\n")[:-1]), taken


def _text_of(line: bytes) -> bytes:
    fields = line.split(b" ", 3)
    if len(fields) < 4:
        return line
    return fields[3] if fields[2] == b"F" else fields[3][:-1]


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
