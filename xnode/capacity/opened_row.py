"""Opened row: a row of a committed product as a prover shows it, and the evidence in one that is wrong. Needs no numpy."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.capacity import LEAF_BYTES, LEAF_COLUMNS, ElementProof, count_leaves, count_levels
from metering.refusal import Refusal
from metering.units import Hash32
from xnode.capacity.challenge import MAX_SIZE
from xnode.capacity.tree import SpanProof, WrongProof, find_path, find_row_span, fold_span, hash_leaf

MAX_LEVELS = count_levels(count_leaves(MAX_SIZE))
"""A proof has at most one hash on either side of each level."""

Side = Annotated[tuple[Hash32, ...], msgspec.Meta(max_length=MAX_LEVELS)]


class OpenedRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One row's elements (int32, big-endian) and what leads from its leaves to the signed root; see SpanProof."""

    values: Annotated[bytes, msgspec.Meta(max_length=4 * MAX_SIZE)]
    left: Side
    right: Side


def check_opened_row(root: Hash32, n: int, row: int, opened: OpenedRow) -> Refusal | None:
    """None when these are the elements under the root, right or wrong."""
    if len(opened.values) != 4 * n:
        return Refusal("row_length", f"row {row} has {len(opened.values)} bytes, not {4 * n}")
    try:
        found = _fold(n, row, opened)[-1]
    except WrongProof as error:
        return Refusal("row_proof", f"row {row}: {error}")
    if found != (root,):
        return Refusal("row_root", f"row {row} is not under the signed root")
    return None


def find_wrong_element(n: int, row: int, opened: OpenedRow, expected: bytes) -> ElementProof | None:
    """The first element that differs from what the row must be, as evidence; for rows that passed check_opened_row."""
    if opened.values == expected:
        return None
    place = next(at for at in range(0, 4 * n, 4) if opened.values[at : at + 4] != expected[at : at + 4])
    first, _ = find_row_span(n, row)
    leaf, column = divmod(place // 4, LEAF_COLUMNS)
    values = opened.values[leaf * LEAF_BYTES : (leaf + 1) * LEAF_BYTES]
    path = find_path(_fold(n, row, opened), first, first + leaf)
    return ElementProof(first + leaf, column, values, path)


def prove_leaf(n: int, index: int, opened: OpenedRow) -> ElementProof:
    """One leaf of an opened row and its path; its first element stands for it."""
    first, _ = find_row_span(n, index // (n // LEAF_COLUMNS))
    at = (index - first) * LEAF_BYTES
    path = find_path(_fold(n, index // (n // LEAF_COLUMNS), opened), first, index)
    return ElementProof(index, 0, opened.values[at : at + LEAF_BYTES], path)


def _fold(n: int, row: int, opened: OpenedRow) -> tuple[tuple[Hash32, ...], ...]:
    first, count = find_row_span(n, row)
    parts = [opened.values[LEAF_BYTES * k : LEAF_BYTES * (k + 1)] for k in range(count)]
    leaves = [hash_leaf(first + k, part) for k, part in enumerate(parts)]
    return fold_span(leaves, first, count_leaves(n), SpanProof(opened.left, opened.right))
