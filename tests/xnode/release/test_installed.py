"""Whose signature counts, what is said of libraries, and that a checkout has nothing to compare itself with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xnode.release.test_sshsig import MESSAGE, Key, needs_openssh
from xnode.cli.node.version import SHOWN, judge_report
from xnode.errors import ExitCode, UserError
from xnode.release.installed import (
    MANIFEST,
    SIGNATURE,
    SIGNERS,
    Report,
    judge_signature,
    load_signers,
    verify_installation,
)
from xnode.release.manifest import Difference
from xnode.release.sshsig import Signer

CLEAN = Report(400, (), "us (SHA256:x)", "", 80, (), ())


def verdicts(report: Report, must_be_signed: bool = False) -> list[tuple[str, str]]:
    return [(one.verdict, one.what) for one in judge_report(report, must_be_signed)]


def test_a_checkout_has_nothing_to_compare_itself_with(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a checkout, not an installed release") as caught:
        verify_installation((), tmp_path)
    assert caught.value.code is ExitCode.NOT_FOUND


def test_a_manifest_that_cannot_be_read_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / MANIFEST).write_text("nonsense\n")
    with pytest.raises(UserError) as caught:
        verify_installation((), tmp_path)
    assert caught.value.where == str(tmp_path / MANIFEST) and "line 1" in caught.value.what


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Key]:
    key = Key(tmp_path)
    (tmp_path / SIGNATURE).parent.mkdir()
    (tmp_path / SIGNATURE).write_text(key.sign(MESSAGE))
    return tmp_path, key


@needs_openssh
def test_the_signature_of_one_who_may_sign_counts(signed: tuple[Path, Key]) -> None:
    folder, key = signed
    signer = Signer("us", key.raw)
    assert judge_signature(MESSAGE, folder, [Signer("other", bytes(32)), signer]) == (f"us ({signer.fingerprint})", "")


@needs_openssh
def test_that_of_anybody_else_does_not(signed: tuple[Path, Key]) -> None:
    folder, _ = signed
    by, fault = judge_signature(MESSAGE, folder, [Signer("other", bytes(32))])
    assert by == "" and "which is not among those who may sign" in fault


@needs_openssh
def test_nor_does_one_over_another_manifest(signed: tuple[Path, Key]) -> None:
    folder, key = signed
    assert judge_signature(MESSAGE + b"x", folder, [Signer("us", key.raw)]) == ("", "not over these bytes")


def test_an_unsigned_build_is_told_and_fails_only_where_a_signature_is_asked_for(tmp_path: Path) -> None:
    assert judge_signature(MESSAGE, tmp_path, ()) == ("", "")
    unsigned = Report(400, (), "", "", 80, (), ())
    assert ("warn", "signature") in verdicts(unsigned)
    assert ("fail", "signature") in verdicts(unsigned, must_be_signed=True)


def test_a_clean_installation_has_a_line_for_each_thing_that_is_well() -> None:
    assert verdicts(CLEAN, must_be_signed=True) == [("ok", "files"), ("ok", "signature"), ("ok", "libraries")]


def test_each_file_that_differs_has_a_line_up_to_a_limit_and_the_rest_a_number() -> None:
    many = tuple(Difference("changed", f"x{number}.py") for number in range(SHOWN + 5))
    found = list(judge_report(Report(400, many, "us", "", 80, (), ()), False))
    assert sum(one.what == "files" and one.verdict == "fail" for one in found) == SHOWN + 1
    assert any("and 5 more" in one.detail for one in found)


def test_another_version_of_a_library_is_a_warning_and_a_changed_file_a_failure() -> None:
    said = verdicts(Report(400, (), "us", "", 80, ("trio 0.36, tested with 0.35",), ("trio/_core.py is changed",)))
    assert said[2:] == [("warn", "libraries"), ("fail", "libraries")]


def test_the_signers_that_are_shipped_can_be_read() -> None:
    assert all(len(one.key) == 32 for one in load_signers(SIGNERS))


def test_a_file_of_signers_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_signers(tmp_path / "none")
    assert caught.value.where.endswith("none") and caught.value.hint
