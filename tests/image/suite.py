"""Suite: the engine's tests, with what they need beside the host's own packages, for a machine without a network of its own."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]

PARTS = (
    "xnode",
    "scheduler",
    "metering",
    "images",
    "examples",
    "tests",
    "contracts/artifacts",
    "pyproject.toml",
    "conftest.py",
)

UNNEEDED = ("slither*", "mypy*", "ruff*", "uv", "web3", "node_modules", "__pycache__")

SUITE = (
    "mkdir -p tmp && PYTHONPATH=$PWD:$PWD/site-packages TMPDIR=$PWD/tmp PYTHONDONTWRITEBYTECODE=1 "
    "python3 -m pytest -q -p no:cacheprovider --timeout=1800 --basetemp=$PWD/tmp/pytest -m engine --durations=10 "
    "tests/xnode/runtime 2>&1"
)
"""Run in the folder that make_suite() made."""


def make_suite(media: Path) -> None:
    """The folder `suite` on the disk that goes with the machine."""
    suite = media / "suite"
    for name in PARTS:
        source, target = ROOT / name, suite / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*UNNEEDED), symlinks=True)
        elif source.is_file():
            shutil.copy(source, target)
    packages = Path(sysconfig.get_paths()["purelib"])
    shutil.copytree(packages, suite / "site-packages", ignore=shutil.ignore_patterns(*UNNEEDED), symlinks=True)
