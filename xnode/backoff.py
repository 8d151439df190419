"""Backoff: how long to wait between tries of what keeps failing: soon at first, then ever longer, up to a limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import trio

from xnode.errors import Permanent, Retryable, real_error_of
from xnode.outage import Outage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """first_s, most_s: the first and the longest pause, in seconds; each is twice the one before."""

    first_s: float
    most_s: float

    def __post_init__(self) -> None:
        assert 0 < self.first_s <= self.most_s, self

    def pauses(self, spread: Callable[[], float] = lambda: 1.0) -> Iterator[float]:
        """The pauses of one run of failures, without end; after a success, begin a new run.

        spread: numbers from 0 to 1, by which each pause is cut to between its half and its whole. Give random ones where
        many nodes may fail at the same moment, so that they do not all come back at the same moment.
        """
        pause_s = self.first_s
        while True:
            yield pause_s * (1 + spread()) / 2
            pause_s = min(2 * pause_s, self.most_s)


async def retry_forever(what: str, action: Callable[[], Awaitable[T]], backoff: Backoff, **fields: Any) -> T:
    """What the action gives once it succeeds; Retryable and Permanent (a person may fix it meanwhile) are waited out.

    what: a few words for the log, like "sweep of orphaned workloads"; fields: more for the log.
    """
    outage = Outage(what, **fields)
    for pause_s in backoff.pauses():
        try:
            found = await action()
            outage.over()
            return found
        except* (Retryable, Permanent) as group:
            outage.failed(str(real_error_of(group)))
        await trio.sleep(pause_s)
    raise AssertionError("pauses have no end")
