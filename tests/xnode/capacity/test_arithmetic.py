"""What a challenge computes is exact, and one wrong element is found by each of the checks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.capacity import OPENED_ROWS, count_leaves, find_opened_rows
from metering.eip712 import keccak
from metering.units import Hash32
from xnode.capacity.challenge import MAX_SIZE, check_size, make_vector
from xnode.capacity.freivalds import make_expected
from xnode.capacity.matrices import Int8s, expand, split_seed
from xnode.capacity.opened_row import OpenedRow, check_opened_row, find_wrong_element
from xnode.capacity.product import Product, make_product, multiply
from xnode.capacity.tree import SpanProof, WrongProof, find_path, fold_span, hash_leaves, make_tree

SEED = keccak(b"a device")
N = 512


@pytest.fixture(scope="module")
def product() -> Product:
    return make_product(SEED, N)


def break_element(product: Product, row: int, column: int, by: int) -> Product:
    """The same product but for one element, with a tree that stands for it."""
    elements = product.elements.copy()
    elements[row, column] += by
    return Product(product.n, elements, make_tree(hash_leaves(0, elements.tobytes())))


def multiply_slowly(rows: Int8s, columns: Int8s) -> list[list[int]]:
    """By Python's own whole numbers."""
    return [[sum(int(a) * int(b) for a, b in zip(r, c, strict=True)) for c in columns] for r in rows]


