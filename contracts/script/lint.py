#!/usr/bin/env python3
"""Holds the contracts to forge fmt, solhint and slither; a finding is fixed, or answered by a comment beside the code.

solhint's rules stand in solhint.config.cjs and test/solhint.config.cjs, slither's here. slither deletes out/ and wants versions
of its own: it runs on a copy, from a virtual environment of its own (make lint installs it).
Exit status: 0 clean, 1 findings, 2 a tool is not installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parent.parent
SOLHINT = CONTRACTS / "node_modules" / ".bin" / "solhint"
SLITHER = CONTRACTS.parent / ".cache" / "slither" / "bin" / "slither"

NOT_ASKED = {
    "assembly": "packed rows are why a claim is cheap; each block says what it saves and is tested against readable code",
    "timestamp": "deadlines and thaws are hours and days; a block's time is off by seconds",
    "naming-convention": "solhint checks names, and knows the getters of constants and of Votes",
}
"""Detectors that are off everywhere, and why. Every other finding is answered where it is found."""


def main() -> int:
    missing = [tool for tool in (SOLHINT, SLITHER) if not tool.exists()]
    if missing:
        print(
            f"not installed: {', '.join(tool.name for tool in missing)}; run 'make -C contracts lint'", file=sys.stderr
        )
        return 2
    found = [name for name, check in CHECKS.items() if not check()]
    print(f"findings of: {', '.join(found)}" if found else f"clean: {', '.join(CHECKS)}")
    return 1 if found else 0


def is_formatted() -> bool:
    return run("bin/foundry", "forge", "fmt", "--check")


def passes_solhint() -> bool:
    common = (str(SOLHINT), "--disc", "--noPoster", "--max-warnings", "0", "--formatter", "unix")
    sources = run(*common, "--config", "solhint.config.cjs", "src/**/*.sol")
    return run(*common, "--config", "test/solhint.config.cjs", "test/**/*.sol") and sources


def passes_slither() -> bool:
    with tempfile.TemporaryDirectory(prefix="xnode-slither-") as folder:
        for name in ("src", "bin"):
            shutil.copytree(CONTRACTS / name, Path(folder) / name)
        shutil.copy(CONTRACTS / "foundry.toml", folder)
        (Path(folder) / "node_modules").symlink_to((CONTRACTS / "node_modules").resolve())
        put_forge_on_path(Path(folder) / "path")
        command = [str(SLITHER), ".", "--compile-force-framework", "foundry", "--filter-paths", "node_modules"]
        command += ["--exclude", ",".join(NOT_ASKED), "--fail-pedantic", "--disable-color"]
        path = os.environ | {"PATH": f"{folder}/path{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=folder, env=path, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
    return done.returncode == 0


def put_forge_on_path(folder: Path) -> None:
    """A `forge` in this folder, since slither looks for it by name."""
    folder.mkdir()
    script = folder / "forge"
    script.write_text(f'#!/bin/sh\nexec "{CONTRACTS / "bin" / "foundry"}" forge "$@"\n')
    script.chmod(0o755)


def run(*command: str) -> bool:
    done = subprocess.run(command, cwd=CONTRACTS, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
    return done.returncode == 0


CHECKS = {"forge fmt": is_formatted, "solhint": passes_solhint, "slither": passes_slither}

if __name__ == "__main__":
    sys.exit(main())
