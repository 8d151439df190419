"""The threat model names tests; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"


def list_tests() -> set[str]:
    """Names of all tests, Python's and forge's."""
    python = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    forge = (path.read_text() for path in (ROOT / "contracts" / "test").rglob("*.sol"))
    found = {name for text in python for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}
    return found | {name for text in forge for name in re.findall(r"function (test\w+)", text)}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    assert len(named) > 50
    assert named <= list_tests(), sorted(named - list_tests())


def test_every_threat_names_a_test() -> None:
    rows = re.findall(r"^\| (?!can try|what happens|boundary|---)(.*) \|$", PAGE.read_text(), re.MULTILINE)
    without = [row for row in rows if "`test_" not in row and "`xnode/" not in row and "|" in row]
    assert without == ["the host's users | control socket, files, environment | modes of files, keystores, one user"]
