"""The picture of a session in README: it is what the recording renders to, and the recording is of real commands."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from examples.picture import ROWS, Terminal, list_commands, make_picture
from tests.test_pages import find_wrong

ROOT = Path(__file__).parent.parent
CAST = (ROOT / "docs/session.cast").read_text()
PICTURE = (ROOT / "docs/session.svg").read_text()


def read_printed(cast: str) -> str:
    """All that the terminal of a recording printed."""
    return "".join(text for _, kind, text in map(json.loads, cast.splitlines()[1:]) if kind == "o")


def make_cast(*events: tuple[float, str]) -> str:
    head = {"version": 2, "width": 20, "height": 5, "title": "a & b"}
    return "\n".join(json.dumps(line) for line in (head, *([at_s, "o", text] for at_s, text in events)))


def read_lines(terminal: Terminal) -> list[str]:
    return ["".join(letter for letter, _ in line.cells) for line in terminal.lines]


def test_the_picture_is_what_the_recording_renders_to() -> None:
    assert make_picture(CAST) == PICTURE


def test_every_command_of_the_recording_is_one() -> None:
    commands = [command.split()[1:] for command in list_commands(CAST) if command.startswith("xnode ")]
    assert len(commands) >= 8
    assert [find_wrong(words) for words in commands] == [""] * len(commands)


def test_the_recording_shows_what_was_typed_and_that_the_job_was_paid() -> None:
    printed = read_printed(CAST)
    for command in list_commands(CAST):
        assert f"$ {command}\r\n" in printed
    assert "exit code 0 (completed)" in printed
    assert "all of it holds" in printed
    assert "error:" not in printed


def test_no_folder_of_the_recording_machine_is_in_the_picture() -> None:
    folders = set(re.findall(r"(?<![\w.])/[\w.-]+(?=/)", read_printed(CAST)))
    assert folders <= {"/tmp", "/work"}, "/work/in is the job's own"
    assert "/tmp/" not in read_printed(CAST).replace("/tmp/xnode-me/", "")


def test_a_password_is_not_printed() -> None:
    assert "horse" not in CAST + PICTURE


def test_a_line_that_is_drawn_again_counts_as_it_was_in_the_end() -> None:
    terminal = Terminal(20)
    terminal.write("\x1b[2m⠋ waiting\x1b[0m\r\x1b[2Kdone\r\nnext", 1.0)
    assert read_lines(terminal) == ["done", "next"]


def test_a_long_line_goes_on_in_the_next_row() -> None:
    terminal = Terminal(4)
    terminal.write("abcdefgh\r\ni\tj", 1.0)
    assert read_lines(terminal) == ["abcd", "efgh", "i  j"]


def test_text_is_not_taken_for_markup() -> None:
    picture = make_picture(make_cast((0.1, "<b> & \x1b[1;31mred\x1b[0m\r\n"), (0.2, "$ ")))
    texts = [span.text for span in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}tspan")]
    assert texts == ["<b> &", "red"]


def test_the_page_moves_up_when_it_is_full_and_not_before() -> None:
    full = make_picture(make_cast(*((number / 10, f"line {number}\r\n") for number in range(ROWS))))
    over = make_picture(make_cast(*((number / 10, f"line {number}\r\n") for number in range(ROWS + 2))))
    assert 'transform="translate(0 0)"' in full
    assert 'transform="translate(0 -38)"' in over
