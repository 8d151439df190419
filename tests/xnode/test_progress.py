"""The board shows what is being done, for whom, and forgets it when it is done."""

from __future__ import annotations

import pytest

from xnode.progress import Board


def test_work_is_on_the_board_as_long_as_it_lasts_also_when_it_fails() -> None:
    board = Board()
    with board.show("image", 10, "a") as first, board.show("image", 20, "b"):
        first.add(3)
        first.add(4)
        assert [(one.subject, one.done_bytes, one.total_bytes) for one in board.all()] == [("a", 7, 10), ("b", 0, 20)]
    with pytest.raises(ValueError, match="it broke"), board.show("image", subject="a"):
        raise ValueError("it broke")
    assert board.all() == () and board.find("a") is None


def test_what_was_begun_last_is_what_is_being_done() -> None:
    board = Board()
    with board.show("image", subject="a"):
        with board.show("unpacking", subject="a"):
            assert board.find("a") is board.all()[1]
        assert board.find("a") is board.all()[0]
