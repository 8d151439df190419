"""What strangers say is shown as it is and never obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnode.cli.terminal.failure import report_failure
from xnode.cli.terminal.screen import FORMATS, Column, Screen, printable, say
from xnode.errors import UserError
from xnode.home import Home


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


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_spells_it_out_also_in_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    try:
        raise UserError("a node said \u202egas\u2028error: b\x1b[2J", hint="ask \u2066it")
    except UserError as error:
        report_failure(error, Home(tmp_path), debug)
    told = capsys.readouterr().err
    assert not set(told) & set("\u202e\u2028\u2066\x1b")
    assert told.endswith("error: a node said \\u202egas\\u2028error: b\\x1b[2J\nhint: ask \\u2066it\n")
    assert ("Traceback" in told) == debug


def test_a_bug_spells_it_out_in_the_file_that_is_kept(tmp_path: Path) -> None:
    try:
        raise ZeroDivisionError("\u202egas\x1b[2J")
    except ZeroDivisionError as error:
        report_failure(error, Home(tmp_path), debug=False)
    assert not set(Home(tmp_path).crash_log.read_text()) & set("\u202e\x1b")


def test_nothing_that_steers_gets_through_any_door(capsys: pytest.CaptureFixture[str]) -> None:
    codes = (0x061C, *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    text = "".join(map(chr, codes))
    for format in FORMATS:
        screen = Screen(format)
        screen.show([{"said": text}], lambda: None)
        screen.table((Column("said"),), [(text,)], title=text)
        screen.record([("said", text)])
    say(text)
    shown = capsys.readouterr()
    assert not set(shown.out + shown.err) & set(text)
