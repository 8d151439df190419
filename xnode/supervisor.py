"""Supervisor: the node's background tasks: one that fails is said, and started again after a pause; the others go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable, real_error_of

RESTART = Backoff(first_s=1.0, most_s=60.0)
"""Before a task that failed is started again."""

STEADY_S = 60.0
"""A task that has run for so long is well again, and its pauses begin anew."""

log = structlog.get_logger()


class Supervisor:
    """Made for one nursery. A task that returns has done its work."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._failed: dict[str, tuple[float, str]] = {}

    def start(self, name: str, task: Callable[[], Awaitable[object]]) -> None:
        """Run it in the background. name: a few words for people: "the escrow watcher"."""
        self._nursery.start_soon(self._keep, name, task)

    def problems(self) -> dict[str, str]:
        """What is wrong now, by task."""
        now = trio.current_time()
        return {name: reason for name, (at, reason) in self._failed.items() if now - at < STEADY_S}

    async def _keep(self, name: str, task: Callable[[], Awaitable[object]]) -> None:
        pauses, said = RESTART.pauses(), ""
        while True:
            began = trio.current_time()
            try:
                await task()
                return
            except Exception as group:
                error = real_error_of(group)
                reason = str(error) if isinstance(error, Permanent | Retryable) else f"{type(error).__name__}: {error}"
            if trio.current_time() - began >= STEADY_S:
                pauses, said = RESTART.pauses(), ""
            if reason != said:
                # The first time with all that a developer needs; what comes again and again would only fill the disk.
                log.error("a background task failed; it is started again", task=name, reason=reason, exc_info=error)
                said = reason
            pause_s = next(pauses)
            self._failed[name] = (trio.current_time() + pause_s, f"failed and is started again: {reason[:300]}")
            await trio.sleep(pause_s)
