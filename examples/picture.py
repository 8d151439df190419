"""Picture: a recorded terminal session (asciicast v2) as an animated SVG; the same bytes from the same recording."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from xml.sax.saxutils import escape

ROWS = 26
"""Lines in sight; what is above has scrolled away."""

SPEED = 1.5
"""How much faster than real time it plays."""

LONGEST_PAUSE_S = 0.6
"""A wait is shown no longer than this."""

HOLD_S = 5.0
"""How long the end stands before the picture begins again."""

FONT_PX, CELL_PX, LINE_PX, PAD_PX, BAR_PX = 14, 8.4, 19, 16, 30

COLORS = {
    "fg": "#d7dae0", "bold": "#ffffff", "dim": "#8b92a0", "red": "#f2777a", "green": "#8fd18b", "yellow": "#f0c674",
    "blue": "#7fb5ef", "magenta": "#d3a4e8", "cyan": "#74c7d4", "back": "#16181d", "bar": "#22252c",
}  # fmt: skip
_BY_CODE = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan", 91: "red", 92: "green"}

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07]*\x07|(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Style:
    """How a character looks."""

    color: str = "fg"
    bold: bool = False
    dim: bool = False

    @property
    def names(self) -> str:
        """Its classes in the picture; "" for plain text."""
        color = "dim" if self.dim and self.color == "fg" else self.color
        return " ".join(name for name in (color if color != "fg" else "", "bold" if self.bold else "") if name)


@dataclass(slots=True)
class Line:
    """One line of the terminal, and when it last changed."""

    cells: list[tuple[str, Style]] = field(default_factory=list)
    changed_s: float = 0.0


class Terminal:
    """As much of a terminal as our commands use: text, new lines, carriage return, erase line, colors, wrapping."""

    def __init__(self, columns: int) -> None:
        self.lines = [Line()]
        self._columns, self._column, self._style = columns, 0, Style()

    def write(self, text: str, at_s: float) -> None:
        """Take output in."""
        for parameters, command, letter in _TOKEN.findall(text):
            if command == "m":
                self._set_style([int(code or 0) for code in parameters.split(";")])
            elif command == "K":
                self._erase(parameters or "0", at_s)
            elif letter:
                self._put(letter, at_s)

    def _put(self, letter: str, at_s: float) -> None:
        if letter == "\n":
            self.lines.append(Line(changed_s=at_s))
        elif letter == "\r":
            self._column = 0
        elif letter == "\b":
            self._column = max(0, self._column - 1)
        elif letter == "\t":
            self._column = min(self._columns - 1, (self._column // 8 + 1) * 8)
        elif letter.isprintable():
            if self._column == self._columns:
                self.lines.append(Line())
                self._column = 0
            line = self.lines[-1]
            line.cells += [(" ", Style())] * (self._column + 1 - len(line.cells))
            line.cells[self._column] = letter, self._style
            line.changed_s = at_s
            self._column += 1

    def _erase(self, part: str, at_s: float) -> None:
        line = self.lines[-1]
        line.cells = [] if part == "2" else line.cells[: self._column]
        line.changed_s = at_s

    def _set_style(self, codes: list[int]) -> None:
        for code in codes:
            old = self._style
            if code == 0:
                self._style = Style()
            elif code == 1:
                self._style = Style(old.color, True, old.dim)
            elif code == 2:
                self._style = Style(old.color, old.bold, True)
            elif code in _BY_CODE:
                self._style = Style(_BY_CODE[code], old.bold, old.dim)


def make_picture(cast: str) -> str:
    """The SVG of an asciicast: each line comes when it came, and stays as it was in the end."""
    head, *events = (json.loads(line) for line in cast.splitlines())
    terminal = Terminal(head["width"])
    for at_s, text in _shorten_pauses((at_s, text) for at_s, kind, text in events if kind == "o"):
        terminal.write(text, at_s)
    lines = terminal.lines
    # What the shell printed last is a prompt without a command.
    while lines and "".join(letter for letter, _ in lines[-1].cells).strip() in ("", "$"):
        lines.pop()
    return _draw(lines, head["width"], head["title"])


def list_commands(cast: str) -> list[str]:
    """What was typed, as the recording marks it."""
    return [text for _, kind, text in (json.loads(line) for line in cast.splitlines()[1:]) if kind == "m"]


def _shorten_pauses(events: Iterable[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    shown_s = last_s = 0.0
    for at_s, text in events:
        shown_s += min(at_s - last_s, LONGEST_PAUSE_S) / SPEED
        last_s = at_s
        yield shown_s, text


# -------------------------------------------------------------------------------------------------------------- drawing


def _draw(lines: list[Line], columns: int, title: str) -> str:
    width = round(columns * CELL_PX + 2 * PAD_PX)
    height = ROWS * LINE_PX + 2 * PAD_PX + BAR_PX
    end = f"translateY({-LINE_PX * max(0, len(lines) - ROWS)}px)"
    sight = ROWS * LINE_PX + 2
    texts = "\n".join(_draw_line(number, line) for number, line in enumerate(lines) if line.cells)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>{escape(title)}</title>
<style>
text {{ font: {FONT_PX}px ui-monospace, Menlo, "DejaVu Sans Mono", Consolas, monospace; white-space: pre; fill: {COLORS["fg"]} }}
{_draw_classes()}
.bold {{ font-weight: 700 }}
{_draw_motion(lines, end)}
</style>
<rect width="{width}" height="{height}" rx="8" fill="{COLORS["back"]}"/>
<path d="M0 {BAR_PX}V8a8 8 0 0 1 8-8h{width - 16}a8 8 0 0 1 8 8v{BAR_PX - 8}z" fill="{COLORS["bar"]}"/>
<text x="{width / 2:g}" y="20" text-anchor="middle" class="dim">{escape(title)}</text>
<svg x="{PAD_PX}" y="{BAR_PX + PAD_PX // 2}" width="{width - 2 * PAD_PX}" height="{sight}">
<g id="page" transform="{end.replace("Y(", "(0 ").replace("px", "")}">
{texts}
<rect id="veil" y="{len(lines) * LINE_PX - 1}" width="{width}" height="{len(lines) * LINE_PX + sight}" fill="{COLORS["back"]}"/>
</g>
</svg>
</svg>
"""


