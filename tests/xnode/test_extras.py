"""What only some nodes use is an extra: declared, brought by its name, and asked for in one line where it is missing."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from xnode.errors import Permanent
from xnode.extras import EXTRAS, install, require_module
from xnode.runtime.host.nvidia import DRIVER_FOLDER, Reading, read_nvidia

ROOT = Path(__file__).parents[2]
PACKAGES = ("metering", "scheduler", "xnode")
LOCKED = ("locked", "locked-all")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def list_names(requirements: list[str]) -> set[str]:
    """Distributions' names as they are compared: lower case, one kind of hyphen."""
    return {re.split(r"[\[<>=]", one)[0].lower().replace("_", "-") for one in requirements}


def list_imports() -> dict[str, Path]:
    """Every module of others that the packages import when they run, with a file that does."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            typing = {
                id(inner)
                for node in ast.walk(tree)
                if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
                for inner in ast.walk(node)
            }
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                found |= {name.partition(".")[0]: path for name in names if id(node) not in typing}
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, *PACKAGES}}


def test_every_import_is_a_declared_dependency() -> None:
    declared = list_names(PROJECT["dependencies"])
    for extra in set(EXTRAS.values()):
        declared |= list_names(PROJECT["optional-dependencies"][extra])
    providers = packages_distributions()
    for module, path in list_imports().items():
        names = list_names(providers[module])
        assert names & declared, f"{path} imports {module} of {names}, which pyproject.toml does not name"


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_named_for_a_module_brings_it_and_the_base_does_not(module: str) -> None:
    names = list_names(packages_distributions()[module])
    assert names & list_names(PROJECT["optional-dependencies"][EXTRAS[module]])
    assert not names & list_names(PROJECT["dependencies"])


def test_the_extra_all_brings_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    assert extras["all"] == [f"xnode[{','.join(name for name in extras if name not in ('all', *LOCKED))}]"]


@pytest.mark.parametrize("name", LOCKED)
def test_an_extra_of_tested_versions_is_filled_in_by_the_build(name: str) -> None:
    assert PROJECT["optional-dependencies"][name] == []


@pytest.mark.parametrize(
    ("mark", "hint"),
    [
        ("pyvenv.cfg", 'pip install "xnode[capacity]"'),
        ("pipx_metadata.json", 'pipx install --force "xnode[all]"'),
        ("uv-receipt.toml", 'uv tool install --force "xnode[all]"'),
    ],
)
def test_the_command_is_that_of_what_made_the_environment(tmp_path: Path, mark: str, hint: str) -> None:
    (tmp_path / mark).touch()
    assert install("numpy", tmp_path) == hint


def test_a_missing_module_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnode.extras.find_spec", lambda _name: None)
    with pytest.raises(Permanent) as caught:
        require_module("numpy", "a capacity challenge")
    assert caught.value.message == "a capacity challenge needs numpy, which is not installed"
    assert caught.value.hint == 'pip install "xnode[capacity]"'


def test_nvidia_gpus_without_their_library_are_not_passed_over_in_silence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("xnode.extras.find_spec", lambda _name: None)
    assert read_nvidia(tmp_path) == Reading()
    (tmp_path / DRIVER_FOLDER).mkdir(parents=True)
    with pytest.raises(Permanent, match=r"xnode\[nvidia\]"):
        read_nvidia(tmp_path)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_tells_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
