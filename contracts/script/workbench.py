"""A copy of the contracts to change and test, and a compiler that stays loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent


class NoResult(Exception):
    """The compiler or forge did not run as it should."""


def copy_contracts(root: Path) -> Path:
    """A copy below root, which stays as it is while somebody edits the sources. Returns its contracts/."""
    contracts = root / "contracts"
    for name in ("src", "test", "bin", "artifacts", "script"):
        shutil.copytree(CONTRACTS / name, contracts / name)
    for name in ("foundry.toml", "package.json"):
        shutil.copy(CONTRACTS / name, contracts)
    shutil.copytree(CONTRACTS.parent / "tests" / "vectors", root / "tests" / "vectors")
    (contracts / "node_modules").symlink_to((CONTRACTS / "node_modules").resolve())
    return contracts


class Compiler:
    """solc in a process of its own, for sources of this copy. Close it."""

    def __init__(self, contracts: Path) -> None:
        self._root = str(contracts)
        command = ["node", str(contracts / "script" / "compile.mjs")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def parse(self, source: str, code: bytes) -> dict[str, Any]:
        """The syntax tree of a source with this code. Raises NoResult when it does not compile."""
        made = self._ask({"source": source, "content": code.decode()})
        if "error" in made:
            raise NoResult(made["error"])
        tree: dict[str, Any] = made["tree"]
        return tree

    def compile(
        self, source: str, code: bytes, contracts: Sequence[str], *, optimized: bool = False
    ) -> dict[str, str] | None:
        """The creation code of each of the contracts where the source has this code; None when that does not compile."""
        asked = {"source": source, "content": code.decode(), "contracts": contracts, "optimized": optimized}
        return self._ask(asked).get("bytecode")

    def close(self) -> None:
        # Its standard input ends, and so does it.
        with self._process:
            pass

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asked | {"root": self._root}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise NoResult("the compiler ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
