"""Pack: many small files in one blob, so that ten thousand inputs are one fetch and one line of a job.

b"xnode-pack-1\\n", the index's length as 8 hex digits and a line feed, the index as JSON ([[path, size, executable], ...]), then
the contents one after the other. Made by a submitter, who may be a stranger.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from scheduler.job import MAX_INPUT_FILES, check_path
from xnode.errors import Permanent
from xnode.ports.store import LocalFile
from xnode.runtime.host.room import KEEP_BYTES, KEEP_FILES, free_bytes_of

MAGIC = b"xnode-pack-1\n"
LENGTH_CHARS = 8

MAX_INDEX_BYTES = 64 << 20
"""A hundred thousand files with paths of half a kilobyte."""

PIECE_BYTES = 1 << 20


class _Line(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    path: str
    size_bytes: int
    executable: bool


def write_pack(files: Iterable[LocalFile]) -> Iterator[bytes]:
    """The pack in pieces; the same files give the same bytes. Raises Permanent when a file changes meanwhile."""
    ordered = sorted(files, key=lambda one: one.path)
    index = msgspec.json.encode([_Line(one.path, one.size_bytes, one.executable) for one in ordered])
    if len(index) > MAX_INDEX_BYTES:
        raise Permanent(f"the names of the inputs have {len(index)} bytes, and {MAX_INDEX_BYTES} is the most")
    buffer = bytearray(MAGIC + b"%08x\n" % len(index) + index)
    for one in ordered:
        if len(buffer) >= PIECE_BYTES:
            yield bytes(buffer)
            buffer.clear()
        buffer += _read_exactly(one)
    yield bytes(buffer)


def unpack(pack: Path, into: Path) -> None:
    """Write a pack's files below a folder, read-only; none may be there already. Blocks. Raises Permanent with what is wrong."""
    with pack.open("rb") as file:
        lines = _read_index(file)
        left = os.fstat(file.fileno()).st_size - file.tell()
        if sum(line.size_bytes for line in lines) != left:
            raise Permanent("the packed inputs are not as long as their index says")
        if (
            free_bytes_of(into) - left - 4096 * len(lines) < KEEP_BYTES
            or 0 < _free_files(into) < len(lines) + KEEP_FILES
        ):
            raise Permanent(f"disk full: {into} has no room for {left} bytes of inputs in {len(lines)} files")
        made: set[Path] = set()
        for line in lines:
            target = into / line.path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            _write(file, target, line)


def _write(file: IO[bytes], target: Path, line: _Line) -> None:
    # O_EXCL: two files of one name, or one in the place of another's folder, are the submitter's mistake.
    mode = 0o555 if line.executable else 0o444
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as copy:
        left = line.size_bytes
        while left:
            piece = file.read(min(PIECE_BYTES, left))
            copy.write(piece)
            left -= len(piece)
    target.chmod(mode)  # whatever our umask is


def _read_index(file: IO[bytes]) -> list[_Line]:
    head = file.read(len(MAGIC) + LENGTH_CHARS + 1)
    with suppress(ValueError, msgspec.DecodeError):
        length = int(head[len(MAGIC) : -1], 16)
        if head.startswith(MAGIC) and head.endswith(b"\n") and 0 < length <= MAX_INDEX_BYTES:
            lines = msgspec.json.decode(file.read(length), type=list[_Line])
            if len(lines) <= MAX_INPUT_FILES and all(line.size_bytes >= 0 for line in lines):
                for line in lines:
                    wrong = check_path(line.path)
                    if wrong:
                        raise Permanent(f"packed input {line.path[:64]!r} {wrong}")
                return lines
    raise Permanent("the packed inputs have no index that can be read")


def _read_exactly(one: LocalFile) -> bytes:
    try:
        data = one.source.read_bytes()
    except OSError as error:
        raise Permanent(f"{one.source} cannot be read: {error.strerror}") from error
    if len(data) != one.size_bytes:
        raise Permanent(f"{one.source} changed while it was read", hint="submit again once nothing writes to it")
    return data


def _free_files(folder: Path) -> int:
    """Inodes; 0 on file systems that do not count them."""
    space = os.statvfs(folder)
    return space.f_favail if space.f_files else 0