def _draw_classes() -> str:
    return "\n".join(f".{name} {{ fill: {COLORS[name]} }}" for name in COLORS if name not in ("fg", "back", "bar"))


def _draw_motion(lines: list[Line], end: str) -> str:
    """The veil moves down line by line and uncovers what has come; the page moves up when it is full."""
    whole_s = max(line.changed_s for line in lines) + HOLD_S
    veil, page, come_s = [f"0% {{ transform: translateY({-LINE_PX * len(lines)}px) }}"], [], 0.0
    for number, line in enumerate(lines, start=1):
        come_s = max(come_s, line.changed_s)
        at = f"{100 * come_s / whole_s:.2f}%"
        veil.append(f"{at} {{ transform: translateY({-LINE_PX * (len(lines) - number)}px) }}")
        page.append(f"{at} {{ transform: translateY({-LINE_PX * max(0, number - ROWS)}px) }}")
    return "\n".join(
        (
            f"#veil {{ animation: veil {whole_s:.1f}s step-end infinite }}",
            f"#page {{ animation: page {whole_s:.1f}s step-end infinite }}",
            f"@keyframes veil {{ {_join(veil)} }}",
            f"@keyframes page {{ 0% {{ transform: none }} {_join(page)} }}",
            f"@media (prefers-reduced-motion) {{ #veil, #page {{ animation: none }} #page {{ transform: {end} }} }}",
        )
    )


def _join(stops: list[str]) -> str:
    """The last stop of each moment."""
    return " ".join({stop.partition(" ")[0]: stop for stop in stops}.values())


def _draw_line(number: int, line: Line) -> str:
    spans, column = [], 0
    for names, cells in groupby(line.cells, lambda cell: cell[1].names):
        text = "".join(letter for letter, _ in cells)
        kept = text.rstrip()
        if kept:
            begin = column + len(kept) - len(kept.lstrip())
            kept = kept.lstrip()
            look = f' class="{names}"' if names else ""
            # With its length given, columns stand below each other in any font.
            where = f'x="{begin * CELL_PX:.1f}" textLength="{len(kept) * CELL_PX:.1f}"'
            spans.append(f"<tspan {where}{look}>{escape(kept)}</tspan>")
        column += len(text)
    return f'<text y="{(number + 1) * LINE_PX - 5}">{"".join(spans)}</text>' if spans else ""
