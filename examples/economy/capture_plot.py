"""Capture plot: what each quorum of the recommended panel asks of attackers and of honest providers, as an SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log10

from examples.economy.capture import LISTS, PERCENTS, odds_of_lapse
from xnode.chain.deployment.capture import Prices, Terms, find_device_fee, more_than_two_thirds
from xnode.chain.deployment.chains import BLOCK_MAKER_DRAWS

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 56
COLOURS = ("#2b6cb0", "#2f855a", "#c05621", "#9b2c2c")

LEAST_FEE, MOST_FEE = -6, 2
"""Powers of ten of an OPENX that the first panel shows."""

Line = tuple[str, str, Sequence[int]]
"""(label, colour, height at each quorum)."""


def make_capture_plot(terms: Terms, prices: Prices) -> str:
    """Two panels over the quorum: the fee for a device that keeps attacks at their price, and the odds of a lapse."""
    quorums = range(more_than_two_thirds(terms.panel), terms.panel + 1)
    heights = []
    for quorum in quorums:
        fee = find_device_fee(replace(terms, quorum=quorum), prices, LISTS, PERCENTS, BLOCK_MAKER_DRAWS)
        heights.append(_y((log10(fee) - LEAST_FEE) / (MOST_FEE - LEAST_FEE)))
    fees: list[Line] = [("needed fee for a device, OPENX", COLOURS[0], heights)]
    lapses: list[Line] = []
    for percent, colour in zip(PERCENTS, COLOURS, strict=True):
        odds = [odds_of_lapse(replace(terms, quorum=quorum), LISTS[-1], percent) for quorum in quorums]
        lapses.append((f"{percent} % silent", colour, [_y(float(one)) for one in odds]))
    panels = (
        _draw_panel(f"Panel of {terms.panel}: what keeps attacks dear", fees, quorums, terms.quorum, _show_power),
        _draw_panel("How often an honest challenge lapses", lapses, quorums, terms.quorum, _show_share),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {WIDTH} {2 * HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{2 * HEIGHT}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *panel, "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_panel(
    title: str, lines: Sequence[Line], quorums: range, chosen: int, show_tick: Callable[[int], str]
) -> list[str]:
    drawn = [f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>']
    for quarter in range(5):
        y = _y(quarter / 4)
        drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{show_tick(quarter)}</text>')
    for quorum in quorums:
        weight = "bold" if quorum == chosen else "normal"
        y = HEIGHT - BOTTOM + 16
        drawn.append(
            f'<text x="{_x(quorum, quorums)}" y="{y}" text-anchor="middle" font-weight="{weight}">{quorum}</text>'
        )
    for index, (label, colour, heights) in enumerate(lines):
        points = " ".join(f"{_x(quorum, quorums)},{y}" for quorum, y in zip(quorums, heights, strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x = LEFT + 150 * index
        drawn.append(f'<rect x="{x}" y="{HEIGHT - 18}" width="12" height="4" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 18}" y="{HEIGHT - 12}">{label}</text>')
    return drawn


def _show_power(quarter: int) -> str:
    power = LEAST_FEE + (MOST_FEE - LEAST_FEE) * quarter // 4
    return f"{10.0**power:g}"


def _show_share(quarter: int) -> str:
    return f"{25 * quarter} %"


def _x(quorum: int, quorums: range) -> int:
    return LEFT + (WIDTH - LEFT - RIGHT) * (quorum - quorums[0]) // max(1, len(quorums) - 1)


def _y(share: float) -> int:
    """Of a panel's height, from its bottom; what lies outside is drawn at its edge."""
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(1.0, max(0.0, share)))
