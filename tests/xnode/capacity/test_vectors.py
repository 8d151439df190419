"""The golden vectors of challenges, made with BigInt and ethers, against ours; forge reads the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metering.capacity import ElementProof, answers_hash_of, element_at, find_opened_rows
from metering.units import ZERO_HASH, Hash32
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.matrices import expand, split_seed
from xnode.capacity.product import Product, make_product

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "capacity.json").read_text())
CASES = [pytest.param(case, id=f"n={case['n']}") for case in VECTORS["cases"]]


def read_hash(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text[2:]))


@pytest.fixture(scope="module")
def products() -> dict[int, Product]:
    return {case["n"]: make_product(read_hash(case["seed"]), case["n"]) for case in VECTORS["cases"]}


@pytest.mark.parametrize("case", CASES)
def test_seeds_and_opened_rows_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    seed = device_seed_of(read_hash(case["challengeSeed"]), case["device"])
    assert seed == read_hash(case["seed"])
    assert split_seed(seed) == (int(case["seedA"], 16), int(case["seedB"], 16))
    rows = find_opened_rows(read_hash(case["openingSeed"]), case["device"], case["n"])
    assert list(rows) == case["openedRows"]


@pytest.mark.parametrize("case", CASES)
def test_matrices_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    n, (word_a, word_b) = case["n"], split_seed(read_hash(case["seed"]))
    row, column = case["rowOfA"], case["columnOfB"]
    assert expand(word_a, n, row["row"], 1)[0][:32].tolist() == row["values"]
    assert expand(word_b, n, column["column"], 1)[0][:32].tolist() == column["values"]


@pytest.mark.parametrize("case", CASES)
def test_elements_and_root_are_those_of_the_vectors(case: dict[str, Any], products: dict[int, Product]) -> None:
    product = products[case["n"]]
    found = [int(product.elements[each["row"], each["column"]]) for each in case["elements"]]
    assert found == [each["element"] for each in case["elements"]]
    assert len(product.tree.levels[0]) == 32 * case["leaves"]
    assert product.tree.root == read_hash(case["root"])


@pytest.mark.parametrize("case", CASES)
def test_element_proofs_are_those_of_the_vectors(case: dict[str, Any], products: dict[int, Product]) -> None:
    tree = products[case["n"]].tree
    for proof in case["elementProofs"]:
        path = tuple(read_hash(text) for text in proof["path"])
        assert tree.make_path(proof["index"]) == path
        element = ElementProof(proof["index"], proof["column"], bytes.fromhex(proof["values"][2:]), path)
        assert element.find_root() == tree.root and element.element == proof["element"]


@pytest.mark.parametrize("case", CASES)
def test_the_wrong_element_of_the_vectors_is_under_its_root_and_wrong(
    case: dict[str, Any], products: dict[int, Product]
) -> None:
    wrong = case["wrongElement"]
    path = tuple(read_hash(text) for text in wrong["path"])
    proof = ElementProof(wrong["index"], wrong["column"], bytes.fromhex(wrong["values"][2:]), path)
    assert proof.find_root() == read_hash(wrong["root"])
    row, column = proof.find_place(case["n"])
    assert proof.element == wrong["element"] != wrong["right"] == int(products[case["n"]].elements[row, column])
    assert element_at(read_hash(case["seed"]), case["n"], row, column) == wrong["right"]


def test_the_answers_hash_is_that_of_the_vectors() -> None:
    answers = VECTORS["answers"]
    assert answers_hash_of([read_hash(root) for root in answers["roots"]]) == read_hash(answers["answersHash"])
    assert answers_hash_of([]) == read_hash(answers["none"]) == ZERO_HASH
