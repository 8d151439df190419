"""RepeatedEvent: an event that happens again and again; each time it wakes everyone who waits for it."""

from __future__ import annotations

import trio


class RepeatedEvent:
    """Unlike trio.Event it does not stay set: a task that begins to wait afterwards waits for the next time."""

    def __init__(self) -> None:
        self._next = trio.Event()

    def set(self) -> None:
        """Wake every task that waits."""
        happened, self._next = self._next, trio.Event()
        happened.set()

    async def wait(self) -> None:
        """Returns when it happens next. Misses nothing if there was no await since the state was read."""
        await self._next.wait()

    def next(self) -> trio.Event:
        """The next time, as an event of its own. Taken before the state is read, it misses nothing, however long the
        reading takes."""
        return self._next
