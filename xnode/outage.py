"""Outage: one trouble that goes on for a while, in a handful of log lines: its start, seldom that it lasts, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio

from xnode.text.wait import show_wait

FIRST_AGAIN_S = 60.0
"""Until the log says again that it lasts; each time twice as long."""

log = structlog.get_logger()


class Outage:
    """Tell it of every failure and every success of one thing that is tried again and again."""

    def __init__(self, what: str, now: Callable[[], float] = trio.current_time, **fields: Any) -> None:
        """what: a few words for the log; fields: more for the log."""
        self._what, self._now, self._fields = what, now, fields
        self._since: float | None = None
        self._say_at = 0.0
        self.reason = ""
        """Of the last failure, "" when all is well."""

    def failed(self, reason: str, **fields: Any) -> None:
        """It failed again."""
        now = self._now()
        if self._since is None:
            self._since, self._say_at = now, now + FIRST_AGAIN_S
            log.warning("failed; will be tried again", what=self._what, reason=reason, **self._fields, **fields)
        elif now >= self._say_at:
            self._say_at = now + (now - self._since)
            lasts = show_wait(now - self._since)
            log.warning("still failing", what=self._what, lasts=lasts, reason=reason, **self._fields, **fields)
        self.reason = reason

    def over(self) -> None:
        """It succeeded."""
        if self._since is not None:
            log.info("back", what=self._what, after=show_wait(self._now() - self._since), **self._fields)
        self._since, self.reason = None, ""
