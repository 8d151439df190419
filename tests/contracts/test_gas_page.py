"""docs/gas.md is of the committed build, and the contracts keep to what it may cost."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from xnode.chain.abi.artifacts import CONTRACTS

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "contracts" / "artifacts"
PAGE = (ROOT / "docs" / "gas.md").read_text()

MOST_CODE_BYTES = 24_576 * 85 // 100
"""Of the 24,576 that a contract may have, so that a fix always fits."""

MOST_GAS_PER_ROW = 13_500
"""In a claim of 100, for every kind without a split."""


def test_the_page_is_of_the_committed_build() -> None:
    build = re.search(r"Build `([0-9a-f]{64})`", PAGE)
    assert build, "docs/gas.md does not say of which build it is"
    made = "run: make -C contracts gas ARGS=../docs/gas.md"
    assert build[1] == read_build(), f"docs/gas.md is of another build than contracts/artifacts: {made}"


def test_every_contract_on_the_page_has_the_size_that_is_committed() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| [\d,]+ \| ([\d,]+) \| \d+ % \|$", PAGE, re.MULTILINE))
    assert {name: int(size.replace(",", "")) for name, size in rows.items()} == {
        name: size_of(name) for name in CONTRACTS
    }


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_leaves_room_below_the_size_limit(contract: str) -> None:
    assert size_of(contract) <= MOST_CODE_BYTES


def test_a_claimed_row_costs_no_more_than_promised() -> None:
    rows = re.findall(r"^\| \*\*(.+)\*\* \|(.+)\|$", PAGE, re.MULTILINE)
    per_row = {kind: int(cells.split("|")[3].replace(",", "")) for kind, cells in rows}
    assert len(per_row) == 7
    dear = {kind: gas for kind, gas in per_row.items() if "split" not in kind and gas > MOST_GAS_PER_ROW}
    assert not dear


def read_build() -> str:
    """The same as readBuild in contracts/script/scene.mjs."""
    hashed = hashlib.sha256()
    for path in sorted(ARTIFACTS.glob("*.json"), key=lambda path: path.stem):
        hashed.update(f"{path.stem} {json.loads(path.read_text())['bytecode']}\n".encode())
    return hashed.hexdigest()


def size_of(contract: str) -> int:
    return len(json.loads((ARTIFACTS / f"{contract}.json").read_text())["deployedBytecode"]) // 2 - 1
