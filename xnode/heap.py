"""Heap: what this process keeps of memory, by Python's collector and by the C library's allocator.

What strangers make us hold for a moment must not stay ours: freed memory lies between what is still used, and the allocator keeps
it unless it is told otherwise.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import suppress

import trio

FIRST_THRESHOLD = 10_000
"""New objects between two collections of the young ones: a batch of a few hundred changes makes as many as 700, the default, all
the time, and none of them are cycles."""

TRIM_EVERY_S = 30.0
"""A trim takes milliseconds, and a flood gains little within this."""

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""Names of glibc's mallopt(3)."""

MAX_ARENAS = 2
"""As shipped, each of the dozen threads that wait for disks may open an arena of its own."""

MAPPED_FROM_BYTES = 128 << 10
"""Larger pieces go back to the system as soon as they are freed. As shipped, this grows with the first such piece to 32 MB."""


def bound_allocator() -> None:
    """Call it before any thread is started. Another C library than glibc is left as it is."""
    mallopt = _find("mallopt")
    if mallopt is not None:
        mallopt(_ARENA_MAX, MAX_ARENAS)
        mallopt(_MMAP_THRESHOLD, MAPPED_FROM_BYTES)


async def keep_trimmed() -> None:
    """Give back what is freed, again and again."""
    trim = _find("malloc_trim")
    while trim is not None:
        await trio.sleep(TRIM_EVERY_S)
        trim(0)


def freeze_start() -> None:
    """Leave out of every later collection what is there now: modules, adapters and loaded records live as long as we do.
    Call it once, when the daemon is ready. What importing has left of garbage stays too: little, and finding it would hold
    up every lease for a tenth of a second, right after the start."""
    gc.freeze()
    gc.set_threshold(FIRST_THRESHOLD)
    gc.enable()


def _find(name: str) -> Callable[..., int] | None:
    with suppress(OSError, AttributeError):
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
        return found
    return None
