"""Ten thousand small inputs in one blob: packed and unpacked in seconds, and no pack writes where it should not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from xnode.errors import Permanent
from xnode.ports.store import LocalFile
from xnode.runtime.lease.inputs import link_inputs
from xnode.runtime.lease.pack import MAGIC, unpack, write_pack


def make_files(folder: Path, contents: dict[str, bytes], executable: str = "") -> list[LocalFile]:
    files = []
    for number, (path, data) in enumerate(contents.items()):
        source = folder / f"source-{number}"
        source.write_bytes(data)
        files.append(LocalFile(path, source, len(data), path == executable))
    return files


def write(folder: Path, files: list[LocalFile]) -> Path:
    pack = folder / "pack"
    pack.write_bytes(b"".join(write_pack(files)))
    return pack


def forge(folder: Path, lines: Any, contents: bytes = b"", length: int | None = None) -> Path:
    """A pack with any index."""
    index = msgspec.json.encode(lines)
    pack = folder / "forged"
    pack.write_bytes(MAGIC + b"%08x\n" % (len(index) if length is None else length) + index + contents)
    return pack


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    contents = {"a.txt": b"one", "deep/er/ü.txt": b"two" * 500_000, "empty": b"", "run.sh": b"#!/bin/sh\n"}
    pack = write(tmp_path, make_files(tmp_path, contents, executable="run.sh"))
    link_inputs([(".", pack)], tmp_path / "in", packed=frozenset({"."}))
    found = {str(path.relative_to(tmp_path / "in")): path for path in (tmp_path / "in").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == contents
    assert {name: path.stat().st_mode & 0o777 for name, path in found.items()} == {
        name: 0o555 if name == "run.sh" else 0o444 for name in contents
    }


def test_the_same_files_are_the_same_pack(tmp_path: Path) -> None:
    files = make_files(tmp_path, {"b": b"2", "a": b"1"})
    assert b"".join(write_pack(files)) == b"".join(write_pack(reversed(files)))


def test_ten_thousand_files_take_seconds(tmp_path: Path) -> None:
    files = make_files(tmp_path, {f"folder-{number % 100}/{number}": bytes(1000) for number in range(10_000)})
    began = time.process_time()
    pack = write(tmp_path, files)
    (tmp_path / "in").mkdir()
    unpack(pack, tmp_path / "in")
    assert sum(path.is_file() for path in (tmp_path / "in").rglob("*")) == 10_000
    assert time.process_time() - began < 10


def test_a_file_that_changes_while_it_is_packed_is_named(tmp_path: Path) -> None:
    (file,) = make_files(tmp_path, {"a": b"before"})
    file.source.write_bytes(b"longer than before")
    with pytest.raises(Permanent, match="source-0 changed while it was read"):
        list(write_pack([file]))


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "", ".", "a//b", "a\nb", "x" * 300])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(Permanent, match="packed input"):
        unpack(forge(tmp_path, [[path, 1, False]], b"x"), tmp_path / "in")
    assert list((tmp_path / "in").rglob("*")) == []


@pytest.mark.parametrize(
    ("lines", "contents", "length"),
    [
        ([["a", 5, False]], b"x", None),
        ([["a", 1, False]], b"xyz", None),
        ([["a", -1, False]], b"", None),
        ([["a", 1 << 62, False], ["b", 1, False]], b"x", None),
        ({"a": 1}, b"", None),
        ([["a", 1, False]], b"x", 5),
        ([["a", 1, False]], b"x", 0x7FFFFFFF),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, lines: Any, contents: bytes, length: int | None) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(Permanent, match="packed inputs"):
        unpack(forge(tmp_path, lines, contents, length), tmp_path / "in")


@pytest.mark.parametrize("lines", [[["a", 1, False], ["a", 1, False]], [["a", 1, False], ["a/b", 1, False]]])
def test_two_files_for_one_place_are_refused(tmp_path: Path, lines: Any) -> None:
    with pytest.raises(Permanent, match="input"):
        link_inputs([(".", forge(tmp_path, lines, b"xy"))], tmp_path / "in", packed=frozenset({"."}))


def test_an_executable_input_leaves_the_blobs_mode_alone(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"#!/bin/sh\n")
    inputs = [("run.sh", blob), ("same.txt", blob)]
    link_inputs(inputs, tmp_path / "in", executable=frozenset({"run.sh"}))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "in").iterdir()}
    assert modes == {"run.sh": 0o555, "same.txt": 0o444}
