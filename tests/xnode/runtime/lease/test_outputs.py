"""Outputs come from a folder in which the workload chose every name, kind and size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from xnode.errors import Permanent
from xnode.runtime.lease import outputs

LIMIT = 1 << 20


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_files_come_by_path_with_their_hash_and_size(out: Path, tmp_path: Path) -> None:
    (out / "b").mkdir()
    for name, content in (("z", b"last"), ("b/a", b"first"), ("b.txt", b""), ("ä", b"x")):
        (out / name).write_bytes(content)
    found = outputs.collect(out, tmp_path / "blobs", LIMIT)
    assert [file.path for file in found] == ["b.txt", "b/a", "z", "ä"]
    for file in found:
        content = (out / file.path).read_bytes()
        assert file.blob.sha256 == hashlib.sha256(content).digest() and file.blob.size_bytes == len(content)
        assert (tmp_path / "blobs" / file.blob.sha256.hex()).read_bytes() == content


def test_links_and_devices_are_left_out_and_never_followed(out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (out / "file").symlink_to(secret / "key")
    (out / "folder").symlink_to(secret)
    os.mkfifo(out / "pipe")
    os.mknod(out / "zero", 0o20666, os.makedev(1, 5))
    assert outputs.collect(out, tmp_path / "blobs", LIMIT) == ()


def test_out_that_is_itself_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(OSError):
        outputs.collect(tmp_path / "out", tmp_path / "blobs", LIMIT)


def test_sizes_are_limited_together(out: Path, tmp_path: Path) -> None:
    for name in "abc":
        (out / name).write_bytes(bytes(400_000))
    assert len(outputs.collect(out, tmp_path / "blobs", 1_200_000)) == 3
    with pytest.raises(Permanent, match="/work/out/c"):
        outputs.collect(out, tmp_path / "blobs", 1_199_999)


def test_count_and_depth_are_limited(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "MAX_FILES", 3)
    for name in "abcd":
        (out / name).touch()
    with pytest.raises(Permanent, match="more than 3 files"):
        outputs.collect(out, tmp_path / "blobs", LIMIT)
    for name in "abcd":
        (out / name).unlink()
    (out / "/".join("d" * (outputs.MAX_DEPTH + 1))).mkdir(parents=True)
    with pytest.raises(Permanent, match="nested deeper"):
        outputs.collect(out, tmp_path / "blobs", LIMIT)


def test_name_that_is_not_text_is_refused(out: Path, tmp_path: Path) -> None:
    (out / os.fsdecode(b"\xff\xfe")).touch()
    with pytest.raises(Permanent, match="not UTF-8"):
        outputs.collect(out, tmp_path / "blobs", LIMIT)


def test_crash_leaves_no_half_blob(out: Path, tmp_path: Path) -> None:
    (out / "a").write_bytes(b"content")
    outputs.collect(out, tmp_path / "blobs", LIMIT)
    outputs.collect(out, tmp_path / "blobs", LIMIT)
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [hashlib.sha256(b"content").hexdigest()]
