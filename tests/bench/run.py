"""Run: every bench, one table, and the page that says so.

python -m tests.bench.run [--only NAME]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.machine import describe_load, describe_machine
from tests.bench.row import Row

PAGE = Path("docs/benchmarks.md")

_TITLES = ("what", "ours", "against", "ratio", "target")

out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """module: under tests.bench, with run(say) -> rows; door: the command that prints its rows alone."""

    name: str
    module: str

    @property
    def door(self) -> str:
        return f"make bench ARGS='--only {self.name}'"

    def run(self, say: Callable[[str], None]) -> list[Row]:
        """Its rows; imported only now, so that no bench pays for another's libraries."""
        rows: list[Row] = import_module(f"tests.bench.{self.module}").run(say)
        return rows


BENCHES = (
    Bench("start", "first_line"),
    Bench("receipts", "receipts"),
    Bench("matching", "market"),
    Bench("meter", "meter"),
    Bench("outputs", "outputs"),
    Bench("cold", "cold"),
    Bench("rest", "rest"),
    Bench("restart", "restart"),
    Bench("commands", "commands"),
    Bench("gas", "contract_gas"),
    Bench("challenge", "challenge"),
)


def main() -> None:
    """Run all and write the page, or one and only print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=[bench.name for bench in BENCHES], help="this one; leaves the page alone")
    only = parser.parse_args().only
    load, begun = describe_load(), time.monotonic()
    out.print(f"{describe_machine()}; {load}")
    found = [(bench, _run(bench)) for bench in BENCHES if only in (None, bench.name)]
    _print_table(found)
    took_s = time.monotonic() - begun
    out.print(f"took {took_s:.0f} s")
    if only is None:
        PAGE.write_text(make_page(found, load, took_s))
        out.print(f"wrote {PAGE}")


def _run(bench: Bench) -> list[Row]:
    begun = time.monotonic()

    def say(text: str) -> None:
        out.print(f"[dim]{time.monotonic() - begun:5.0f} s[/] {text}")

    out.rule(f"[bold]{bench.name}", align="left")
    return bench.run(say)


def _print_table(found: list[tuple[Bench, list[Row]]]) -> None:
    table = Table(title="benchmarks", title_justify="left", show_lines=True)
    for title in _TITLES:
        table.add_column(title, overflow="fold")
    for _, rows in found:
        for row in rows:
            style = {"met": "green", "not met": "red", "": ""}[row.verdict]
            table.add_row(
                row.what, row.ours, row.other, row.ratio, f"[{style}]{_target(row)}[/]" if style else row.target
            )
    Console(highlight=False).print(table)


def make_page(found: list[tuple[Bench, list[Row]]], load: str, took_s: float) -> str:
    """The page, as markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. Ours and the alternative take turns in one run, so the ratios hold where the",
        "absolute figures depend on the machine. The command beside each row prints it again.",
        "",
        f"- machine: {describe_machine()}",
        f"- {load} as the run began; {time.strftime('%Y-%m-%d', time.gmtime())}; the whole run took {took_s:.0f} s",
        "",
        f"| {' | '.join(_TITLES)} | command |",
        "|---|---|---|---|---|---|",
    ]
    for bench, rows in found:
        for row in rows:
            cells = (row.what, row.ours, row.other, row.ratio, _target(row), f"`{bench.door}`")
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _target(row: Row) -> str:
    return f"{row.target}: {row.verdict}" if row.verdict else row.target


if __name__ == "__main__":
    main()
