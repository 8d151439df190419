"""Paging: options of commands that list what grows, and the pages that they ask a daemon for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar

import click

from xnode.cli.terminal.screen import Screen, say
from xnode.control.client import Control
from xnode.errors import InvalidValue, UserError

F = TypeVar("F", bound=Callable[..., Any])

ROWS = 30
"""On a page when nothing else is asked for: what a person reads."""

MAX_ROWS = 1_000
"""On a page at most; see xnode.console.paging."""

DRAWN_ROWS = 200
"""With --all a table for people is drawn in pieces, so that the first is there at once."""

_AGE = r"([0-9]+[dhms])+"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a list is wanted. since: as it was typed."""

    limit: int | None
    page: int
    states: tuple[str, ...]
    since: str
    everything: bool

    def make_params(self) -> dict[str, Any]:
        """The page as a daemon is asked for it. Raises UserError."""
        params: dict[str, Any] = {"limit": self.limit or ROWS, "page": self.page, "states": self.states}
        return params | ({"since_ns": read_since(self.since)} if self.since else {})


def page_options(command: F) -> F:
    """The options of a list: the command gets them as `wanted`."""

    @wraps(command)
    def call(*, limit: int | None, page: int, state: tuple[str, ...], since: str, all_: bool, **others: Any) -> Any:
        if all_ and (limit or page > 1):
            raise UserError("--all takes neither --limit nor --page", hint="it gives every row")
        return command(wanted=Wanted(limit, page, state, since, all_), **others)

    wanted: Any = call
    options = (
        click.option("--limit", type=click.IntRange(1, MAX_ROWS), help=f"Rows on a page.  [default: {ROWS}]"),
        click.option("--page", type=click.IntRange(1, 1_000_000), default=1, help="Which page.  [default: 1]"),
        click.option("--state", multiple=True, help="Only those in this state; may be repeated."),
        click.option("--since", default="", metavar="WHEN", help="Only those since: 2d, 6h, or 2026-11-30 (UTC)."),
        click.option("--all", "all_", is_flag=True, help="All of them."),
    )
    for option in reversed(options):
        wanted = option(wanted)
    return wanted  # type: ignore[no-any-return]


def show_pages(
    control: Control, method: str, wanted: Wanted, key: str, screen: Screen, draw: Callable[[list[Any]], None]
) -> None:
    """Print the rows; with how many more there are, and how to see them. key: the field by which a row is known."""
    if wanted.everything and screen.is_table:
        _draw_all(control, method, wanted, key, draw)
        return
    if wanted.everything:
        rows = list(_read_all(control, method, wanted, key))
        screen.show(rows, lambda: None)
        return
    answer = control.call(method, wanted.make_params())
    rows, total, limit = answer["rows"], answer["total"], wanted.limit or ROWS
    if rows or not total or not screen.is_table:
        screen.show(rows, lambda: _draw(rows, wanted, draw))
    more = total - (wanted.page - 1) * limit - len(rows)
    if rows and more > 0:
        say(f"{more:,} more: --page {wanted.page + 1} shows the next, --all every one, --state and --since fewer")
    elif not rows and total:
        say(f"there is no page {wanted.page}: {total:,} rows are {-(-total // limit):,} pages")


def _draw(rows: list[Any], wanted: Wanted, draw: Callable[[list[Any]], None]) -> None:
    if rows or not (wanted.states or wanted.since):
        draw(rows)
    else:
        say("nothing is like that: --state and --since leave none")


def _draw_all(control: Control, method: str, wanted: Wanted, key: str, draw: Callable[[list[Any]], None]) -> None:
    waiting: list[Any] = []
    drawn = False
    for row in _read_all(control, method, wanted, key):
        waiting.append(row)
        if len(waiting) == DRAWN_ROWS:
            draw(waiting)
            waiting, drawn = [], True
    if waiting or not drawn:
        _draw(waiting, wanted, draw)


def _read_all(control: Control, method: str, wanted: Wanted, key: str) -> Iterator[Any]:
    params, seen = {**wanted.make_params(), "limit": MAX_ROWS}, set[str]()
    for page in range(1, 1_000_001):
        rows = control.call(method, {**params, "page": page})["rows"]
        for row in rows:
            # One that is made meanwhile moves all others on, over the end of a page.
            if row[key] not in seen:
                seen.add(row[key])
                yield row
        if len(rows) < MAX_ROWS:
            return


def read_since(text: str, now_ns: int | None = None) -> int:
    """When that was, in nanoseconds UTC: so long ago, or a day, or a moment. Raises UserError."""
    from xnode.text.quantity import read_duration_ns

    try:
        if re.fullmatch(_AGE, text):
            return max(0, (now_ns if now_ns is not None else time.time_ns()) - read_duration_ns(text))
        found = datetime.fromisoformat(text)
    except (InvalidValue, ValueError):
        hint = "write 2d or 6h for so long ago, or a day such as 2026-11-30"
        raise UserError(f"{text[:40]!r} is not a time", where="--since", hint=hint) from None
    moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp()) * 10**9)
