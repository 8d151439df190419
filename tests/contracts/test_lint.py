"""The sources are formatted, and clean under solhint and slither or answered beside the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parent.parent.parent / "contracts"

DEADLINE_S = 300
"""Slither compiles the sources and takes seven seconds of two quiet cores."""


@pytest.mark.slow
@pytest.mark.chain
def test_the_contracts_are_clean_under_their_linters() -> None:
    command = [sys.executable, "script/lint.py"]
    done = subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
