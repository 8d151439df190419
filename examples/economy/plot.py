"""Plot: a scenario's days as an SVG, drawn with whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from examples.economy.market import UNIT
from examples.economy.scenario import Outcome
from examples.economy.stock import Day

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 40

Line = tuple[str, str, Callable[[Day], int]]

CREDITS: tuple[Line, ...] = (
    ("verified capacity x window", "#2b6cb0", lambda day: day.capacity),
    ("credits in existence", "#c05621", lambda day: day.supply),
    ("outstanding above capacity", "#9b2c2c", lambda day: day.short),
)
COLLATERAL: tuple[Line, ...] = (
    ("OPENX behind who is short", "#2f855a", lambda day: day.short_backing),
    ("OPENX their holders may redeem", "#9b2c2c", lambda day: day.short_collateral),
)


def make_plot(outcomes: Sequence[Outcome]) -> str:
    """Two panels for each scenario: credits against capacity, and collateral against what vanished."""
    panels = []
    for outcome in outcomes:
        name = outcome.scenario.name
        panels.append((f"{name}: tGPU", outcome.days, CREDITS))
        panels.append((f"{name}: collateral in OPENX", outcome.days, COLLATERAL))
    height = HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_draw_panel(*panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_panel(title: str, days: Sequence[Day], lines: Sequence[Line]) -> list[str]:
    top = 4 * _round_up(max(max(value(day) for day in days) for _, _, value in lines) // 4 + 1)
    drawn = [f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>', *_draw_axes(top, days)]
    for index, (label, colour, value) in enumerate(lines):
        points = " ".join(f"{_x(day.number, days)},{_y(value(day), top)}" for day in days)
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x = LEFT + 230 * index
        drawn.append(f'<rect x="{x}" y="{HEIGHT - 14}" width="12" height="4" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 18}" y="{HEIGHT - 8}">{label}</text>')
    return drawn


def _draw_axes(top: int, days: Sequence[Day]) -> list[str]:
    drawn = []
    for quarter in range(5):
        y = _y(top * quarter // 4, top)
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{top * quarter // 4 // UNIT:,}</text>')
    for number in range(0, days[-1].number + 1, 10):
        drawn.append(
            f'<text x="{_x(number, days)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">day {number}</text>'
        )
    return drawn


def _round_up(step: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 and so on whole units: what people read at a glance."""
    size = UNIT
    while size * 10 < step:
        size *= 10
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= step)


def _x(number: int, days: Sequence[Day]) -> int:
    return LEFT + (WIDTH - LEFT - RIGHT) * number // max(1, days[-1].number)


def _y(value: int, top: int) -> int:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value // top
