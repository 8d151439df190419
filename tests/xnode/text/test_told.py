"""Words of strangers: cut, and without what a terminal would obey."""

from __future__ import annotations

from xnode.text.told import cut_told


def test_a_megabyte_becomes_a_sentence() -> None:
    assert cut_told("x" * 1_000_000) == "x" * 497 + "..." and cut_told("abcdef", 5) == "ab..."


def test_what_a_terminal_would_obey_does_not_reach_it() -> None:
    assert cut_told("a\x1b[2Jb\0\nc \u202e\ud800é") == "a?[2Jb??c ??é"
