"""Delivery: a job's outputs written into a folder of its user, under names that a stranger chose.

Nothing is written through a link, nothing of the user's is replaced unasked, and what cannot be written is named.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from metering.units import Hash32
from scheduler.outputs import Entry, FileEntry, LeftOut, LinkEntry, show_path
from xnode.durable import sync_filesystem
from xnode.errors import ExitCode, Permanent, UserError
from xnode.long_work import end_if_cancelled, hash_file
from xnode.sparse import end_sparse, write_sparse

CHUNK_BYTES = 1 << 20

LAST_TIME_NS = 1 << 62
"""The year 2116: later times are no file's, and no file system takes all of them."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

PathOf = Callable[[Hash32], Path]
"""Where the bytes of this hash lie."""


def find_target_problem(into: Path) -> str:
    """Why nothing could be written below `into`, "" when something could: tried, for a mode does not tell of a file system.

    What does not exist is made below a name of its own, and removed again: of others who try, or write, beside it
    nothing is taken away. Blocks.
    """
    made: list[Path] = []
    try:
        there = next(folder for folder in (into, *into.parents) if os.path.lexists(folder))
        folder = there / f".xnode-{secrets.token_hex(8)}"
        for part in ("", *into.relative_to(there).parts):
            folder /= part
            folder.mkdir()
            made.append(folder)
        os.close(os.open(folder / "probe", _NEW, 0o600))
        (folder / "probe").unlink()
    except OSError as error:
        return f"{into} cannot be written: {error.strerror}"
    except ValueError as error:
        return f"{into} cannot be a folder: {error}"
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
    return ""


def deliver(
    entries: Sequence[Entry], path_of: PathOf, into: Path, replace: bool, progress: Callable[[int], None] | None = None
) -> tuple[LeftOut, ...]:
    """Write them below `into`, which is made; gives those that could not be written, and why. Durable, and blocks.

    replace: overwrite files and links that are different. Raises UserError (CONFLICT) without it when one is in the way,
    Permanent when the folder cannot be had. progress: how many are done.
    """
    try:
        is_new = not into.exists()
        into.mkdir(parents=True, exist_ok=True)
        root = os.open(into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Permanent(f"{into} cannot be written: {error.strerror}", hint="name another folder") from error
    writer = _Writer(_Folders(root), path_of, is_new)
    try:
        if not replace and not is_new:
            writer.check_free(entries, into)
        for number, entry in enumerate(entries, start=1):
            writer.write(entry)
            if progress is not None:
                progress(number)
        sync_filesystem(into)
    finally:
        writer.folders.close()
    return tuple(writer.faults)


def deliver_beside(
    entries: Sequence[Entry], path_of: PathOf, into: Path, other: str
) -> tuple[Path, tuple[LeftOut, ...]]:
    """(folder, faults) of deliver(), into a folder of the name `other` beside `into` when something different is in the
    way there."""
    try:
        return into, deliver(entries, path_of, into, replace=False)
    except UserError:
        into = into.with_name(other)
        return into, deliver(entries, path_of, into, replace=True)


@dataclass(slots=True)
class _Folders:
    """The folders on the way to the entry that is written, open one below the other; never entered through a link."""

    root: int
    _open: list[tuple[bytes, int]] = field(default_factory=list)

    def enter(self, parts: Sequence[bytes], make: bool) -> int:
        """A descriptor of the folder. Raises OSError; FileNotFoundError only when not told to make it."""
        common = 0
        while common < min(len(parts), len(self._open)) and self._open[common][0] == parts[common]:
            common += 1
        self._leave(common)
        for part in parts[common:]:
            above = self._open[-1][1] if self._open else self.root
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=above)
            self._open.append((part, os.open(part, _FOLDER, dir_fd=above)))
        return self._open[-1][1] if self._open else self.root

    def _leave(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop()[1])

    def close(self) -> None:
        self._leave(0)
        os.close(self.root)


