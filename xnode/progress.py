"""Progress: what long work is being done now and how far it is, for those who wait for it. In memory only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MAX_WORKS = 1_000
"""Shown at once; what is begun beyond it is done unseen."""


@dataclass(slots=True)
class Work:
    """subject: whom it is for, "" for anybody; total_bytes: 0 when not known."""

    subject: str
    what: str
    total_bytes: int = 0
    done_bytes: int = 0

    def add(self, count: int) -> None:
        """So many more bytes are done. From any thread."""
        self.done_bytes += count

    def reach(self, done: int) -> None:
        """So many bytes are done."""
        self.done_bytes = done


@dataclass(slots=True)
class Board:
    """All work under way, the oldest first."""

    _works: list[Work] = field(default_factory=list)

    @contextmanager
    def show(self, what: str, total_bytes: int = 0, subject: str = "") -> Iterator[Work]:
        """On the board as long as you are inside."""
        work = Work(subject, what, total_bytes)
        if len(self._works) < MAX_WORKS:
            self._works.append(work)
        try:
            yield work
        finally:
            self._works = [one for one in self._works if one is not work]

    def find(self, subject: str) -> Work | None:
        """What is being done for a subject now: what was begun last."""
        return next((one for one in reversed(self._works) if one.subject == subject), None)

    def all(self) -> tuple[Work, ...]:
        """Everything."""
        return tuple(self._works)
