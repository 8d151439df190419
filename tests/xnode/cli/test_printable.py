"""What strangers say is shown as it is and never obeyed."""

from __future__ import annotations

import pytest

from xnode.cli.terminal.screen import printable, say


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("no gas\u202e0xtfel", "no gas\\u202e0xtfel"),
        ("a\u2028error: b\u2029c", "a\\u2028error: b\\u2029c"),
        ("\u2066\u2069\u200f\u061c", "\\u2066\\u2069\\u200f\\u061c"),
        ("grüße 名前 🙂", "grüße 名前 🙂"),
    ],
)
def test_what_steers_a_terminal_or_turns_text_round_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_message_spells_it_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    say("it said \u202egas\u2028error: \x0bno\nhint: none\n")
    assert capsys.readouterr().err == "it said \\u202egas\\u2028error: \\x0bno\nhint: none\n"
