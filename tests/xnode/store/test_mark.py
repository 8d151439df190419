"""Mark: a data folder says which version used it last, and one that cannot read it says so and touches nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.make.stored_types import hash_stored_types
from xnode import __version__
from xnode.errors import ExitCode, UserError
from xnode.store.mark import FORM, NAME, OLDEST_FORM, Mark, read_mark, require_readable, write_mark

RELEASES = Path(__file__).parents[2] / "fixtures" / "versions"


def test_a_folder_without_a_mark_is_of_a_version_before_there_were_any(tmp_path: Path) -> None:
    assert read_mark(tmp_path) == Mark("", 0)
    require_readable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mark_names_this_version_and_its_form_and_is_for_its_owner_only(tmp_path: Path) -> None:
    write_mark(tmp_path)
    assert json.loads((tmp_path / NAME).read_text()) == {"version": __version__, "form": FORM}
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    before = (tmp_path / NAME).stat().st_mtime_ns
    write_mark(tmp_path)
    assert (tmp_path / NAME).stat().st_mtime_ns == before, "nothing is written where nothing changed"


def test_data_of_a_newer_form_is_refused_by_the_name_of_the_version_that_left_it(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({"version": "9.1.0", "form": FORM + 1, "more": "of that version"}))
    with pytest.raises(UserError, match=r"xnode 9\.1\.0 has used this data") as caught:
        require_readable(tmp_path)
    assert caught.value.code is ExitCode.CONFLICT and "or newer, or restore the backup" in caught.value.hint


def test_a_newer_version_of_the_same_form_is_no_reason_to_refuse(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({"version": "9.1.0", "form": FORM}))
    require_readable(tmp_path)


def test_data_of_a_form_that_is_no_longer_read_is_refused_with_the_way_there(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({"version": "0.0.1", "form": OLDEST_FORM - 1}))
    with pytest.raises(UserError, match=r"no longer reads its form") as caught:
        require_readable(tmp_path)
    assert "a version between the two" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"form": "x"}', "\0" * 9000])
def test_a_mark_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        require_readable(tmp_path)


def test_the_form_rises_with_the_first_change_of_what_is_stored_after_a_release() -> None:
    newest = max(RELEASES.glob("*/about.json"), key=lambda path: tuple(map(int, path.parent.name.split("."))))
    released = json.loads(newest.read_text())
    if hash_stored_types() != released["types"]:
        assert released["form"] < FORM, (
            f"what is stored differs from {released['version']}: FORM in xnode/store/mark.py"
        )
