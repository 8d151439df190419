"""Waiting: for what another process, a library or a disk does and tells no one: asking again is all that is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

import trio

T = TypeVar("T")

LOOK_S = 0.01
"""Between looks: the only sleep of the tests; everything else waits for an event or runs on a clock of its own."""


@overload
async def wait_until(
    look: Callable[[], Awaitable[T]], within_s: float = 30.0, despite: type[Exception] | tuple[()] = ()
) -> T: ...


@overload
async def wait_until(look: Callable[[], T], within_s: float = 30.0, despite: type[Exception] | tuple[()] = ()) -> T: ...


async def wait_until(look: Callable[[], Any], within_s: float = 30.0, despite: type[Exception] | tuple[()] = ()) -> Any:
    """The first true answer of `look`, which may be async; raises trio.TooSlowError when there is none within the time.

    despite: an error that only says that it is not so yet.
    """
    with trio.fail_after(within_s):
        while True:
            try:
                answer = look()
                found = await answer if isawaitable(answer) else answer
                if found:
                    return found
            except despite:
                pass
            await trio.sleep(LOOK_S)
    raise AssertionError("unreachable")


async def pass_time(seconds: float) -> None:
    """Let so much of a mock clock's time pass, which takes none of ours."""
    await trio.sleep_until(trio.current_time() + seconds)
