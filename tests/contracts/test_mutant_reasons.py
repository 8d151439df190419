"""The reasons why a mutant cannot matter are about lines that are there: another line, and the reason holds for nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parents[2] / "contracts"
ENTRIES = json.loads((CONTRACTS / "script" / "equivalent_mutants.json").read_text())


@pytest.mark.parametrize("entry", ENTRIES, ids=[f"{Path(one['source']).stem}-{n}" for n, one in enumerate(ENTRIES)])
def test_a_reason_is_about_a_line_of_its_source(entry: dict[str, str]) -> None:
    code = " ".join((CONTRACTS / entry["source"]).read_text().split())
    assert entry["line"] in code
    assert entry["change"] != entry["line"] and entry["reason"]


def test_no_change_has_two_reasons() -> None:
    named = [(one["source"], one["line"], one["change"]) for one in ENTRIES]
    assert len(named) == len(set(named))
