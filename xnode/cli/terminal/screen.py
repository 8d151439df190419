"""Screen: results go to stdout as a table, JSON or JSON lines; messages go to stderr. rich is imported only for tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

FORMATS = ("table", "json", "jsonl")

PIPE_WIDTH = 1000
"""Columns of a table that is not on a terminal: nothing is wrapped or cut for the program that reads it."""

MAX_WORD_CHARS = 20
"""A word longer than this may be broken over lines where a column is narrow."""

LEAST_FOLD_CHARS = 8
"""A column of text is no narrower than this, or than its text."""

GAP_CHARS = 2
"""Between two columns."""

_STEERING = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Of Unicode: what breaks lines or turns text round: U+202E shows what follows backwards."""

CONTROL = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    **{code: f"\\u{code:04x}" for code in _STEERING},
}
"""What is shown of each character that a terminal would obey."""


def printable(text: str) -> str:
    """Untrusted text, with control characters shown instead of obeyed: a peer must not control our terminal, nor what is read."""
    return text.translate(CONTROL)


def has_color(stream: IO[str]) -> bool:
    """True when the stream is a terminal and NO_COLOR is not set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, code: str, stream: IO[str]) -> str:
    """Text in an SGR style where the stream shows it. code: as in "1;31"."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_color(stream) else text


def say(text: str) -> None:
    """Print a message on stderr."""
    # Not splitlines(): what else breaks lines comes from strangers.
    lines = text.removesuffix("\n").split("\n")
    print("\n".join(printable(line) for line in lines), file=sys.stderr, flush=True)


class Column(NamedTuple):
    """A table's column. right: for numbers; style: rich's word; fold: may be broken over lines when space is short;
    optional: left out when no row has anything in it."""

    name: str
    right: bool = False
    style: str = ""
    fold: bool = False
    optional: bool = False


class Screen:
    """One command's output in the format chosen by -o."""

    def __init__(self, format: str, to_stderr: bool = False) -> None:
        self.format = format
        self._to_stderr = to_stderr

    @property
    def _stream(self) -> IO[str]:
        return sys.stderr if self._to_stderr else sys.stdout

    @property
    def is_table(self) -> bool:
        return self.format == "table"

    def show(self, value: Any, draw: Callable[[], None]) -> None:
        """Print `value` (plain JSON data) as JSON, or call `draw`, which prints it for people."""
        if self.is_table:
            draw()
        elif self.format == "jsonl" and isinstance(value, list):
            for item in value:
                self.show_line(item)
        elif self.format == "jsonl":
            self.show_line(value)
        else:
            print(json.dumps(value, indent=2))

    def show_line(self, value: Any) -> None:
        """One JSON line, at once: the reader may be following."""
        print(json.dumps(value, separators=(",", ":")), flush=True)

    def paths(self, paths: Iterable[str]) -> None:
        """One path per line, as they are for a program that reads them, and so that none steers a terminal."""
        for path in paths:
            print(printable(path) if self._stream.isatty() else path, file=self._stream)

    def gap(self) -> None:
        """An empty line between two tables."""
        print(file=self._stream)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]], title: str = "") -> None:
        """Print a table; cells are text (never markup) or rich renderables."""
        console = make_console(self._stream)
        if title:
            console.print(printable(title), style="bold")
        columns, rows = drop_empty(columns, [tuple(row) for row in rows])
        if find_least_width(columns, rows) <= console.width:
            self._print(console, make_table(columns, rows, width=console.width))
        else:
            self._print(console, _make_stack(columns, rows))

    def record(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print name and value, one per line, leaving out what is empty."""
        columns = (Column("", style="dim"), Column("", fold=True))
        shown = [pair for pair in pairs if pair[1] not in ("", None)]
        if shown:
            self._print(make_console(self._stream), make_table(columns, shown, header=False))

    def _print(self, console: Console, table: Table) -> None:
        with console.capture() as drawn:
            console.print(table)
        # rich fills the last column up: copied or piped lines should end where their text does.
        print("\n".join(line.rstrip() for line in drawn.get().splitlines()), file=self._stream)


def make_console(stream: IO[str]) -> Console:
    """rich on this stream, as wide as the terminal; on a pipe as wide as it takes."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if terminal else PIPE_WIDTH,
        color_system="auto" if has_color(stream) else None,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not terminal,
    )


