"""nix/wheels.json: what it names is in requirements.lock, and is what each Python on each machine installs."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.make.nix import ROOT

_spec = importlib.util.spec_from_file_location("wheels", ROOT / "nix" / "wheels.py")
assert _spec and _spec.loader
wheels = importlib.util.module_from_spec(_spec)
sys.modules["wheels"] = wheels
_spec.loader.exec_module(wheels)

TABLE: dict[str, Any] = json.loads(wheels.TABLE.read_text())


def name_of(file: str) -> str:
    """The package of a wheel or of sources, with its version."""
    name, version = file.removesuffix(".tar.gz").rsplit("-", 1) if file.endswith(".tar.gz") else file.split("-")[:2]
    return f"{canonicalize_name(name)}=={version}"


def test_every_file_has_a_hash_of_the_lock() -> None:
    locked = wheels.read_hashes((ROOT / "requirements.lock").read_text())
    strange = [one["file"] for one in TABLE["files"] if one["sha256"] not in locked.get(name_of(one["file"]), ())]
    assert not strange, "requirements.lock has changed: make nix-wheels"


@pytest.mark.parametrize("target", [target.name for target in wheels.TARGETS])
def test_every_target_has_each_package_once(target: str) -> None:
    names = [name_of(one["file"]) for one in TABLE["files"] if target in one["for"]]
    assert len(names) == len(set(names)) > 100


def test_this_pythons_target_is_what_is_installed_here() -> None:
    """Everything that xnode[all] needs, by the installed packages' own statements; and nothing of the tests' tools."""
    wanted: dict[str, set[str]] = {}
    rest = [("xnode", frozenset({"all"}))]
    while rest:
        name, extras = rest.pop()
        if extras | {""} <= wanted.get(name, set()):
            continue
        wanted.setdefault(name, set()).update(extras | {""})
        for text in importlib.metadata.requires(name) or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                rest.append((canonicalize_name(need.name), frozenset(need.extras)))
    del wanted["xnode"]
    versions = {f"{name}=={importlib.metadata.version(name)}" for name in wanted}
    target = f"{sys.version_info[0]}.{sys.version_info[1]} {platform.machine()}-linux"
    assert {name_of(one["file"]) for one in TABLE["files"] if target in one["for"]} == versions


def make_package(*files: str, marker: str = "", sdist: str = "") -> dict[str, Any]:
    """A package of a pylock.toml, whose hashes are the places of its files."""
    hashes = {file: f"{number:064x}" for number, file in enumerate((*files, sdist))}
    package: dict[str, Any] = {"name": "A.b", "version": "1"}
    package["wheels"] = [{"url": f"x/{file}", "hashes": {"sha256": hashes[file]}} for file in files]
    if sdist:
        package["sdist"] = {"url": f"x/{sdist}", "hashes": {"sha256": hashes[sdist]}}
    if marker:
        package["marker"] = marker
    return package


LOCKED = {"a-b==1": {f"{number:064x}" for number in range(9)}}


def choose(package: dict[str, Any]) -> dict[str, list[str]]:
    return {one["file"]: one["for"] for one in wheels.make_table([package], LOCKED)["files"]}


def test_the_newest_glibc_that_all_have_is_chosen_for_each_machine() -> None:
    package = make_package(
        "a_b-1-cp39-abi3-manylinux_2_17_x86_64.whl",
        "a_b-1-cp39-abi3-manylinux_2_28_x86_64.whl",
        "a_b-1-cp39-abi3-manylinux_2_39_x86_64.whl",
        "a_b-1-cp39-abi3-musllinux_1_2_x86_64.whl",
        "a_b-1-cp39-abi3-manylinux2014_aarch64.whl",
        "a_b-1-cp39-abi3-win_amd64.whl",
    )
    x86, arm = ([f"{python} {system}" for python in wheels.PYTHONS] for system in wheels.SYSTEMS)
    assert choose(package) == {
        "a_b-1-cp39-abi3-manylinux_2_28_x86_64.whl": x86,
        "a_b-1-cp39-abi3-manylinux2014_aarch64.whl": arm,
    }


def test_sources_are_taken_where_there_is_no_wheel() -> None:
    package = make_package("a_b-1-cp311-cp311-manylinux2014_x86_64.whl", sdist="a_b-1.tar.gz")
    found = choose(package)
    assert found["a_b-1-cp311-cp311-manylinux2014_x86_64.whl"] == ["3.11 x86_64-linux"]
    assert len(found["a_b-1.tar.gz"]) == 5


def test_a_marker_leaves_a_package_out() -> None:
    package = make_package("a_b-1-py3-none-any.whl", marker="python_full_version < '3.12' and sys_platform == 'linux'")
    assert choose(package) == {"a_b-1-py3-none-any.whl": ["3.11 x86_64-linux", "3.11 aarch64-linux"]}


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        (
            make_package("a_b-1-cp310-cp310-win_amd64.whl"),
            "A.b 1: no wheel for Python 3.11 x86_64-linux, and no sources",
        ),
        (make_package("a_b-1-2-py3-none-any.whl"), "no wheel"),
        ({**make_package("a_b-2-py3-none-any.whl"), "version": "2"}, "its hash is not in requirements.lock"),
    ],
)
def test_what_cannot_be_installed_is_refused(package: dict[str, Any], sentence: str) -> None:
    with pytest.raises(wheels.NotLocked, match=sentence):
        choose(package)
