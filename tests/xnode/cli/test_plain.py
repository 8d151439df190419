"""What a workload printed cannot steer the terminal that shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnode.cli.terminal.plain import PlainText


@pytest.mark.parametrize(
    "printed, shown",
    [
        (b"\x1b[2J\x1b]0;title\x07", rb"\x1b[2J\x1b]0;title\x07"),
        (b"10%\r20%\r\n\tdone\b", b"10%\r20%\r\n\tdone\b"),
        ("grüße\u0085\u009b31m".encode(), "grüße\\x85\\x9b31m".encode()),
        (b"\xff\x9b2J", rb"\xff\x9b2J"),
        ("100 \u202etfel\u2066 \u061c\u200f".encode(), rb"100 \u202etfel\u2066 \u061c\u200f"),
    ],
)
def test_escapes_are_shown_and_progress_bars_work(printed: bytes, shown: bytes) -> None:
    assert PlainText().feed(printed) == shown


@given(st.binary(max_size=60), st.integers(0, 60))
def test_where_a_piece_is_cut_does_not_matter(printed: bytes, cut: int) -> None:
    whole, parts = PlainText(), PlainText()
    shown = whole.feed(printed) + whole.end()
    assert parts.feed(printed[:cut]) + parts.feed(printed[cut:]) + parts.end() == shown
    assert not any(byte < 32 and byte not in b"\n\r\t\b" for byte in shown) and b"\x1b" not in shown
