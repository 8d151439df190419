"""Long work: what blocks in a thread for minutes, over many bytes, and ends early when its caller is cancelled."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import IO, Any

import trio

CHUNK_BYTES = 1 << 20


def end_if_cancelled() -> None:
    """Raises trio.Cancelled in a thread that trio started and whose task is cancelled; anywhere else it does nothing.

    trio waits for its threads: a daemon that is told to stop in the middle of such work would stop when it is done.
    """
    with suppress(RuntimeError):  # no thread of trio's: a command, or a test
        trio.from_thread.check_cancelled()


def hash_file(file: IO[bytes]) -> Any:
    """The SHA-256, which can go on, of the rest of an open file. Blocks, as long work."""
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        end_if_cancelled()
        digest.update(chunk)
    return digest
