"""Waiting: for what another process, a library or a disk does and tells no one: asking again is all that is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

import trio

T = TypeVar("T")

LOOK_S = 0.01
"""Between looks: the only sleep of the tests; everything else waits for an event or runs on a clock of its own."""


async def wait_until(
    look: Callable[[], T | Awaitable[T]], within_s: float = 30.0, despite: type[Exception] | tuple[()] = ()
) -> T:
    """The first true answer of `look`, which may be async; raises trio.TooSlowError when there is none within the time.

    despite: an error that only says that it is not so yet.
    """
    with trio.fail_after(within_s):
        while True:
            try:
                answer = look()
                found: T = await answer if isawaitable(answer) else answer  # type: ignore[assignment]
                if found:
                    return found
            except despite:
                pass
            await trio.sleep(LOOK_S)
    raise AssertionError("unreachable")
