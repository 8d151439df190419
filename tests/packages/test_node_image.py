"""The node's image is made of its package and what that needs, and runs as an ordinary user; `make test-node-image` runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from images.node.build import USER, make_recipe
from packages.debian.build import pack
from tests.packages.debian.test_build import make_tree

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="not a Debian")


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    depends = "python3 (>= 3.11), python3 (<< 3.12), adduser, ca-certificates, libc6 (>= 2.36), libgmp10"
    return pack(make_tree(tmp_path / "tree", f"Depends: {depends}\n"), tmp_path, "1.0", "all")


def test_it_has_what_the_package_needs_and_no_engine(deb: Path) -> None:
    packages = make_recipe(deb).packages
    assert packages == ("python3", "ca-certificates", "libc6", "libgmp10")


def test_it_runs_as_nobody_in_particular_and_writes_into_one_folder(deb: Path) -> None:
    recipe = make_recipe(deb)
    assert recipe.config["User"] == f"{USER}:{USER}" and USER > 1000
    assert [(name, owner) for name, _, owner in recipe.folders if owner] == [("./home/xnode", USER)]
    assert list(recipe.config["Volumes"]) == ["/home/xnode"]
    assert {"HOME=/home/xnode", "XNODE_HOME=/home/xnode/node"} <= set(recipe.config["Env"])


def test_another_package_is_another_image(deb: Path) -> None:
    before = make_recipe(deb).digest
    assert make_recipe(deb).digest == before
    deb.write_bytes(deb.read_bytes() + b"x")
    assert make_recipe(deb).digest != before
