"""Outputs in a user's folder: every kind as it was, nothing through a link, nothing replaced unasked."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio

from metering.units import Hash32
from scheduler.job import Blob
from scheduler.outputs import Entry, FileEntry, FolderEntry, LinkEntry
from tests.make.waiting import wait_until
from xnode.delivery import deliver, deliver_beside, find_target_problem
from xnode.errors import ExitCode, Permanent, UserError

Make = Callable[..., FileEntry]
PathOf = Callable[[Hash32], Path]

TIME_NS = 1_600_000_000_123_456_789


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    (tmp_path / "blobs").mkdir()
    return tmp_path / "blobs"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def path_of(blobs: Path) -> Callable[[Hash32], Path]:
    return lambda sha256: blobs / sha256.hex()


@pytest.fixture
def file_of(blobs: Path) -> Callable[..., FileEntry]:
    def make(path: bytes, data: bytes, executable: bool = False) -> FileEntry:
        sha256 = Hash32(hashlib.sha256(data).digest())
        (blobs / sha256.hex()).write_bytes(data)
        return FileEntry(path, Blob(sha256, len(data)), executable, TIME_NS)

    return make


def test_files_links_and_folders_arrive_as_they_were(file_of: Make, path_of: PathOf, into: Path) -> None:
    entries: list[Entry] = [
        FolderEntry(b"empty/dir"), LinkEntry(b"latest", b"sub/run.sh"), file_of(b"odd\n\xff name", b"odd"),
        file_of(b"sub/data", bytes(3_000_000)), file_of(b"sub/run.sh", b"#!/bin/sh\n", executable=True),
    ]  # fmt: skip
    assert deliver(entries, path_of, into, replace=False) == ()
    assert (into / "empty/dir").is_dir() and (into / "latest").readlink() == Path("sub/run.sh")
    assert (into / os.fsdecode(b"odd\n\xff name")).read_bytes() == b"odd"
    assert [(into / name).stat().st_mode & 0o777 for name in ("sub/run.sh", "sub/data")] == [0o755, 0o644]
    assert (into / "sub/data").stat().st_mtime_ns == TIME_NS and (into / "sub/data").stat().st_blocks * 512 < 500_000
    assert deliver(entries, path_of, into, replace=False) == (), "the same again changes nothing"
    assert sorted(path.name for path in into.iterdir()) == sorted(
        ["empty", "latest", os.fsdecode(b"odd\n\xff name"), "sub"]
    )


def test_nothing_of_the_users_is_replaced_unasked(file_of: Make, path_of: PathOf, into: Path) -> None:
    entries = [file_of(b"a", b"new"), file_of(b"b", b"b")]
    into.mkdir()
    (into / "a").write_text("mine")
    with pytest.raises(UserError) as refused:
        deliver(entries, path_of, into, replace=False)
    assert refused.value.code == ExitCode.CONFLICT and not (into / "b").exists()
    folder, faults = deliver_beside(entries, path_of, into, "results-1234")
    assert (folder, faults) == (into.with_name("results-1234"), ()) and (folder / "a").read_text() == "new"
    assert (into / "a").read_text() == "mine"
    assert deliver(entries, path_of, into, replace=True) == () and (into / "a").read_text() == "new"


def test_nothing_is_written_through_a_link(file_of: Make, path_of: PathOf, into: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("secret")
    into.mkdir()
    (into / "sub").symlink_to(outside)
    (into / "file").symlink_to(outside / "key")
    with pytest.raises(UserError):
        deliver([file_of(b"sub/x", b"x")], path_of, into, replace=False)
    faults = deliver(
        [file_of(b"file", b"new"), file_of(b"sub/x", b"x"), file_of(b"z", b"z")], path_of, into, replace=True
    )
    assert [one.path for one in faults] == [b"sub/x"], "the rest is written"
    assert list(outside.iterdir()) == [outside / "key"] and (outside / "key").read_text() == "secret"
    assert (into / "file").read_text() == "new" and not (into / "file").is_symlink()


def test_what_cannot_be_written_is_named_and_the_rest_is_written(
    file_of: Make, path_of: PathOf, blobs: Path, into: Path
) -> None:
    (into / "taken/inner").mkdir(parents=True)
    damaged = file_of(b"damaged", b"right")
    path_of(damaged.blob.sha256).write_bytes(b"wrong")
    deep = b"/".join([b"d" * 250] * 17) + b"/file"
    entries = [damaged, file_of(deep, b"deep"), file_of(b"good", b"good"), file_of(b"taken", b"x")]
    faults = {one.path: one.reason for one in deliver(entries, path_of, into, replace=True)}
    assert set(faults) == {b"damaged", b"taken"} and "damaged" in faults[b"damaged"]
    assert (into / "good").read_text() == "good"
    assert not list(into.glob(".xnode-*"))


def test_a_folder_that_cannot_be_had_is_named(file_of: Make, path_of: PathOf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(Permanent, match="cannot be written"):
        deliver([file_of(b"a", b"a")], path_of, tmp_path / "file" / "results", replace=False)


def test_what_a_killed_delivery_left_goes_with_the_next_and_not_while_it_lives(
    file_of: Make, path_of: PathOf, into: Path
) -> None:
    entry = file_of(b"big", b"data")
    blob = path_of(entry.blob.sha256)
    os.truncate(blob, 1 << 40)
    pid = os.fork()
    if pid == 0:
        try:
            deliver([entry], path_of, into, replace=False)
        finally:
            os._exit(0)
    try:
        trio.run(wait_until, lambda: into.exists() and any(into.iterdir()))
        (blob.with_suffix(".new")).write_bytes(b"data")
        blob.with_suffix(".new").replace(blob)
        assert deliver([entry], path_of, into, replace=False) == ()
        assert len(list(into.iterdir())) == 2
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    (into / "big").unlink()
    assert deliver([entry], path_of, into, replace=False) == ()
    assert [path.name for path in into.iterdir()] == ["big"] and (into / "big").read_bytes() == b"data"


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns at every chance."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_threads")
def test_targets_tried_at_once_in_a_folder_that_is_not_there_yet_do_not_take_it_from_each_other(tmp_path: Path) -> None:
    targets = [tmp_path / "out" / str(number) for number in range(8)]
    with ThreadPoolExecutor(len(targets)) as pool:
        problems = set(pool.map(find_target_problem, targets * 100))

    assert problems == {""}
    assert list(tmp_path.iterdir()) == []


def test_target_below_a_file_or_a_link_that_leads_nowhere_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("nowhere")

    assert "Not a directory" in find_target_problem(tmp_path / "file" / "a")
    assert "No such file" in find_target_problem(tmp_path / "link" / "a")
    assert "Not a directory" in find_target_problem(tmp_path / "file")
    assert "cannot be a folder" in find_target_problem(tmp_path / "nul\0")
