"""Given file: a file that a person names, read whole within a size and a time: it may be a device, or a pipe without a writer."""

from __future__ import annotations

import errno
import os
import select
import time
from pathlib import Path

WAIT_S = 10.0
"""For a program that writes to a pipe, such as the shell's <(command): longer than a password manager takes to ask."""

_PIECE_BYTES = 1 << 16


def read_given(path: Path, max_bytes: int) -> bytes:
    """All of the file's bytes. Raises OSError that names the file, also where it is longer or its pipe stays silent."""
    try:
        return _read(path, max_bytes)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except ValueError as error:
        # A zero byte cannot be in a name.
        raise OSError(errno.EINVAL, str(error), str(path)) from error


def read_given_text(path: Path, max_bytes: int) -> str:
    """The same as text. Raises OSError where it is not UTF-8, too."""
    try:
        return read_given(path, max_bytes).decode()
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, "it is not text in UTF-8", str(path)) from error


def _read(path: Path, max_bytes: int) -> bytes:
    end = time.monotonic() + WAIT_S
    # Without O_NONBLOCK the opening itself waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        data = bytearray()
        while len(data) <= max_bytes:
            if not waiter.poll(max(0.0, end - time.monotonic()) * 1000):
                raise OSError(errno.ETIMEDOUT, f"nothing came out of it within {WAIT_S:g} s")
            try:
                piece = os.read(descriptor, _PIECE_BYTES)
            except BlockingIOError:
                continue
            if not piece:
                return bytes(data)
            data += piece
        raise OSError(errno.EFBIG, f"it is longer than {max_bytes:,} bytes")
    finally:
        os.close(descriptor)
