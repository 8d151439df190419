"""Outputs: what a workload left under /work/out, taken into content-addressed blobs. The workload chose every name and
size."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from metering.units import Hash32
from scheduler.job import Blob, OutputFile
from xnode.durable import sync_file
from xnode.errors import Permanent

MAX_FILES = 10_000
"""Files in one lease's outputs; more belong in an archive."""

MAX_DEPTH = 32
"""Folders in folders: each level holds a descriptor open while we are in it."""

MAX_PATH_BYTES = 1024

CHUNK_BYTES = 1 << 20


def collect(out: Path, into: Path, limit_bytes: int) -> tuple[OutputFile, ...]:
    """Every regular file below `out`, by path, copied to into/<sha256 hex>. Blocks; `out` must no longer change.

    limit_bytes: the most all files together may claim to be; a sparse file claims more than the disk it lies on holds.
    Links, devices and pipes are left out. Raises Permanent above a limit.
    """
    into.mkdir(parents=True, exist_ok=True)
    root = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    files: list[OutputFile] = []
    total = 0
    try:
        for path, fd in _walk(root, "", 0):
            with os.fdopen(fd, "rb") as file:
                total += os.fstat(fd).st_size
                if len(files) == MAX_FILES:
                    raise Permanent(f"/work/out holds more than {MAX_FILES} files", hint="put them into an archive")
                if total > limit_bytes:
                    raise Permanent(
                        f"/work/out/{path}: files claim more than the {limit_bytes} bytes of the lease's disk"
                    )
                files.append(OutputFile(path, _store(file, into)))
    finally:
        os.close(root)
    return tuple(sorted(files, key=lambda file: file.path))


def _walk(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, int]]:
    """(path, open descriptor) of every regular file below an open folder, never through a link."""
    if depth > MAX_DEPTH:
        raise Permanent(f"/work/out/{prefix} is nested deeper than {MAX_DEPTH} folders")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = _checked(prefix + name)
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                yield from _walk(below, path + "/", depth + 1)
            finally:
                os.close(below)
        elif stat.S_ISREG(kind):
            yield path, os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)


def _checked(path: str) -> str:
    """The path, or Permanent when it could not cross the wire as text."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise Permanent(f"/work/out holds a name that is not UTF-8: {path[:80]!r}") from None
    if size > MAX_PATH_BYTES:
        raise Permanent(f"/work/out/{path[:80]}... is a path longer than {MAX_PATH_BYTES} bytes")
    return path


def _store(file: BinaryIO, into: Path) -> Blob:
    """Copy under a name that is not looked for, then give it its hash as name: a crash leaves no partial blob."""
    fresh = into / f".output.{os.getpid()}.{id(file)}"
    digest, size = hashlib.sha256(), 0
    try:
        with fresh.open("xb") as copy:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
                size += len(chunk)
            sync_file(copy)
        fresh.replace(into / digest.hexdigest())
    finally:
        fresh.unlink(missing_ok=True)
    return Blob(Hash32(digest.digest()), size)
