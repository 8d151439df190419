"""A lock that nobody else on the host can hold, and no wait for one without an end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xnode import private_lock
from xnode.errors import Permanent
from xnode.private_lock import LockBusy, hold_private_lock, own_folder

_HOLD = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.{}); print(flush=True); sys.stdin.read()"


@contextmanager
def held_elsewhere(path: Path, how: str = "LOCK_EX") -> Iterator[int]:
    """Another process has the lock; its pid."""
    path.touch()
    command = [sys.executable, "-c", _HOLD.format(how), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_no_other_user_can_open_the_file(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "lock"
    if before is not None:
        path.touch()
        path.chmod(before)
    with hold_private_lock(path):
        assert mode_of(path) == 0o600


@pytest.mark.parametrize("how", ["LOCK_EX", "LOCK_SH"])
def test_a_wait_ends_and_says_whom_it_was_for(tmp_path: Path, how: str) -> None:
    path = tmp_path / "lock"
    with held_elsewhere(path, how) as pid:
        with pytest.raises(LockBusy, match=f"locked by pid {pid} for 0.1 s") as caught, hold_private_lock(path, 0.1):
            raise AssertionError
        assert caught.value.hint
    with hold_private_lock(path, 0):
        pass


def test_a_holder_that_the_kernel_does_not_name_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_lock, "_find_holder", lambda _descriptor: "")
    path = tmp_path / "lock"
    with held_elsewhere(path), pytest.raises(LockBusy, match="by another process"), hold_private_lock(path, 0):
        raise AssertionError


def test_the_lock_is_free_after_the_block_whatever_ended_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), hold_private_lock(path):
        raise KeyError
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_of_another_user_is_refused_and_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    own_folder(tmp_path / "folder", 0o755)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(Permanent, match="belongs to another user") as caught, hold_private_lock(path):
        raise AssertionError
    assert caught.value.hint
    with pytest.raises(Permanent, match="belongs to another user"):
        own_folder(tmp_path / "folder")
    assert (mode_of(path), mode_of(tmp_path / "folder")) == (0o644, 0o755)


def test_a_link_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "else").touch()
    (tmp_path / "link").symlink_to("else")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder-link").symlink_to(tmp_path)
    for name in ("link", "pipe"):
        with pytest.raises(Permanent), hold_private_lock(tmp_path / name):
            raise AssertionError
    with pytest.raises(Permanent):
        own_folder(tmp_path / "folder-link")


def test_a_folder_gives_others_no_more_than_it_should(tmp_path: Path) -> None:
    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    wide.mkdir()
    wide.chmod(0o777)
    narrow.mkdir(0o700)
    own_folder(wide, 0o711)
    own_folder(narrow, 0o711)
    assert (mode_of(wide), mode_of(narrow)) == (0o711, 0o700)
