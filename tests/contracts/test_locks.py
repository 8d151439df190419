"""The lock files name what is installed and its hashes, never where from: each installation has its own registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = json.loads((ROOT / "contracts" / "package-lock.json").read_text())["packages"]
PYTHON_LOCKS = [ROOT / "requirements.lock", ROOT / "contracts" / "slither.lock"]


def test_the_npm_lock_names_no_registry_host() -> None:
    for name, package in PACKAGES.items():
        # An author's request for donations is not a place to install from.
        locked = {field: value for field, value in package.items() if field != "funding"}
        assert "resolved" not in locked and "://" not in json.dumps(locked), name


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda lock: lock.name)
def test_the_python_locks_name_no_registry_host(lock: Path) -> None:
    assert "://" not in lock.read_text()
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", lock.read_text())


def test_every_npm_package_is_locked_by_its_hash() -> None:
    loose = [name for name, package in PACKAGES.items() if name and "sha512-" not in package.get("integrity", "")]
    assert PACKAGES and not loose


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda lock: lock.name)
def test_every_python_package_is_locked_by_its_hash(lock: Path) -> None:
    pins = re.findall(r"^(\S+==\S+).*\n(.*)$", lock.read_text(), re.MULTILINE)
    loose = [name for name, next_line in pins if not next_line.startswith("    --hash=sha256:")]
    assert pins and not loose
