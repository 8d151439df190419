"""What differs from a manifest is named: changed, missing, added, and compiled code that its source does not give."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
from pathlib import Path

import pytest

from xnode.release.manifest import Difference, find_differences, hash_file, read_manifest

SOURCE = "def f(x):\n    return x + 1\n"
OWN = frozenset({"manifest"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli/main.py").write_text(SOURCE)
    (tmp_path / "py.typed").touch()
    (tmp_path / "manifest").write_text("itself")
    return tmp_path


def make_manifest(folder: Path) -> dict[str, str]:
    return {name: hash_file(folder / name) for name in ("cli/main.py", "py.typed")}


def differences(folder: Path, manifest: dict[str, str]) -> list[Difference]:
    return list(find_differences(folder, manifest, OWN))


def test_what_is_as_shipped_has_no_difference(folder: Path) -> None:
    assert differences(folder, make_manifest(folder)) == []


def test_each_difference_is_named(folder: Path) -> None:
    manifest = make_manifest(folder)
    (folder / "cli/main.py").write_text(SOURCE + "\n")
    (folder / "py.typed").unlink()
    (folder / "cli/more.py").write_text("")
    assert differences(folder, manifest) == [
        Difference("changed", "cli/main.py"),
        Difference("added", "cli/more.py"),
        Difference("missing", "py.typed"),
    ]


def test_a_folder_or_a_broken_link_in_a_files_place_is_a_difference(folder: Path) -> None:
    manifest = make_manifest(folder)
    (folder / "py.typed").unlink()
    (folder / "py.typed").symlink_to("nowhere")
    assert differences(folder, manifest) == [Difference("changed", "py.typed")]
    (folder / "py.typed").unlink()
    (folder / "py.typed").mkdir()
    assert differences(folder, manifest) == [Difference("missing", "py.typed")]


@pytest.mark.parametrize("optimize", [0, 1, 2])
def test_what_python_compiled_of_a_module_is_none(folder: Path, optimize: int) -> None:
    py_compile.compile(str(folder / "cli/main.py"), doraise=True, optimize=optimize)
    assert differences(folder, make_manifest(folder)) == []


def test_compiled_code_that_does_something_else_is_one(folder: Path) -> None:
    module = folder / "cli/main.py"
    cached = Path(py_compile.compile(str(module), doraise=True) or "")
    header = cached.read_bytes()[:16]
    cached.write_bytes(header + marshal.dumps(compile(SOURCE.replace("1", "2"), str(module), "exec")))
    assert differences(folder, make_manifest(folder)) == [Difference("added", cached.relative_to(folder).as_posix())]


@pytest.mark.parametrize(
    "content", [importlib.util.MAGIC_NUMBER, importlib.util.MAGIC_NUMBER + bytes(12) + b"\xff\xff"]
)
def test_compiled_code_that_cannot_be_read_is_one(folder: Path, content: bytes) -> None:
    cached = Path(importlib.util.cache_from_source(str(folder / "cli/main.py")))
    cached.parent.mkdir()
    cached.write_bytes(content)
    assert [one.how for one in differences(folder, make_manifest(folder))] == ["added"]


def test_compiled_code_of_no_module_of_ours_is_one(folder: Path) -> None:
    (folder / "cli/gone.py").write_text(SOURCE)
    py_compile.compile(str(folder / "cli/gone.py"), doraise=True)
    (folder / "cli/gone.py").unlink()
    assert [one.how for one in differences(folder, make_manifest(folder))] == ["added"]


def test_another_pythons_compiled_code_is_not_judged(folder: Path) -> None:
    cached = folder / "cli/__pycache__/main.cpython-39.pyc"
    cached.parent.mkdir()
    cached.write_bytes(b"\x61\x0d\r\n" + bytes(20))
    assert differences(folder, make_manifest(folder)) == []


@pytest.mark.parametrize(
    "line", ["nonsense", "ab  x", f"{'a' * 64} x", f"{'a' * 64}  ../x", f"{'a' * 64}  /x", f"{'A' * 64}  x"]
)
def test_a_line_that_is_none_is_told_with_its_number(line: str) -> None:
    good = f"{'a' * 64}  cli/main.py"
    assert read_manifest(good + "\n") == {"cli/main.py": "a" * 64}
    with pytest.raises(ValueError, match="line 2 is not"):
        read_manifest(f"{good}\n{line}\n")
