"""Durable: what is written is still there after a power cut."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


def sync_file(file: IO[Any]) -> None:
    """What was written to an open file is on the disk when this returns. Blocks."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """The names in the folder are on the disk when this returns: after a file in it was made, renamed or removed. Blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError raised inside says which file it is about: of a write or a sync the system does not tell."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def replace_file(path: Path, content: str | bytes, mode: int = 0o666, sync: bool = True) -> None:
    """The file has this content, durable, when this returns; else it is as it was, and nothing else is left. Blocks.

    Raises OSError that names the file. mode: of a file that is new, less the umask; sync: False for what a power cut may undo.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with naming(path):
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                if sync:
                    sync_file(file)
            draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if sync:
        with naming(path):
            sync_folder(path.parent)


def write_new_file(path: Path, content: bytes, mode: int) -> None:
    """As replace_file(), but never over another: raises FileExistsError when there is one of that name. Blocks."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with naming(path):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                sync_file(file)
            # link() refuses to replace a name that has come up meanwhile; rename() would lose that file.
            os.link(draft, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def sync_filesystem(folder: Path) -> None:
    """All that was written on the file system of this folder is on the disk when this returns. Blocks.

    For many small files: one wait in place of one for each.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)
