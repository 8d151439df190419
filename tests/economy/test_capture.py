"""What a captured panel costs: the formula beside the vectors, and the recommended settings beside the design's aim."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from examples.economy.capture import LISTS, PERCENTS, odds_of_lapse
from examples.economy.capture_plot import make_capture_plot
from examples.economy.capture_table import choose_quorum, make_capture_tables, show
from examples.economy.capture_terms import PRICES, read_terms
from xnode.chain.deployment.capture import (
    AIM,
    count_sybils,
    find_device_fee,
    more_than_two_thirds,
    odds_of_at_least,
    odds_of_capture,
    price_attack,
)
from xnode.chain.deployment.chains import BLOCK_MAKER_DRAWS

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "vectors" / "draw-odds.json").read_text())[
    "cases"
]
TERMS = read_terms()


@pytest.mark.parametrize(
    "case", VECTORS, ids=lambda case: f"{case['sybils']} of {case['list']}, {case['quorum']} of {case['seats']}"
)
def test_odds_are_those_of_the_vectors_that_the_contracts_draws_are_held_to(case: dict[str, Any]) -> None:
    odds = odds_of_at_least(case["list"], case["sybils"], case["seats"], case["quorum"])
    assert int(odds * 10**18) == int(case["oddsE18"])


def test_all_ways_to_fill_a_panel_come_to_one() -> None:
    exactly = [odds_of_at_least(30, 10, 9, k) - odds_of_at_least(30, 10, 9, k + 1) for k in range(10)]
    assert sum(exactly) == 1
    assert all(odds > 0 for odds in exactly)


def test_a_share_of_a_list_is_at_least_one_verifier() -> None:
    assert [count_sybils(10, percent) for percent in PERCENTS] == [1, 1, 2, 3]
    assert count_sybils(1000, 33) == 330


def test_a_list_that_all_sits_is_not_captured_by_a_third() -> None:
    for verifiers in (10, 30):
        assert TERMS.seats_in(verifiers) == verifiers
        assert odds_of_capture(TERMS, verifiers, 33) == 0
        assert price_attack(TERMS, PRICES, verifiers, 33, BLOCK_MAKER_DRAWS, 1024).times is None


def test_the_recommended_settings_price_every_attack_at_a_hundred_times_its_worth() -> None:
    for verifiers in LISTS:
        for percent in PERCENTS:
            for devices in (1, 8, 1024):
                times = price_attack(TERMS, PRICES, verifiers, percent, BLOCK_MAKER_DRAWS, devices).times
                assert times is None or times >= AIM, (verifiers, percent, devices)


def test_the_recommended_quorum_is_the_least_whose_fee_is_small() -> None:
    quorum, fee = choose_quorum(TERMS, PRICES)
    assert quorum == TERMS.quorum
    assert fee <= TERMS.device_fee
    assert TERMS.device_fee * 100 <= TERMS.validity_hours * PRICES.vcpu_hour


def test_the_needed_fee_is_the_least_that_reaches_the_aim() -> None:
    fee = find_device_fee(TERMS, PRICES, LISTS, PERCENTS, BLOCK_MAKER_DRAWS)
    free = replace(TERMS, fee=Fraction(0))

    def worst(device_fee: Fraction) -> Fraction:
        priced = (
            price_attack(
                replace(free, device_fee=device_fee), PRICES, verifiers, percent, BLOCK_MAKER_DRAWS, 1024
            ).times
            for verifiers in LISTS
            for percent in PERCENTS
        )
        return min(times for times in priced if times is not None)

    assert worst(fee) == AIM
    assert worst(fee * Fraction(99, 100)) < AIM


def test_what_a_higher_quorum_makes_dear_it_also_makes_slow() -> None:
    quorums = range(more_than_two_thirds(TERMS.panel), TERMS.panel + 1)
    captured = [odds_of_capture(replace(TERMS, quorum=quorum), 1000, 33) for quorum in quorums]
    lapsed = [odds_of_lapse(replace(TERMS, quorum=quorum), 1000, 33) for quorum in quorums]
    assert captured == sorted(captured, reverse=True)
    assert lapsed == sorted(lapsed)
    assert captured[0] > captured[-1]
    assert lapsed[0] < lapsed[-1]


def test_fees_that_come_back_to_the_attackers_own_verifiers_are_not_its_cost() -> None:
    attack = price_attack(TERMS, PRICES, 1000, 33, 1, 1024)
    assert attack.tries is not None
    assert attack.cost is not None
    paid = attack.tries * (TERMS.fee / 1024 + TERMS.device_fee)
    assert attack.cost == paid * (1 - Fraction(330 * TERMS.panel, 1000 * TERMS.quorum))


def test_the_tables_and_the_plot_hold_what_they_are_about() -> None:
    tables = make_capture_tables(TERMS, PRICES)
    for verifiers in LISTS:
        assert f"| {verifiers:,} | 33 %" in tables
    assert f"| **{TERMS.panel}** | **{TERMS.quorum}** |" in tables
    lines = [
        one.attrib["points"].split()
        for one in ET.fromstring(make_capture_plot(TERMS, PRICES)).iter("{http://www.w3.org/2000/svg}polyline")
    ]
    assert len(lines) == 1 + len(PERCENTS)
    assert all(len(points) == TERMS.panel - more_than_two_thirds(TERMS.panel) + 1 for points in lines)
    assert all(0 <= int(part) <= 760 for points in lines for point in points for part in point.split(","))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Fraction(5), "5"),
        (Fraction(1, 20), "0.05"),
        (Fraction(1, 3), "0.34"),
        (Fraction(25, 2), "13"),
        (Fraction(3, 2), "1.5"),
        (Fraction(7200), "7,200"),
    ],
)
def test_amounts_are_shown_rounded_up(amount: Fraction, shown: str) -> None:
    assert show(amount) == shown
