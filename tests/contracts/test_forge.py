"""The contracts' own suite and their committed artifacts, by the doors of contracts/."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONTRACTS = Path(__file__).parent.parent.parent / "contracts"

DEADLINE_S = 900
"""A cold build with the optimizer takes a minute on two shared cores; forge's suite two."""

pytestmark = [pytest.mark.slow, pytest.mark.chain]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True, timeout=DEADLINE_S)


def find_failures(suites: dict[str, Any]) -> list[str]:
    """One line for each test that did not succeed, from forge's JSON."""
    return [
        f"{suite} {name}: {result.get('reason')}"
        for suite, found in suites.items()
        for name, result in found["test_results"].items()
        if result["status"] != "Success"
    ]


def test_the_committed_artifacts_are_what_the_sources_give() -> None:
    done = run(sys.executable, "script/build.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_forge_test_passes() -> None:
    done = run("bin/foundry", "forge", "test", "--json")
    start = done.stdout.find("{")
    assert start >= 0, done.stdout + done.stderr
    suites = json.loads(done.stdout[start:])
    assert find_failures(suites) == []
    assert done.returncode == 0, done.stderr
    assert sum(len(found["test_results"]) for found in suites.values()) >= 80


def test_every_line_function_and_branch_of_every_contract_is_taken() -> None:
    done = run(sys.executable, "script/coverage.py")
    assert done.returncode == 0, done.stdout + done.stderr
