"""Outputs come from a folder in which the workload chose every name, kind and size."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler import outputs as rules
from scheduler.outputs import FileEntry, FolderEntry, Inventory, LinkEntry
from tests.make.waiting import wait_until
from xnode.net.blobs import BlobStore
from xnode.runtime.lease import outputs

LIMIT = 1 << 20


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def collect(out: Path, limit_bytes: int = LIMIT) -> Inventory:
    return outputs.collect(out, out.parent / "blobs", limit_bytes)


def reasons(found: Inventory) -> dict[bytes, str]:
    return {one.path: one.reason for one in found.left_out}


def test_files_come_by_path_with_their_hash_and_size(out: Path, tmp_path: Path) -> None:
    (out / "b").mkdir()
    for name, content in (("z", b"last"), ("b/a", b"first"), ("b.txt", b""), ("ä", b"x")):
        (out / name).write_bytes(content)
    found = collect(out)
    assert [one.path.decode() for one in found.entries] == ["b/a", "b.txt", "z", "ä"]
    for file in found.files():
        content = (out / file.path.decode()).read_bytes()
        assert file.blob.sha256 == hashlib.sha256(content).digest() and file.blob.size_bytes == len(content)
        assert (tmp_path / "blobs" / file.blob.sha256.hex()).read_bytes() == content


def test_an_odd_tree_arrives_but_for_what_has_a_reason(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)
    for name in (
        "result.csv",
        "with space.txt",
        "ünïcode.txt",
        "tab\tname",
        "a\nb",
        "-rf",
        "*",
        "..hidden",
        "back\\slash",
    ):
        Path(name).write_text(name)
    Path(os.fsdecode(b"\xff\xfe")).write_text("no text")
    Path("run.sh").write_text("#!/bin/sh\n")
    Path("run.sh").chmod(0o755)
    Path("setuid").write_text("x")
    Path("setuid").chmod(0o4755)
    Path("unreadable").write_text("x")
    Path("unreadable").chmod(0)
    Path("empty/dir").mkdir(parents=True)
    for folder, mode in (("d700", 0o700), ("d000", 0)):
        Path(folder).mkdir()
        Path(folder, "f").write_text("x")
        Path(folder).chmod(mode)
    Path("ckpt/step_100").mkdir(parents=True)
    Path("ckpt/step_100/w.bin").write_text("w")
    for name, target in (
        ("latest.csv", "result.csv"), ("dangling", "nowhere"), ("ckpt/latest", "step_100"), ("up", "./ckpt//latest/"),
        ("whole", "/work/out/result.csv"), ("ckpt/whole", "/work/out/result.csv"),
        ("evil", "/etc/shadow"), ("parent", ".."), ("winding", "ckpt/latest/../../../x"),
    ):  # fmt: skip
        Path(name).symlink_to(target)
    os.link("result.csv", "hard.csv")
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
    os.mknod("device", 0o20666, os.makedev(1, 5))
    with Path("sparse").open("wb") as file:
        file.truncate(50_000_000)
    found = collect(out, 60_000_000)
    assert set(reasons(found)) == {b"evil", b"parent", b"winding", b"fifo", b"sock", b"device"}
    assert "link" in reasons(found)[b"evil"] and "pipe" in reasons(found)[b"fifo"]
    entries = {one.path: one for one in found.entries}
    names = (
        b"a\nb",
        b"\xff\xfe",
        b"tab\tname",
        b"-rf",
        b"*",
        b"back\\slash",
        b"unreadable",
        b"d000/f",
        b"d700/f",
        b"hard.csv",
    )
    assert all(isinstance(entries[name], FileEntry) for name in names)
    links = {one.path: one.target for one in found.entries if isinstance(one, LinkEntry)}
    assert links == {
        b"latest.csv": b"result.csv", b"dangling": b"nowhere", b"ckpt/latest": b"step_100", b"up": b"ckpt/latest",
        b"whole": b"result.csv", b"ckpt/whole": b"../result.csv",
    }  # fmt: skip
    assert [one.path for one in found.entries if isinstance(one, FolderEntry)] == [b"empty/dir"]
    assert {one.path for one in found.files() if one.executable} == {b"run.sh", b"setuid"}
    assert rules.read_inventory(rules.encode_inventory(found), 60_000_000) == found, "the other side agrees"


def test_a_sparse_file_is_a_sparse_blob_and_its_times_are_kept(out: Path, tmp_path: Path) -> None:
    with (out / "sparse").open("wb") as file:
        file.truncate(40_000_000)
    os.utime(out / "sparse", ns=(0, 1_234_567_890_123_456_789))
    (file_entry,) = collect(out, 50_000_000).files()
    blob = (tmp_path / "blobs" / file_entry.blob.sha256.hex()).stat()
    assert (blob.st_size, file_entry.mtime_ns) == (40_000_000, 1_234_567_890_123_456_789)
    assert blob.st_blocks * 512 < 1_000_000


def test_links_and_devices_are_never_followed(out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (out / "file").symlink_to(secret / "key")
    (out / "folder").symlink_to(secret)
    found = collect(out)
    assert found.entries == () and set(reasons(found)) == {b"file", b"folder"}


def test_out_that_is_itself_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(OSError):
        collect(tmp_path / "out")


def test_what_goes_beyond_the_disk_is_left_out_and_the_rest_is_taken(out: Path) -> None:
    for name in "abc":
        (out / name).write_bytes(bytes(400_000))
    (out / "small").write_bytes(b"x")
    with (out / "huge").open("wb") as file:
        file.truncate(10**12)
    assert set(reasons(collect(out, 1_200_001))) == {b"huge"}
    found = collect(out, 1_199_999)
    assert set(reasons(found)) == {b"c", b"huge"} and found.entries[-1].path == b"small"


def test_what_goes_beyond_the_count_is_counted(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_ENTRIES", 3)
    monkeypatch.setattr(rules, "MAX_LISTED", 2)
    for number in range(9):
        (out / str(number)).touch()
    found = collect(out)
    assert (len(found.entries), len(found.left_out), found.left_out_count) == (3, 2, 6)


def test_a_deep_tree_is_taken_down_to_the_limit(out: Path) -> None:
    (out / "/".join("d" * 200)).mkdir(parents=True)
    (out / "/".join("d" * 200) / "file").write_text("x")
    assert [len(one.path.split(b"/")) for one in collect(out).entries] == [201]
    (out / "/".join("e" * 300)).mkdir(parents=True)
    assert [one.reason for one in collect(out).left_out] == ["it lies deeper than 256 folders"]


def test_a_path_of_many_letters_is_taken(out: Path) -> None:
    folder = out / "/".join(letter * 250 for letter in "abcde")
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    assert [one.path for one in collect(out).files()] == [os.fsencode((folder / "file").relative_to(out))]


def test_crash_leaves_no_half_blob(out: Path, tmp_path: Path) -> None:
    (out / "a").write_bytes(b"content")
    (out / "b").write_bytes(b"large" * 1_000_000)
    assert collect(out, 10**7) == collect(out, 10**7)
    assert len(list((tmp_path / "blobs").iterdir())) == 2


async def test_a_kill_in_the_middle_leaves_nothing_that_the_next_start_does_not_clear(
    out: Path, tmp_path: Path
) -> None:
    with (out / "huge").open("wb") as file:
        file.write(b"x")
        file.truncate(32 << 30)  # sparse: a minute and more of hashing
    blobs = tmp_path / "blobs"
    program = (
        "import sys, pathlib; from xnode.runtime.lease.outputs import collect;"
        "collect(*map(pathlib.Path, sys.argv[1:]), 1 << 40)"
    )
    command = [sys.executable, "-c", program, str(out), str(blobs)]
    with subprocess.Popen(command) as killed:  # noqa: ASYNC220 (to be killed, with all that it does)
        await wait_until(lambda: blobs.exists() and list(blobs.iterdir()))
        assert killed.poll() is None
        killed.kill()
    assert list(blobs.iterdir())
    no_stream: Any = None
    BlobStore(blobs, no_stream)
    assert not list(blobs.iterdir())
