"""In a wheel the cores are modules of xnode: every import says so, and nothing that would break is passed over."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from packages.one_name import INNER, NotRenamed, place_of, rename_imports

ROOT = Path(__file__).parents[2]
MODULES = {"metering.receipt": "metering/receipt.py", "scheduler": "scheduler/__init__.py"}


def rename(source: str) -> str:
    return rename_imports(source.encode(), "x.py", MODULES).decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from metering.receipt import Receipt\n", "from xnode.metering.receipt import Receipt\n"),
        ("from scheduler import book, job\n", "from xnode.scheduler import book, job\n"),
        (
            "def f():\n    from metering.receipt import (\n        a,\n    )\n",
            "def f():\n    from xnode.metering.receipt import (\n        a,\n    )\n",
        ),
        ("x = 'ä'; from metering.receipt import a\n", "x = 'ä'; from xnode.metering.receipt import a\n"),
        ("from meteringx import a\nfrom .metering import b\n", "from meteringx import a\nfrom .metering import b\n"),
        (
            '"""See metering.receipt."""\nfrom xnode.metering import a\n',
            '"""See metering.receipt."""\nfrom xnode.metering import a\n',
        ),
        ('text = "from metering.receipt import a"\n', 'text = "from metering.receipt import a"\n'),
    ],
)
def test_imports_of_the_cores_are_renamed_and_nothing_else(before: str, after: str) -> None:
    assert rename(before) == after


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import metering.receipt\n", r"x\.py:1: `import metering\.receipt` binds"),
        ("\nimport scheduler as s\n", r"x\.py:2: `import scheduler` binds"),
        ("load('metering.receipt')\n", r'x\.py:1: the text "metering\.receipt" names a module'),
        ("load('metering.receipt:Receipt')\n", r'the text "metering\.receipt:Receipt" names a module'),
    ],
)
def test_what_a_wheel_would_break_is_refused_with_its_line(source: str, why: str) -> None:
    with pytest.raises(NotRenamed, match=why):
        rename(source)


def test_every_module_of_the_repository_can_be_renamed() -> None:
    paths = [path for package in ("xnode", *INNER) for path in (ROOT / package).rglob("*.py")]
    names = {path.relative_to(ROOT).as_posix() for path in paths}
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in names}
    assert len(names) > 300
    for path in paths:
        source = path.read_bytes()
        renamed = rename_imports(source, str(path), modules)
        assert renamed.count(b"\n") == source.count(b"\n"), f"{path}: a traceback would name another line"
        left = {
            node.module for node in ast.walk(ast.parse(renamed)) if isinstance(node, ast.ImportFrom) and not node.level
        }
        assert not {one for one in left if one and one.partition(".")[0] in INNER}


def test_no_file_of_a_core_takes_the_place_of_another() -> None:
    assert place_of("metering/receipt.py") == "xnode/metering/receipt.py"
    assert place_of("xnode/loop.py") == "xnode/loop.py"
    assert not [one for one in INNER if (ROOT / "xnode" / one).exists() or (ROOT / "xnode" / f"{one}.py").exists()]
