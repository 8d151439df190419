"""Clockwork: virtual time and the tasks that run in it, one event after the other, the same for the same seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

MAX_EVENTS = 400_000
"""A history with more has gone round in circles."""


class PowerLost(BaseException):
    """The machine on which this task ran is off: nothing after this point happens."""


class Future(Generic[T]):
    """Something that will be known later. Awaiting it waits for that."""

    __slots__ = ("_error", "_value", "_waiting", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._waiting: list[Callable[[], None]] = []

    def set(self, value: T) -> None:
        """Known now. A second time changes nothing."""
        if not self.is_done:
            self._value = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Will never be known, for this reason."""
        if not self.is_done:
            self._error = error
            self._finish()

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this when it is known, at once when it is."""
        if self.is_done:
            call()
        else:
            self._waiting.append(call)

    def result(self) -> T:
        """The value, or raises the reason."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator[Future[T], None, T]:
        if not self.is_done:
            yield self
        return self.result()

    def _finish(self) -> None:
        self.is_done = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


class Runner(Protocol):
    """What a task is run by: the world's clockwork, or one host's clock."""

    def soon(self, call: Callable[[], None]) -> None: ...


class Task(Generic[T]):
    """A coroutine on its way. `done` is known when it ends; on_power_lost is called when a fault point ends it."""

    __slots__ = ("_coro", "_is_closed", "_on_power_lost", "_runner", "_runs", "done")

    def __init__(self, runner: Runner, coro: Coroutine[Any, None, T], on_power_lost: Callable[[], None]) -> None:
        self._runner, self._coro, self._on_power_lost = runner, coro, on_power_lost
        self._is_closed = self._runs = False
        self.done: Future[T] = Future()
        runner.soon(self._resume)

    def close(self) -> None:
        """End it where it waits; nothing of it happens any more."""
        self._is_closed = True
        if not self._runs:
            self._coro.close()

    def _resume(self) -> None:
        if self._is_closed:
            return
        self._runs = True
        try:
            future = self._coro.send(None)
        except StopIteration as stop:
            self.done.set(stop.value)
        except PowerLost:
            self._on_power_lost()
        except AssertionError:
            raise
        except Exception as error:
            self.done.fail(error)
        else:
            # Resumed from the queue, never from within another task: the order of events is the order of time.
            future.on_done(lambda: self._runner.soon(self._resume))
        finally:
            self._runs = False


class Clockwork:
    """The queue of all events of a world."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.events = 0
        self.after_each: Callable[[], None] = lambda: None
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, at_ns: int, call: Callable[[], None]) -> None:
        """Call this then; calls for one moment come in the order they were given."""
        self._count += 1
        heapq.heappush(self._queue, (max(at_ns, self.now_ns), self._count, call))

    def soon(self, call: Callable[[], None]) -> None:
        """Call this once everything has happened that was due before."""
        self.at(self.now_ns, call)

    def sleep(self, duration_ns: int) -> Future[None]:
        """Known after this time."""
        future: Future[None] = Future()
        self.at(self.now_ns + max(0, duration_ns), lambda: future.set(None))
        return future

    def run_until(self, is_reached: Callable[[], bool], limit_ns: int) -> bool:
        """Run until the condition holds (True), or nothing is left to happen before the limit (False)."""
        while not is_reached():
            if not self._queue or self._queue[0][0] > limit_ns:
                self.now_ns = max(self.now_ns, limit_ns)
                return is_reached()
            self.now_ns, _, call = heapq.heappop(self._queue)
            self.events += 1
            assert self.events < MAX_EVENTS, "the history goes round in circles"
            call()
            self.after_each()
        return True
