"""The economy of credits in small, on the real contracts; `make sim-economy` plays it in full."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.economy import stock
from examples.economy.clockwork import open_clockwork
from examples.economy.market import UNIT, Market, Rules, open_market
from examples.economy.party import Provider, Role
from examples.economy.plot import make_plot
from examples.economy.scenario import Outcome, Play, Scenario
from examples.economy.stock import Account, SolvencyBroken
from examples.economy.table import make_table, show
from xnode.chain.contracts.compute_credit import collateral_of

pytestmark = pytest.mark.chain

RULES = Rules(
    collateral=12 * UNIT // 10,
    window_hours=24,
    thaw_days=2,
    validity_days=2,
    fee=UNIT // 10,
    fee_ppm=10_000,
    verifiers=3,
)
SMALL = Scenario(
    "Small",
    days=9,
    cast={
        Role.SERVES: 2,
        Role.VANISHES: 1,
        Role.SHRINKS: 1,
        Role.BURNS: 1,
        Role.WASHES: 1,
        Role.OVERMINTS: 1,
    },
    submitters=2,
    price=UNIT,
    leave_day=2,
    spent=40 * UNIT,
    kept=300 * UNIT,
)


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with open_clockwork(tmp_path) as chain:
        yield await open_market(chain, tmp_path, RULES)


def _those(outcome: Outcome, role: Role) -> Provider:
    return next(provider for provider in outcome.providers if provider.role is role)


async def test_whoever_vanishes_washes_or_over_mints_gains_nothing_and_holders_are_whole(market: Market) -> None:
    outcome = await Play(market, SMALL).run()
    _check_the_vanished(outcome)
    _check_the_others(outcome)
    _check_what_is_printed(outcome)


def _check_the_vanished(outcome: Outcome) -> None:
    vanished, burned = _those(outcome, Role.VANISHES), _those(outcome, Role.BURNS)
    assert vanished.redeemed == vanished.minted == vanished.sold
    assert collateral_of(vanished.redeemed, RULES.collateral) - 20 <= vanished.paid_out
    assert outcome.left_held[vanished.name] == 0
    # Sold at 1, redeemed at 1.2, and a fee for each challenge.
    assert outcome.gains[vanished.name] < vanished.revenue - vanished.paid_out < 0

    assert burned.redeemed == burned.sold
    assert burned.paid_out >= collateral_of(burned.redeemed, RULES.collateral) * 9 // 10
    assert outcome.gains[burned.name] < 0

    shrunk = _those(outcome, Role.SHRINKS)
    # What one GPU can serve in a day stays its promise; the rest was redeemed.
    assert shrunk.redeemed == shrunk.sold - 24 * UNIT
    assert max(day.short for day in outcome.days) > 0
    assert outcome.days[-1].short == 0


def _check_the_others(outcome: Outcome) -> None:
    washer, over = _those(outcome, Role.WASHES), _those(outcome, Role.OVERMINTS)
    assert washer.served > washer.gpus * 24 * UNIT, "it went round more than once"
    assert outcome.gains[washer.name] < 0
    assert outcome.positions[washer.name] < 0
    assert over.refused["AboveCapacity"] == 3 * SMALL.days
    assert over.refused["StakeHeld"] == SMALL.days
    assert over.allowed == 0
    assert _those(outcome, Role.SERVES).served > 0


def _check_what_is_printed(outcome: Outcome) -> None:
    table = make_table(outcome)
    assert all(role.value in table for role in SMALL.cast)
    plot = ET.fromstring(make_plot([outcome]))
    lines = [one.attrib["points"].split() for one in plot.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(lines) == 5
    assert all(len(points) == SMALL.days for points in lines)
    assert all(0 <= int(part) <= 760 for points in lines for point in points for part in point.split(","))


async def test_the_stock_notices_what_the_contracts_would_never_do(market: Market) -> None:
    provider = Provider("honest", role=Role.SERVES)
    await market.join(provider, 300 * UNIT, stake=200 * UNIT)
    await market.verify([(provider, 1)])
    await market.mint(provider, 24 * UNIT)
    day = await stock.take_stock(market, [provider], 0)
    assert (day.supply, day.capacity, day.short) == (24 * UNIT, 24 * UNIT, 0)

    with pytest.raises(SolvencyBroken, match="are outstanding"):
        await stock.take_stock(market, [], 0)
    provider.allowed = 1
    with pytest.raises(SolvencyBroken, match="above its limit"):
        await stock.take_stock(market, [provider], 0)


def test_an_account_is_short_of_what_it_cannot_serve() -> None:
    assert Account(outstanding=10, limit=7, held=0, backing=0).short == 3
    assert Account(outstanding=-2, limit=0, held=0, backing=0).short == 0


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0.0"),
        (UNIT, "1.0"),
        (1234 * UNIT + UNIT // 2, "1,234.5"),
        (-UNIT // 5, "-0.2"),
        (-1, "0.0"),
        (UNIT - 1, "0.9"),
    ],
)
def test_amounts_are_shown_with_one_decimal_toward_zero(amount: int, shown: str) -> None:
    assert show(amount) == shown
