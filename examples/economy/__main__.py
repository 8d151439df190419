"""make sim-economy: plays the scenarios, prints their tables, and writes them and the plot into docs/.

Exit status: 0 every promise held on every day, 1 solvency broke.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from examples.economy.clockwork import open_clockwork
from examples.economy.market import UNIT, Rules, open_market
from examples.economy.party import Role
from examples.economy.plot import make_plot
from examples.economy.scenario import Outcome, Play, Scenario
from examples.economy.stock import SolvencyBroken
from examples.economy.table import make_table

BEGIN, END = "<!-- sim -->", "<!-- end -->"
"""What is between them in docs/economics.md is ours."""

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


def write_page(page: Path, tables: str) -> None:
    """Puts the tables between the page's marks."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n`make sim-economy` prints this and writes the plot.\n\n{tables}\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim-economy", description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where economics.md and economy.svg are")
    chosen = parser.parse_args()
    try:
        outcomes = trio.run(play_all, RULES, SCENARIOS)
    except SolvencyBroken as broken:
        print(f"solvency broke: {broken}", file=sys.stderr)
        return 1
    tables = "\n\n".join(make_table(outcome) for outcome in outcomes)
    print(tables)
    write_page(chosen.docs / "economics.md", tables)
    (chosen.docs / "economy.svg").write_text(make_plot(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
