"""What a person sees of a contract's refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnode.chain.abi.artifacts import CONTRACTS, load_artifact
from xnode.chain.abi.codec import Revert
from xnode.cli.terminal.reverts import MEANINGS, explain
from xnode.errors import ExitCode

SOURCES = Path(__file__).parents[3] / "contracts" / "src"
TOKEN = 10**18


def test_every_error_of_our_interfaces_has_a_meaning_that_its_values_fill() -> None:
    named = set()
    for path in SOURCES.glob("interfaces/*.sol"):
        named |= set(re.findall(r"^ *error (\w+)\(", path.read_text(), re.MULTILINE))
    assert named - set(MEANINGS) == set()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_meaning_asks_for_no_value_that_the_error_lacks(contract: str) -> None:
    for entry in load_artifact(contract).abi:
        if entry["type"] != "error" or entry["name"] not in MEANINGS:
            continue
        given = {field["name"] for field in entry["inputs"]}
        asked = set(re.findall(r"\{(\w+)", " ".join(MEANINGS[entry["name"]])))
        assert asked <= given, entry["name"]


def test_amounts_times_and_addresses_are_shown_as_people_write_them() -> None:
    told = explain(Revert("StakeHeld", {"provider": b"\x11" * 20, "held": 5 * TOKEN // 2, "staked": TOKEN}))
    assert str(told).startswith("2.5 OPENX of the stake are locked, and only 1 would stay; ")
    assert told.code == ExitCode.REFUSED
    assert re.search(r"until \d{4}-\d\d-\d\d", str(explain(Revert("StakeStillThaws", {"thawEnd": 1_800_000_000}))))
    assert "0x1111" in str(explain(Revert("NotRegistered", {"provider": b"\x11" * 20})))


def test_an_unknown_error_or_one_without_values_is_no_bug() -> None:
    assert "Strange(x=1)" in str(explain(Revert("Strange", {"x": 1})))
    assert "AboveCollateral" in str(explain(Revert("AboveCollateral", {"data": b""})))
