"""contracts/README.md says how to deploy by hand: the constructors and connections of the contracts that xnode deploys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xnode.chain.abi.artifacts import CONTRACTS, find_entry

README = Path(__file__).parents[2] / "contracts" / "README.md"


def read_constructors() -> dict[str, list[str]]:
    """Names of the arguments by contract, as the table of the section Deploying has them."""
    section = README.read_text().partition("## Deploying")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z][\w, ]*?)(?:, for each kind)? \| ?(.*?) ?\|$", section, re.MULTILINE)
    return {name: re.findall(r"`(\w+)`", arguments) for names, arguments in rows for name in names.split(", ")}


def list_inputs(contract: str, kind: str, name: str) -> list[str]:
    """Names of the arguments in the committed artifact, without the underscores that tell them from state."""
    return [each.name.rstrip("_") for each in find_entry(contract, kind, name).inputs]


def test_every_contract_has_its_row() -> None:
    assert set(read_constructors()) == set(CONTRACTS)


@pytest.mark.parametrize("contract", sorted(set(CONTRACTS) - {"SplitRegistry", "RandaoRandomness"}))
def test_the_arguments_are_those_of_the_constructor(contract: str) -> None:
    assert read_constructors()[contract] == list_inputs(contract, "constructor", "")


@pytest.mark.parametrize("contract", ["SplitRegistry", "RandaoRandomness"])
def test_who_takes_no_arguments_has_none(contract: str) -> None:
    assert read_constructors()[contract] == []


@pytest.mark.parametrize("contract", ["ProviderRegistry", "VerifierRegistry"])
def test_the_connections_are_those_of_the_contracts(contract: str) -> None:
    said = re.findall(r"`connect\(([^)]*)\)` on (\w+)", README.read_text().replace("\n", " "))
    (arguments,) = (arguments for arguments, of in said if of == contract)
    assert arguments.split(", ") == list_inputs(contract, "function", "connect")
