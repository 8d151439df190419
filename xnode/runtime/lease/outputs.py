"""Outputs: what a workload left under /work/out, taken into content-addressed blobs. The workload chose every name and
size."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from metering.units import Hash32
from scheduler.job import Blob
from scheduler.outputs import (
    MAX_FOLDERS,
    FileEntry,
    FolderEntry,
    Inventory,
    LinkEntry,
    Selection,
    find_inner_target,
)
from xnode.durable import sync_filesystem
from xnode.long_work import end_if_cancelled
from xnode.sparse import end_sparse, write_sparse

CHUNK_BYTES = 1 << 20

FREE_RESERVE_BYTES = 256 << 20
"""Left free on the provider's disk, as for any blob: its journal must never meet a full one."""

LOOK_EVERY = 64
"""Small files between two looks at the free space: together they take less than the reserve."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def collect(out: Path, into: Path, limit_bytes: int) -> Inventory:
    """What is below `out` as far as the rules allow it, each file copied to into/<sha256 hex>; durable when this returns.

    limit_bytes: the most all files together may claim to be; a sparse file claims more than the disk it lies on holds.
    Blocks, as long work; `out` must no longer change.
    """
    into.mkdir(parents=True, exist_ok=True)
    selection = Selection(limit_bytes)
    root = os.open(out, _FOLDER)
    try:
        for found in _walk(root, selection):
            end_if_cancelled()
            _take(found, into, selection)
    finally:
        os.close(root)
    sync_filesystem(into)
    return selection.finish()


@dataclass(frozen=True, slots=True)
class _Found:
    """Something in an open folder. is_empty: a folder with nothing in it."""

    folder: int
    name: bytes
    path: bytes
    status: os.stat_result
    is_empty: bool = False


@dataclass(slots=True)
class _Level:
    """A folder that is being walked: its descriptor, its path with a slash, and the names that are still to come."""

    fd: int
    prefix: bytes
    names: Iterator[bytes]


def _walk(root: int, selection: Selection) -> Iterator[_Found]:
    """Everything below an open folder but folders that hold something, in order of path, never through a link."""
    levels = [_Level(root, b"", iter(_list(root)))]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                levels.pop()
                if levels:
                    os.close(level.fd)
                continue
            path = level.prefix + name
            status = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                yield _Found(level.fd, name, path, status)
            elif len(levels) > MAX_FOLDERS:
                selection.leave(path, f"it lies deeper than {MAX_FOLDERS} folders")
            else:
                yield from _enter(levels, _Found(level.fd, name, path, status, is_empty=True), selection)
    finally:
        for level in levels[1:]:
            os.close(level.fd)


def _enter(levels: list[_Level], found: _Found, selection: Selection) -> Iterator[_Found]:
    """Go on inside a folder; one with nothing in it is itself what was found."""
    fd = -1
    try:
        fd = os.open(found.name, _FOLDER, dir_fd=found.folder)
        names = _list(fd)
    except OSError as error:
        selection.leave(found.path, f"it cannot be read: {error.strerror}")
        if fd >= 0:
            os.close(fd)
        return
    levels.append(_Level(fd, found.path + b"/", iter(names)))
    if not names:
        yield found


def _list(folder: int) -> list[bytes]:
    return sorted(os.fsencode(name) for name in os.listdir(folder))


def _take(found: _Found, into: Path, selection: Selection) -> None:
    """Take it, or leave it out with the reason."""
    mode = found.status.st_mode
    if found.is_empty:
        reason = selection.check(found.path)
        if reason is None:
            selection.take(FolderEntry(found.path))
    elif stat.S_ISLNK(mode):
        reason = _take_link(found, selection)
    elif stat.S_ISREG(mode):
        reason = _take_file(found, into, selection)
    else:
        reason = f"{_KINDS.get(stat.S_IFMT(mode), 'something unknown')}: only files, links and folders are taken"
    if reason is not None:
        selection.leave(found.path, reason)


def _take_link(found: _Found, selection: Selection) -> str | None:
    target = find_inner_target(found.path, os.readlink(found.name, dir_fd=found.folder))
    if target is None:
        return "a link that may lead outside the folder"
    reason = selection.check(found.path, target=target)
    if reason is None:
        selection.take(LinkEntry(found.path, target))
    return reason


def _take_file(found: _Found, into: Path, selection: Selection) -> str | None:
    size = found.status.st_size
    reason = selection.check(found.path, size)
    if reason is not None:
        return reason
    size_on_disk = found.status.st_blocks * 512
    looks = size_on_disk > CHUNK_BYTES or selection.count % LOOK_EVERY == 0
    if looks and size_on_disk + FREE_RESERVE_BYTES > shutil.disk_usage(into).free:
        return "the provider's own disk is full"
    try:
        with os.fdopen(os.open(found.name, _FILE, dir_fd=found.folder), "rb") as file:
            blob = _store(file, into)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return "the provider's own disk is full" if full else f"it cannot be read: {error.strerror}"
    is_executable = bool(found.status.st_mode & 0o111)
    selection.take(FileEntry(found.path, blob, is_executable, max(0, found.status.st_mtime_ns)))
    return None


def _store(file: IO[bytes], into: Path) -> Blob:
    """Copy under a name that is not looked for, then give it its hash as name: a crash leaves no blob that is not whole."""
    chunk = file.read(CHUNK_BYTES)
    if len(chunk) < CHUNK_BYTES:
        sha256 = hashlib.sha256(chunk)
        fresh = _name_fresh(into, file)
        _write(fresh, chunk)
        os.replace(fresh, f"{into}/{sha256.hexdigest()}")  # noqa: PTH105 (Path costs as much as the call)
        return Blob(Hash32(sha256.digest()), len(chunk))
    return _store_large(file, chunk, into)


def _name_fresh(into: Path, file: IO[bytes]) -> str:
    """A name for what is not whole yet: of the kind that the blob store, which has the same folder, clears at its start."""
    return f"{into}/new-{os.getpid()}-{id(file)}.part"


def _write(path: str, data: bytes) -> None:
    """By the system calls alone: there may be 100,000 of them."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def _store_large(file: IO[bytes], chunk: bytes, into: Path) -> Blob:
    fresh = Path(_name_fresh(into, file))
    digest, size = hashlib.sha256(), 0
    try:
        with fresh.open("wb") as copy:
            while chunk:
                end_if_cancelled()
                digest.update(chunk)
                write_sparse(copy, chunk)
                size += len(chunk)
                chunk = file.read(CHUNK_BYTES)
            end_sparse(copy)
        fresh.replace(into / digest.hexdigest())
    finally:
        fresh.unlink(missing_ok=True)
    return Blob(Hash32(digest.digest()), size)
