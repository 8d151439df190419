"""Heap: how the garbage collector is kept from work that finds nothing."""

from __future__ import annotations

import gc

FIRST_THRESHOLD = 10_000
"""New objects between two looks at the young ones: a batch of a few hundred changes makes as many as 700, the default, all
the time, and none of them are cycles."""


def freeze_start() -> None:
    """Leave out of every later collection what is there now: modules, adapters and loaded records live as long as we do.
    Call it once, when the daemon is ready."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(FIRST_THRESHOLD)