@dataclass(slots=True)
class _Writer:
    """is_new: nothing lies in the folder yet."""

    folders: _Folders
    path_of: PathOf
    is_new: bool
    faults: list[LeftOut] = field(default_factory=list)

    def check_free(self, entries: Iterable[Entry], into: Path) -> None:
        """Raises UserError when something different lies where one of them is to lie."""
        for entry in entries:
            *above, name = entry.path.split(b"/")
            try:
                folder = self.folders.enter(above, make=False)
                is_free = _is_same(entry, name, folder)
            except FileNotFoundError:
                is_free = True
            except OSError:
                is_free = False
            if not is_free:
                raise UserError(
                    "exists and is different", where=str(into / show_path(entry.path)),
                    hint="use --force to replace it", code=ExitCode.CONFLICT,
                )  # fmt: skip

    def write(self, entry: Entry) -> None:
        """Write one, or note why not."""
        end_if_cancelled()
        *above, name = entry.path.split(b"/")
        try:
            folder = self.folders.enter(above, make=True)
            if not self.is_new and _has(entry, name, folder):
                return
            match entry:
                case FileEntry():
                    _put(self._copy(entry, folder), name, folder)
                case LinkEntry():
                    fresh = _fresh_name()
                    os.symlink(entry.target, fresh, dir_fd=folder)
                    _put(fresh, name, folder)
                case _:
                    self.folders.enter((*above, name), make=True)
        except OSError as error:
            self.faults.append(LeftOut(entry.path, f"it cannot be written: {error.strerror}"))

    def _copy(self, entry: FileEntry, folder: int) -> bytes:
        """The new name under which the file lies whole in the folder. Raises OSError."""
        source = os.open(self.path_of(entry.blob.sha256), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fresh, target = _open_fresh(entry, folder)
            try:
                if _copy_bytes(source, target) != entry.blob.sha256:
                    raise OSError(0, "the copy in the blob store is damaged; the disk may be failing")
                time_ns = min(entry.mtime_ns, LAST_TIME_NS)
                os.utime(target, ns=(time_ns, time_ns))
            except BaseException:
                os.unlink(fresh, dir_fd=folder)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)
        return fresh


def _copy_bytes(source: int, target: int) -> bytes:
    """The SHA-256 of what was copied; small files by the system calls alone, for there may be 100,000 of them."""
    chunk = os.read(source, CHUNK_BYTES)
    if len(chunk) < CHUNK_BYTES and os.write(target, chunk) == len(chunk):
        return hashlib.sha256(chunk).digest()
    os.lseek(source, 0, os.SEEK_SET)
    os.lseek(target, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    with open(source, "rb", closefd=False) as read, open(target, "wb", closefd=False) as write:
        while chunk := read.read(CHUNK_BYTES):
            end_if_cancelled()
            digest.update(chunk)
            write_sparse(write, chunk)
        end_sparse(write)
    return digest.digest()


def _put(fresh: bytes, name: bytes, folder: int) -> None:
    try:
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(fresh, dir_fd=folder)
        raise


def _fresh_name() -> bytes:
    return f".xnode-{secrets.token_hex(8)}".encode()


def _open_fresh(entry: FileEntry, folder: int) -> tuple[bytes, int]:
    """A new file for the entry, locked, under a name that tells another delivery of the same what was left by a killed one."""
    mode = 0o755 if entry.executable else 0o644
    fresh = b".xnode-" + hashlib.sha256(entry.path + b"/" + entry.blob.sha256).hexdigest()[:16].encode()
    _remove_left(fresh, folder)
    try:
        target = os.open(fresh, _NEW, mode, dir_fd=folder)
    except FileExistsError:  # another delivery writes the same right now
        fresh = _fresh_name()
        target = os.open(fresh, _NEW, mode, dir_fd=folder)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fresh, target


def _remove_left(fresh: bytes, folder: int) -> None:
    """Remove what a delivery left that was killed; not while its writer lives."""
    with suppress(OSError):
        left = os.open(fresh, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(fresh, dir_fd=folder)
        finally:
            os.close(left)


def _is_same(entry: Entry, name: bytes, folder: int) -> bool:
    """True when nothing lies there, or what is to lie there. Raises OSError, FileNotFoundError when there is nothing."""
    return _has(entry, name, folder) or not _exists(name, folder)


def _exists(name: bytes, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _has(entry: Entry, name: bytes, folder: int) -> bool:
    """True when it lies there already."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    match entry:
        case LinkEntry():
            return stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=folder) == entry.target
        case FileEntry():
            if not stat.S_ISREG(status.st_mode) or status.st_size != entry.blob.size_bytes:
                return False
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
                return bool(hash_file(file).digest() == entry.blob.sha256)
        case _:
            return stat.S_ISDIR(status.st_mode)
