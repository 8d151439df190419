"""The arrows between the layers hold, and the check that says so can fail."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("metering", "scheduler", "xnode")
CORES = ("metering/units.py", "scheduler/score.py", "xnode/node/step.py")
STANDARD = {
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "fnmatch",
    "functools",
    "heapq",
    "ipaddress",
    "math",
    "operator",
    "re",
    "types",
    "typing",
}
COMPUTING = STANDARD | {"__future__", "coincurve", "immutables", "msgspec", "sha3", "metering", "scheduler", "xnode"}
"""All that the cores import, by the first part of the name. What reaches outside, or knows the time, never comes in."""

FORBIDDEN = (
    "trio",
    "time",
    "random",
    "os",
    "socket",
    "logging",
    "datetime",
    "secrets",
    "sqlite3",
    "sqlalchemy",
    "web3",
    "libp2p",
)


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """What import-linter says of the tree at `root`, by its own pyproject.toml. Nothing there is imported or run."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--no-cache", "--config", str(root / "pyproject.toml")]
    return subprocess.run(
        command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120, check=False
    )


def find_imports(path: Path) -> Iterator[str]:
    """The first part of the name of each module that the file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the packages and the rules, to break."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_layer_only_looks_down_and_the_cores_only_compute() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("module", ["time", "random"])
def test_a_clock_or_a_die_in_a_core_is_found(copied: Path, core: str, module: str) -> None:
    path = copied / core
    path.write_text(path.read_text() + f"\nimport {module}\n")
    result = lint(copied)
    assert result.returncode != 0
    assert f"{core.removesuffix('.py').replace('/', '.')} -> {module}" in result.stdout


def test_an_arrow_upwards_is_found(copied: Path) -> None:
    path = copied / "metering/units.py"
    path.write_text(path.read_text() + "\nimport scheduler.job\n")
    result = lint(copied)
    assert result.returncode != 0
    assert "metering.units -> scheduler.job" in result.stdout


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("xnode/runtime/host/disk.py", "xnode.runtime.podman.engine"),
        ("xnode/runtime/conmon/logs.py", "xnode.runtime.podman.command"),
        ("xnode/net/pipe.py", "xnode.net.host"),
        ("xnode/net/server.py", "xnode.net.rpc"),
    ],
)
def test_an_arrow_upwards_within_a_room_is_found(copied: Path, path: str, module: str) -> None:
    file = copied / path
    file.write_text(file.read_text() + f"\nimport {module}\n")
    result = lint(copied)
    assert result.returncode != 0
    assert f"{path.removesuffix('.py').replace('/', '.')} -> {module}" in result.stdout


@pytest.mark.parametrize("name", ["xnode/utils.py", "xnode/helpers/__init__.py", "xnode/net/utils.py"])
def test_a_module_without_a_layer_is_found(copied: Path, name: str) -> None:
    path = copied / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    result = lint(copied)
    assert result.returncode != 0
    assert name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") in result.stdout


@pytest.mark.parametrize(
    ("adapter", "other"),
    [
        ("xnode/net/rpc.py", "xnode.chain.client"),
        ("xnode/chain/client.py", "xnode.store.database"),
        ("xnode/runtime/host/hardware.py", "xnode.net.wire"),
        ("xnode/wallet/keystore.py", "xnode.config.settings"),
    ],
)
def test_an_adapter_that_imports_another_is_found(copied: Path, adapter: str, other: str) -> None:
    path = copied / adapter
    path.write_text(path.read_text() + f"\nimport {other}\n")
    result = lint(copied)
    assert result.returncode != 0
    assert f"{adapter.removesuffix('.py').replace('/', '.')} -> {other}" in result.stdout


def test_no_module_is_named_for_what_it_lacks() -> None:
    names = ("utils", "util", "helpers", "common", "manager", "base", "misc")
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.stem in names]
    assert found == []


def test_a_core_imports_only_what_computes() -> None:
    """A list of what is forbidden has gaps; this one has what is allowed."""
    paths = [path for core in ("metering", "scheduler", "xnode/node") for path in (ROOT / core).rglob("*.py")]
    strangers = {(path.name, module) for path in paths for module in find_imports(path)}
    assert sorted(found for found in strangers if found[1] not in COMPUTING) == []


def test_the_rules_name_everything_a_core_must_not_import() -> None:
    rules = (ROOT / "pyproject.toml").read_text().partition("the cores only compute")[2]
    assert [module for module in FORBIDDEN if f'"{module}"' not in rules] == []