def drop_empty(
    columns: Sequence[Column], rows: Sequence[tuple[object, ...]]
) -> tuple[list[Column], list[tuple[object, ...]]]:
    """Columns and rows without the optional columns that nothing is in."""
    kept = [
        place
        for place, column in enumerate(columns)
        if not column.optional or any(row[place] not in ("", None) for row in rows)
    ]
    return [columns[place] for place in kept], [tuple(row[place] for place in kept) for row in rows]


def find_least_width(columns: Sequence[Column], rows: Sequence[tuple[object, ...]]) -> int:
    """On how many screen columns the table is one that a person can read: nothing is cut, and no cell is a tower of syllables."""
    least = 0
    for place, column in enumerate(columns):
        texts = [column.name, *(printable(str(row[place])) for row in rows if row[place] is not None)]
        natural = max(map(len, texts))
        least += min(natural, LEAST_FOLD_CHARS) if column.fold else natural
    return least + GAP_CHARS * (len(columns) - 1)


def _make_stack(columns: Sequence[Column], rows: Sequence[tuple[object, ...]]) -> Table:
    """Each row as lines of a name and a value, for a screen that is too narrow for the table."""
    lines: list[tuple[object, ...]] = []
    for row in rows:
        lines += [("", "")] if lines else []
        lines += [(column.name, cell) for column, cell in zip(columns, row, strict=True) if cell not in ("", None)]
    return make_table((Column("", style="dim"), Column("", fold=True)), lines, header=False)


def make_table(
    columns: Sequence[Column], rows: Iterable[Sequence[object]], header: bool = True, width: int = PIPE_WIDTH
) -> Table:
    """The table, without the optional columns that are empty. width: of the screen."""
    from rich.table import Table

    columns, rows = drop_empty(columns, [tuple(row) for row in rows])
    table = Table(box=None, show_header=header, pad_edge=False, padding=(0, GAP_CHARS, 0, 0), header_style="bold")
    for column, exact in zip(columns, _find_widths(columns, rows, width), strict=True):
        table.add_column(
            column.name,
            width=exact,
            justify="right" if column.right else "left",
            style=column.style or None,
            overflow="fold" if column.fold else "ellipsis",
            no_wrap=not column.fold,
        )
    for row in rows:
        table.add_row(*(_make_cell(cell) for cell in row))
    return table


def _find_widths(columns: Sequence[Column], rows: Sequence[Sequence[object]], width: int) -> list[int | None]:
    """The width of each column that may be broken over lines, no smaller than its longest word; None where there is room for all,
    or too little even so: then rich shrinks them as it does."""
    texts = [
        [column.name, *(printable(str(row[place])) for row in rows if row[place] is not None)]
        for place, column in enumerate(columns)
    ]
    natural = [max(map(len, cells)) for cells in texts]
    folded = [place for place, column in enumerate(columns) if column.fold]
    found = {place: min(MAX_WORD_CHARS, _longest_word(texts[place])) for place in folded}
    fixed = sum(natural[place] for place in range(len(columns)) if place not in found)
    free = width - fixed - GAP_CHARS * (len(columns) - 1) - sum(found.values())
    if free < 0 or free >= sum(natural[place] - found[place] for place in folded):
        return [None] * len(columns)
    for _ in range(free):
        found[max(folded, key=lambda place: natural[place] - found[place])] += 1
    return [found.get(place) for place in range(len(columns))]


def _longest_word(texts: Iterable[str]) -> int:
    return max((len(word) for text in texts for word in text.split()), default=1)


def _make_cell(cell: object) -> RenderableType:
    from rich.text import Text

    if cell is None:
        return Text("")
    return cell if isinstance(cell, Text) else Text(printable(str(cell)))
