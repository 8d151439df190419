"""Paging: which of many rows a control method gives: every list that grows is given by the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from xnode.errors import UserError
from xnode.ports.store import Pick

I64_MAX = (1 << 63) - 1

MAX_ROWS = 1_000
"""In one answer: half a megabyte of jobs, which takes the daemon a tenth of a second; more are asked for page by page."""

MAX_PAGE = 1_000_000


class PageParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """limit: how many rows a page has, 1000 at most; page: which one, from 1 on; since_ns: only what began then or later."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = 30
    page: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 1
    since_ns: Annotated[int, msgspec.Meta(ge=0, le=I64_MAX)] = 0

    def make_pick(self, statuses: tuple[str, ...] = ()) -> Pick:
        """The page as the store is asked for it."""
        return Pick(self.limit, (self.page - 1) * self.limit, statuses, self.since_ns)


def check_states(states: Iterable[str], known: Iterable[str]) -> None:
    """Raise UserError for a state that there is none of: an empty list would say that nothing is in it."""
    for one in states:
        if one not in known:
            raise UserError(f"there is no state {one[:40]}", where="states", hint=f"use one of: {', '.join(known)}")
