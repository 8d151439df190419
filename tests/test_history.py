"""What is dated: the changelog's newest section is this version; a decision says when it was taken and what became of it."""

from __future__ import annotations

import re
from pathlib import Path

from xnode import __version__

ROOT = Path(__file__).parent.parent
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")

_STATUS = re.compile(r"\*\d{4}-\d{2}-\d{2}, (accepted|superseded by (\d+))(; [^*]*superseded by (\d+))?\.\*")


def test_the_newest_section_of_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## (\S+)(.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    newest = next(version for version, _ in versions if version != "Unreleased")
    assert newest == __version__
    assert all(re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date) for version, date in versions if version != "Unreleased")


def test_changes_are_by_kind() -> None:
    kinds = set(re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert kinds and kinds <= set(KINDS)


def test_every_decision_has_its_number_its_date_and_its_status() -> None:
    parts = re.split(r"^## ", (ROOT / "DECISIONS.md").read_text(), flags=re.MULTILINE)[1:]
    for number, part in enumerate(parts, 1):
        title, _, status, *_ = part.split("\n")
        assert title.startswith(f"{number}. "), title
        found = _STATUS.fullmatch(status)
        assert found, f"{title}: {status}"
        assert all(number < int(later) <= len(parts) for later in (found[2], found[4]) if later)
