"""Durable: what is written is still there after a power cut."""

from __future__ import annotations

import ctypes
import os
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
