"""Nonces: chosen, filled and moved, as pure numbers."""

from __future__ import annotations

import pytest

from xnode.chain.node.answers import UnfitAnswer
from xnode.chain.send.nonces import MAX_POOLED, choose_nonce, list_fillers, list_moves


def test_a_new_transaction_comes_after_ours_and_those_of_other_programs() -> None:
    assert choose_nonce(own=7, mined=5, pending=6) == 7
    assert choose_nonce(own=0, mined=4_000, pending=4_003) == 4_003


def test_a_count_that_no_node_can_hold_is_not_believed() -> None:
    with pytest.raises(UnfitAnswer, match="counts 100 transactions of this key, and 5 that are mined"):
        choose_nonce(own=7, mined=5, pending=100)
    assert choose_nonce(own=7, mined=5, pending=7 + MAX_POOLED) == 7 + MAX_POOLED


def test_a_narrow_hole_is_filled_where_nothing_of_ours_lies() -> None:
    assert list_fillers(4, waiting=[8, 9], known={6, 8, 9}) == (4, 5, 7)
    assert list_moves(4, waiting=[8, 9]) == ()


def test_behind_a_wide_hole_all_that_wait_are_moved_in_order() -> None:
    assert list_fillers(4, waiting=[5_001, 5_000], known=set()) == ()
    assert list_moves(4, waiting=[5_001, 5_000]) == ((5_000, 4), (5_001, 5))


def test_without_a_hole_nothing_is_filled_or_moved() -> None:
    for waiting in ([], [4, 5]):
        assert list_fillers(4, waiting, known=set()) == ()
        assert list_moves(4, waiting) == ()
