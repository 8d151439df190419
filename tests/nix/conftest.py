"""Fixtures: one copy of the flake for all tests of nix/."""

from __future__ import annotations

import shutil

import pytest

from tests.make.nix import Nix, make_nix


@pytest.fixture(scope="session")
def nix(tmp_path_factory: pytest.TempPathFactory) -> Nix:
    assert shutil.which("nix-instantiate"), "nix is not installed: make .cache/ready/test-system"
    return make_nix(tmp_path_factory.mktemp("nix"))
