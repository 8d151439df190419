#!/usr/bin/env python3
"""Runs forge's suite with profile long, and says how often the invariants' handlers were called and how long each took.

Exit status: 0 all passed with at least CALLS_WANTED calls, 1 not, 2 forge did not run.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent
CALLS_WANTED = 1_000_000


def main() -> int:
    began = time.monotonic()
    command = [str(CONTRACTS / "bin" / "foundry"), "forge", "test", "--json"]
    given = os.environ | {"FOUNDRY_PROFILE": "long"}
    done = subprocess.run(command, cwd=CONTRACTS, env=given, capture_output=True, text=True)
    start = done.stdout.find("{")
    if start < 0:
        print(done.stdout, done.stderr, file=sys.stderr)
        return 2
    tests = [test for suite in json.loads(done.stdout[start:]).values() for test in suite["test_results"].items()]
    calls = print_invariants(tests)
    failed = [
        f"{name}: {result.get('reason')}\n{result.get('counterexample')}"
        for name, result in tests
        if not passed(result)
    ]
    print(f"{len(tests)} tests, {len(failed)} failed, {calls:,} calls of handlers in {time.monotonic() - began:.0f} s")
    print("\n".join(failed))
    return 0 if not failed and calls >= CALLS_WANTED else 1


def passed(result: dict[str, Any]) -> bool:
    return bool(result["status"] == "Success")


def print_invariants(tests: list[tuple[str, dict[str, Any]]]) -> int:
    """All calls together."""
    total = 0
    for name, result in tests:
        told = result["kind"].get("Invariant")
        if told is not None:
            total += told["calls"]
            print(f"{told['calls']:>10,} calls  {result['duration'].split()[0]:>5}  {name}")
    return total


if __name__ == "__main__":
    sys.exit(main())
