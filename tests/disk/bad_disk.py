"""Bad disk: how this process tells the preloaded library of bad_disk.c which of its writes fail."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FOREVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Failure:
    """at: the first write that fails, counted from 1; count: how many in a row."""

    at: int
    error: int
    count: int = 1

    def __str__(self) -> str:
        lasts = "and every later one" if self.count == FOREVER else "alone"
        return f"{errno.errorcode[self.error]} at write {self.at}, {lasts}"


_LIBRARY = ctypes.CDLL(None)


def is_loaded() -> bool:
    """True in a process that was started with the library."""
    return hasattr(_LIBRARY, "bad_disk_arm")


def count_calls() -> int:
    """Writes below the folder so far."""
    _LIBRARY.bad_disk_calls.restype = ctypes.c_long
    return int(_LIBRARY.bad_disk_calls())


def name_failed() -> str:
    """What the first failed call was, "" when none has failed."""
    _LIBRARY.bad_disk_where.restype = ctypes.c_char_p
    return str(_LIBRARY.bad_disk_where().decode())


@contextmanager
def failing(failure: Failure | None) -> Iterator[None]:
    """The disk is bad while inside."""
    if failure is not None:
        _LIBRARY.bad_disk_arm(ctypes.c_long(failure.at), ctypes.c_long(failure.count), failure.error)
    try:
        yield
    finally:
        _LIBRARY.bad_disk_arm(ctypes.c_long(0), ctypes.c_long(0), 0)
