#!/usr/bin/env python3
"""Writes contracts/artifacts/*.json, or with --check compares a fresh build against them.

The daemon deploys from these files, so they are committed: an installation needs neither Node nor a compiler. Forge's tests
deploy from them too, so what is tested is what is deployed.
Exit status: 0 done or equal, 1 the committed files differ, 2 the build could not run.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONTRACTS = Path(__file__).resolve().parent.parent
ARTIFACTS = CONTRACTS / "artifacts"
DAEMON = CONTRACTS.parent / "xnode" / "chain" / "abi" / "artifacts.py"


class BuildFailed(Exception):
    """Forge did not run, or refused the sources."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    check = parser.parse_args().check
    try:
        built = build()
    except BuildFailed as failed:
        print(failed, file=sys.stderr)
        return 2
    return check_equal(built) if check else write(built)


def build() -> dict[str, str]:
    """The text of every artifact, by contract name."""
    with tempfile.TemporaryDirectory(prefix="xnode-contracts-") as folder:
        out = Path(folder) / "out"
        command = [str(CONTRACTS / "bin" / "foundry"), "forge", "build", "--force", "--skip", "test"]
        command += ["--out", str(out), "--cache-path", str(Path(folder) / "cache")]
        profile = os.environ | {"FOUNDRY_PROFILE": "deploy"}
        run = subprocess.run(command, cwd=CONTRACTS, env=profile, capture_output=True, text=True)
        if run.returncode != 0:
            raise BuildFailed(run.stdout + run.stderr)
        return {name: make_artifact(name, out / f"{name}.sol" / f"{name}.json") for name in read_names()}


def read_names() -> tuple[str, ...]:
    """The contracts that the daemon deploys and calls, as it names them: read, not imported, for this script needs nothing
    but Python itself."""
    for statement in ast.parse(DAEMON.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "CONTRACTS":
            names: tuple[str, ...] = ast.literal_eval(statement.value)
            return names
    raise BuildFailed(f"{DAEMON} names no contracts: CONTRACTS = (...) is not there")


def make_artifact(name: str, forge_output: Path) -> str:
    """The part of forge's output that a deployer and a verifier need, as stable JSON text."""
    output = json.loads(forge_output.read_text())
    artifact = {
        "contractName": name,
        "abi": output["abi"],
        "bytecode": output["bytecode"]["object"],
        "deployedBytecode": output["deployedBytecode"]["object"],
        "immutableReferences": number_in_order(output["deployedBytecode"].get("immutableReferences", {})),
        "solc": output["metadata"]["compiler"]["version"],
        "settings": output["metadata"]["settings"],
    }
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def number_in_order(references: dict[str, list[dict[str, int]]]) -> dict[str, list[dict[str, int]]]:
    """The same places, keyed 0, 1, 2: the compiler's own keys change with every edit of any file."""
    by_id = sorted(references.items(), key=lambda item: int(item[0]))
    return {str(number): places for number, (_, places) in enumerate(by_id)}


def write(built: dict[str, str]) -> int:
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in built.items():
        (ARTIFACTS / f"{name}.json").write_text(text)
        code_bytes = len(json.loads(text)["deployedBytecode"]) // 2 - 1
        print(f"{name}: {code_bytes} bytes on chain")
    return 0


def check_equal(built: dict[str, str]) -> int:
    stale = [name for name, text in built.items() if not is_committed(name, text)]
    for name in stale:
        print(f"artifacts/{name}.json is not what the sources give: run contracts/script/build.py", file=sys.stderr)
    return 1 if stale else 0


def is_committed(name: str, text: str) -> bool:
    path = ARTIFACTS / f"{name}.json"
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
