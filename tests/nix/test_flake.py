"""The flake: it parses and checks without nixpkgs, its pin is a pin, and it names no host of packages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.make.nix import ROOT, Nix

FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "flake.nix", *(ROOT / "nix").rglob("*.nix")))


def test_every_file_parses(nix: Nix) -> None:
    done = nix.run("nix-instantiate", "--parse", *FILES)
    assert done.returncode == 0, done.stderr


def test_the_flake_checks_whole(nix: Nix) -> None:
    words = "flake check --no-build --override-input nixpkgs path:nix/stand-in --no-write-lock-file"
    done = nix.run("nix", *words.split(), f"path:{nix.flake}")
    assert done.returncode == 0, done.stderr


def test_what_is_wrong_in_a_file_fails_the_check(nix: Nix, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nix"
    broken.write_text("{ services.xnode.enable = true }")
    assert "syntax error" in nix.run("nix-instantiate", "--parse", str(broken)).stderr


def test_nixpkgs_is_pinned_by_its_hash() -> None:
    node = json.loads((ROOT / "flake.lock").read_text())["nodes"]["nixpkgs"]
    locked, original = node["locked"], node["original"]
    assert re.fullmatch(r"[0-9a-f]{40}", locked["rev"]) and locked["narHash"].startswith("sha256-")
    (url,) = re.findall(r'nixpkgs\.url = "github:([^"]+)"', (ROOT / "flake.nix").read_text())
    assert url == "/".join((original["owner"], original["repo"], original["ref"]))


@pytest.mark.parametrize("path", [*FILES, "nix/wheels.json", "nix/wheels.py"])
def test_no_host_of_packages_is_named(path: str) -> None:
    assert not re.search(r"https?://|pypi\.org|pythonhosted", (ROOT / path).read_text())


def test_there_is_a_package_for_every_python_of_the_table_on_both_machines(nix: Nix) -> None:
    found = nix.evaluate(
        "lib.mapAttrs (_: packages: lib.mapAttrs (_: p: lib.length (p.chosen or [ ])) packages) self.packages"
    )
    assert sorted(found) == ["aarch64-linux", "x86_64-linux"]
    for packages in found.values():
        assert {"default", "xnode", "xnode-python311", "xnode-python312", "xnode-python313"} <= set(packages)
        assert all(count > 100 for name, count in packages.items() if name != "job-image")


def test_a_python_without_wheels_is_refused_with_those_that_have_them(nix: Nix) -> None:
    refusal = nix.find_refusal(
        """let pkgs = nixpkgs.legacyPackages.x86_64-linux; in
        (pkgs.callPackage ./nix/package.nix { python = pkgs.python313 // { pythonVersion = "3.14"; }; }).drvPath"""
    )
    assert "xnode has no wheels for Python 3.14 x86_64-linux; nix/wheels.json has: 3.11 x86_64-linux," in refusal


def test_the_source_of_the_package_is_what_goes_into_the_wheel(nix: Nix) -> None:
    """A change of a page or a test builds nothing anew; a change of the code does."""
    expression = "self.packages.x86_64-linux.xnode.src"
    before = nix.evaluate(f"toString {expression}")
    for path, counts in (("flake.lock", False), ("nix/module.nix", False), ("xnode/errors.py", True)):
        file = nix.flake / path
        text = file.read_text()
        file.write_text(text + "\n")
        try:
            assert (nix.evaluate(f"toString {expression}") != before) == counts, path
        finally:
            file.write_text(text)


def test_a_wheel_can_be_made_of_that_source(nix: Nix, tmp_path: Path) -> None:
    shutil.copytree(nix.add_source("self.packages.x86_64-linux.xnode.src"), tmp_path / "source")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path / "source", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and list(tmp_path.glob("*.whl")), done.stderr


def test_the_overlay_and_the_apps_give_the_package(nix: Nix) -> None:
    package = nix.evaluate("self.packages.x86_64-linux.xnode.outPath")
    overlaid = nix.evaluate("(self.overlays.default nixpkgs.legacyPackages.x86_64-linux { }).xnode.outPath")
    programs = nix.evaluate("lib.mapAttrs (_: app: app.program) self.apps.x86_64-linux")
    assert overlaid == package and programs["default"] == f"{package}/bin/xnode" and "demo" in programs
