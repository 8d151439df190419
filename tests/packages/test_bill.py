"""The bill of materials: each library that a node runs on, its hashes, and why it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packages.bill import make_bill, read_version
from packages.lock import pins_of
from xnode import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(make_bill(ROOT, __version__))
    return made


def test_every_library_is_in_it_once_with_its_hashes(bill: dict[str, Any]) -> None:
    pins = pins_of(ROOT, all_extras=True)
    python = {one["name"]: one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")}
    assert len(bill["components"]) == len(pins) + 1
    for pin in pins:
        (files,) = python[pin.name]["externalReferences"]
        assert python[pin.name]["version"] == pin.version
        assert [one["content"] for one in files["hashes"]] == list(pin.hashes)


def test_what_is_compiled_into_the_contracts_is_in_it(bill: dict[str, Any]) -> None:
    (contracts,) = [one for one in bill["components"] if one["purl"].startswith("pkg:npm/")]
    assert (
        contracts["purl"].startswith("pkg:npm/%40openzeppelin/contracts@5")
        and len(contracts["hashes"][0]["content"]) == 128
    )


def test_all_that_is_named_is_there_and_is_reached_from_xnode(bill: dict[str, Any]) -> None:
    refs = {one["bom-ref"] for one in bill["components"]}
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    reached, waiting = set[str](), [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        new = set(needs.get(waiting.pop(), ())) - reached
        reached |= new
        waiting += new
    assert reached == refs


def test_what_only_an_extra_brings_is_optional(bill: dict[str, Any]) -> None:
    scopes = {one["name"]: one["scope"] for one in bill["components"]}
    assert (scopes["trio"], scopes["numpy"], scopes["web3"]) == ("required", "optional", "optional")


def test_the_same_tree_gives_the_same_bytes_without_a_time() -> None:
    assert make_bill(ROOT, "1") == make_bill(ROOT, "1") and "timestamp" not in make_bill(ROOT, "1")
    assert read_version(ROOT) == __version__
