"""make sim-economy: plays the scenarios, prices attacks on panels, prints the tables, and writes them and the plots into docs/.

Exit status: 0 every promise held on every day, 1 solvency broke.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from examples.economy.capture_plot import make_capture_plot
from examples.economy.capture_table import make_capture_tables
from examples.economy.capture_terms import PRICES, read_terms
from examples.economy.clockwork import open_clockwork
from examples.economy.market import UNIT, Rules, open_market
from examples.economy.party import Role
from examples.economy.plot import make_plot
from examples.economy.scenario import Outcome, Play, Scenario
from examples.economy.stock import SolvencyBroken
from examples.economy.table import make_table

END = "<!-- end -->"
"""What is between `<!-- sim -->` or `<!-- capture -->` and this in docs/economics.md is ours."""

RULES = Rules(
    collateral=12 * UNIT // 10,
    window_hours=168,
    thaw_days=14,
    validity_days=7,
    fee=UNIT // 10,
    fee_ppm=10_000,
)
"""A week of capacity may be sold ahead, with 1.2 OPENX behind each tGPU; the escrow keeps 1 % of a claim."""

MARKET = {
    Role.SERVES: 8,
    Role.VANISHES: 2,
    Role.SHRINKS: 1,
    Role.BURNS: 1,
    Role.WASHES: 2,
    Role.OVERMINTS: 2,
}
SCENARIOS = (
    Scenario("A market", 60, MARKET, submitters=6, price=UNIT, leave_day=15, spent=150 * UNIT, kept=1200 * UNIT),
    Scenario(
        "All but one vanish in a day",
        40,
        {Role.SERVES: 1, Role.VANISHES: 10},
        submitters=6,
        price=UNIT,
        leave_day=8,
        spent=40 * UNIT,
        kept=1200 * UNIT,
    ),
    Scenario(
        "A credit worth twice its collateral",
        40,
        {Role.SERVES: 4, Role.VANISHES: 4},
        submitters=4,
        price=24 * UNIT // 10,
        leave_day=8,
        spent=100 * UNIT,
        kept=1200 * UNIT,
    ),
)


async def play_all(rules: Rules, scenarios: tuple[Scenario, ...]) -> list[Outcome]:
    """Each scenario from the same first block."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="xnode-economy-") as folder:
        async with open_clockwork(Path(folder)) as chain:
            market = await open_market(chain, Path(folder), rules)
            for scenario in scenarios:
                began = await chain.snapshot()
                outcomes.append(await Play(market.renew(), scenario).run())
                await chain.go_back(began)
    return outcomes


def write_page(page: Path, section: str, plot: str, tables: str) -> None:
    """Puts the tables between the page's marks of a section."""
    begin = f"<!-- {section} -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(END)
    told = f"`make sim-economy` prints this and writes [the plot]({plot})."
    page.write_text(f"{before}{begin}\n{told}\n\n{tables}\n{END}{after}")


def write_markets(docs: Path) -> None:
    """Plays the scenarios on the real contracts. Raises SolvencyBroken."""
    outcomes = trio.run(play_all, RULES, SCENARIOS)
    tables = "\n\n".join(make_table(outcome) for outcome in outcomes)
    print(tables)
    write_page(docs / "economics.md", "sim", "economy.svg", tables)
    (docs / "economy.svg").write_text(make_plot(outcomes))


def write_capture(docs: Path) -> None:
    """Prices attacks under the recommended settings."""
    terms = read_terms()
    tables = make_capture_tables(terms, PRICES)
    print(tables)
    write_page(docs / "economics.md", "capture", "capture.svg", tables)
    (docs / "capture.svg").write_text(make_capture_plot(terms, PRICES))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim-economy", description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where economics.md and the plots are")
    parser.add_argument("--only", choices=("markets", "capture"), help="this part; capture needs no chain")
    chosen = parser.parse_args()
    if chosen.only != "markets":
        write_capture(chosen.docs)
    if chosen.only == "capture":
        return 0
    try:
        write_markets(chosen.docs)
    except SolvencyBroken as broken:
        print(f"solvency broke: {broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