def test_expansion_is_the_same_however_it_is_cut() -> None:
    whole = expand(7, N, 0, N)
    parts = [expand(7, N, at, 64) for at in range(0, N, 64)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(expand(7, N, N - 1, 1)[0], whole[-1])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_product_is_exact(rows: int, columns: int, terms: int, entropy: object) -> None:
    draw = np.random.default_rng(entropy.getrandbits(32))  # type: ignore[attr-defined]
    left = draw.integers(-128, 128, (rows, terms), dtype=np.int8)
    right = draw.integers(-128, 128, (columns, terms), dtype=np.int8)
    assert multiply(left, right).tolist() == multiply_slowly(left, right)


@pytest.mark.parametrize("odd_at", [0, 1023, 4095])
def test_the_largest_products_are_exact(odd_at: int) -> None:
    # 4,095 x 2^14 + 1: float32 cannot hold it, nor the sum of many more than EXACT_TERMS of these terms.
    left = np.full((2, 4096), -128, dtype=np.int8)
    left[:, odd_at] = 1
    assert multiply(left, left).tolist() == multiply_slowly(left, left)


def test_the_vector_product_and_the_rows_are_those_of_the_product(product: Product) -> None:
    vector = make_vector(keccak(b"entropy"), 0, N)
    rows = find_opened_rows(keccak(b"entropy"), 0, N)
    expected = make_expected(SEED, N, vector, rows)
    assert product.multiply_vector(vector) == expected.vector_product
    assert tuple(product.read_row(row) for row in rows) == expected.rows
    assert len(rows) == OPENED_ROWS


def test_vector_products_wrap_at_64_bits_alike() -> None:
    # Elements as large as a liar may claim: the sums leave 64 bits.
    elements = np.full((256, 256), -(1 << 31), dtype=">i4")
    product = Product(256, elements, make_tree(bytes(32)))
    total = (-(1 << 31) * ((1 << 32) - 1) * 256) % (1 << 64)
    assert product.multiply_vector(b"\xff" * 1024) == total.to_bytes(8, "big") * 256


@settings(max_examples=25, deadline=None)
@given(st.integers(0, N - 1), st.integers(0, N - 1), st.sampled_from([1, -1, 2, 1 << 16, 1 << 24, -(1 << 30)]))
def test_one_wrong_element_changes_the_vector_product(row: int, column: int, by: int) -> None:
    broken = break_element(make_product(SEED, N), row, column, by)
    vector = make_vector(keccak(b"entropy"), 3, N)
    assert broken.multiply_vector(vector) != make_expected(SEED, N, vector, ()).vector_product


def test_an_honest_row_passes(product: Product) -> None:
    for row in (0, 1, N - 1):
        expected = make_expected(SEED, N, make_vector(SEED, 0, N), (row,)).rows[0]
        assert check_opened_row(product.tree.root, N, row, product.open_row(row)) is None
        assert find_wrong_element(N, row, product.open_row(row), expected) is None


def test_one_wrong_element_in_an_opened_row_is_evidence_for_the_contract(product: Product) -> None:
    row, column = 9, 300
    broken = break_element(product, row, column, 1)
    opened = broken.open_row(row)
    assert check_opened_row(broken.tree.root, N, row, opened) is None
    found = find_wrong_element(N, row, opened, product.read_row(row))
    assert found is not None
    assert (found.index, found.column) == (row * 2 + 1, column - 256)
    assert found.find_root() == broken.tree.root
    assert found.path == broken.tree.make_path(found.index)


def test_a_row_that_is_not_under_the_root_is_refused(product: Product) -> None:
    broken = break_element(product, 9, 300, 1)
    refusal = check_opened_row(product.tree.root, N, 9, broken.open_row(9))
    assert refusal is not None and refusal.code == "row_root"
    # Nor is another row in its place.
    refusal = check_opened_row(product.tree.root, N, 8, product.open_row(9))
    assert refusal is not None


@pytest.mark.parametrize("columns", [0, 256, 511, 513])
def test_a_row_of_another_length_is_refused(product: Product, columns: int) -> None:
    opened = product.open_row(1)
    refusal = check_opened_row(product.tree.root, N, 1, OpenedRow(bytes(4 * columns), opened.left, opened.right))
    assert refusal is not None and refusal.code == "row_length"


def test_a_proof_with_a_hash_more_or_less_is_refused(product: Product) -> None:
    opened = product.open_row(5)
    more = OpenedRow(opened.values, (*opened.left, Hash32(bytes(32))), opened.right)
    less = OpenedRow(opened.values, opened.left, opened.right[:-1])
    for wrong in (more, less):
        refusal = check_opened_row(product.tree.root, N, 5, wrong)
        assert refusal is not None and refusal.code == "row_proof"


@given(st.integers(1, 40), st.data())
def test_any_span_leads_to_the_root_and_gives_each_leafs_path(total: int, data: st.DataObject) -> None:
    hashes = [keccak(bytes((k,))) for k in range(total)]
    tree = make_tree(b"".join(hashes))
    first = data.draw(st.integers(0, total - 1))
    count = data.draw(st.integers(1, total - first))
    proof = tree.prove_span(first, count)
    levels = fold_span(hashes[first : first + count], first, total, proof)
    assert levels[-1] == (tree.root,)
    for index in range(first, first + count):
        path = find_path(levels, first, index)
        assert path == tree.make_path(index)


def test_a_span_with_a_foreign_hash_leads_elsewhere() -> None:
    hashes = [keccak(bytes((k,))) for k in range(8)]
    tree = make_tree(b"".join(hashes))
    proof = tree.prove_span(2, 2)
    forged = SpanProof(proof.left, (Hash32(bytes(32)), *proof.right[1:]))
    assert fold_span(hashes[2:4], 2, 8, forged)[-1] != (tree.root,)
    with pytest.raises(WrongProof):
        fold_span(hashes[2:4], 2, 8, SpanProof((), ()))


@pytest.mark.parametrize("n", [0, 1, 255, 257, MAX_SIZE + 256, -256])
def test_sizes_that_have_no_whole_leaves_are_no_sizes(n: int) -> None:
    with pytest.raises(ValueError, match="multiple of 256"):
        check_size(n)


def test_a_product_of_768_has_leaves_missing_up_to_a_power_of_two() -> None:
    assert count_leaves(768) == 2304
    product = make_product(SEED, 768)
    assert len(product.tree.make_path(2303)) == 12
    assert check_opened_row(product.tree.root, 768, 767, product.open_row(767)) is None


def test_two_devices_have_nothing_in_common() -> None:
    word_a, word_b = split_seed(SEED)
    assert word_a != word_b
    assert make_vector(SEED, 0, 256) != make_vector(SEED, 1, 256)
