#!/usr/bin/env python3
"""Prints how much of src/ forge's tests run, and what they leave out, by line.

The tests deploy from artifacts/, whose optimised code forge cannot trace to lines. Here they deploy what forge itself just
compiled, without the optimizer and without the IR (test/Bench.sol), so every number is exact.
Forge counts a branch for what stands behind an `if`, none for an `if` without `else` that is passed over, and takes an
`if (x) return;` for taken whenever x is asked. So both ways of every `if` are marked first, in a copy, by an expression without
effect, which forge counts as no line.
Not seen: the short circuits inside a condition. Assembly has no branches (no `if`, no `switch`).
Exit status: 0 all lines and functions have run and all branches are taken, 1 not, 2 the tests did not run.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import CONTRACTS, Compiler, NoResult, copy_contracts

MARK = b"true;"
"""At the beginning of each way of an `if`."""


@dataclass
class Source:
    """What ran of one source: hits by line, by function, and by (line, branch, way)."""

    path: str
    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    branches: dict[tuple[int, str, str], int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return Path(self.path).stem

    @property
    def is_complete(self) -> bool:
        """True where nothing was left out."""
        return all(hits > 0 for counted in (self.lines, self.functions, self.branches) for hits in counted.values())


def main() -> int:
    try:
        sources = [source for source in read_trace(measure()) if source.path.startswith("src/")]
    except NoResult as failed:
        print(failed, file=sys.stderr)
        return 2
    print_table(sources)
    print_missing(sources)
    short = [source.name for source in sources if not source.is_complete]
    if short or not sources:
        print(f"\nnot complete: {', '.join(short) or 'no source was run'}", file=sys.stderr)
        return 1
    return 0


def measure() -> str:
    """Forge's trace (lcov) of all tests, on marked sources."""
    with tempfile.TemporaryDirectory(prefix="xnode-coverage-") as folder:
        contracts = copy_contracts(Path(folder))
        mark_branches(contracts)
        command = ["bin/foundry", "forge", "coverage", "--report", "lcov", "--report-file", "lcov.info"]
        # What only a long random history reaches has no test of its own.
        command += ["--no-match-path", "test/invariant/*"]
        given = os.environ | {"XNODE_ARTIFACTS": "compiled"}
        done = subprocess.run(command, cwd=contracts, env=given, capture_output=True, text=True)
        if done.returncode != 0:
            raise NoResult(done.stdout[-4000:] + done.stderr[-4000:])
        return (contracts / "lcov.info").read_text()


def mark_branches(contracts: Path) -> None:
    """Puts MARK at the beginning of both ways of every `if` in src/. No line moves."""
    compiler = Compiler(contracts)
    for path in sorted((contracts / "src").rglob("*.sol")):
        code = path.read_bytes()
        tree = compiler.parse(str(path.relative_to(contracts)), code)
        for place, text in sorted(find_marks(tree, code), key=lambda mark: mark[0], reverse=True):
            code = code[:place] + text + code[place:]
        path.write_bytes(code)
    compiler.close()


def find_marks(node: Any, code: bytes) -> list[tuple[int, bytes]]:
    """What to put in, and where. At one place the outermost comes first, which is the last to be put there."""
    marks: list[tuple[int, bytes]] = []
    if isinstance(node, dict) and node.get("nodeType") == "IfStatement":
        then, otherwise = node["trueBody"], node.get("falseBody")
        marks += mark_body(then, code, b"" if otherwise else b" else { " + MARK + b" }")
        if otherwise and otherwise["nodeType"] != "IfStatement":
            marks += mark_body(otherwise, code, b"")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(child, dict | list):
            marks += find_marks(child, code)
    return marks


def mark_body(body: dict[str, Any], code: bytes, behind: bytes) -> list[tuple[int, bytes]]:
    start, length, _ = (int(part) for part in body["src"].split(":"))
    end = start + length
    if body["nodeType"] == "Block":
        return [(start + 1, b" " + MARK), (end, behind)]
    end += code[end : end + 1] == b";"
    return [(start, b"{ " + MARK + b" "), (end, b" }" + behind)]


def read_trace(text: str) -> list[Source]:
    sources: list[Source] = []
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            sources.append(Source(rest))
        elif kind == "DA":
            number, hits = rest.split(",")[:2]
            sources[-1].lines[int(number)] = int(hits)
        elif kind == "FNDA":
            hits, name = rest.split(",")
            sources[-1].functions[name] = int(hits)
        elif kind == "BRDA":
            number, branch, way, hits = rest.split(",")
            sources[-1].branches[int(number), branch, way] = 0 if hits == "-" else int(hits)
    return sources


def print_table(sources: list[Source]) -> None:
    print(f"{'contract':28}{'lines':>18}{'functions':>18}{'branches':>18}")
    for source in sources:
        if source.lines:
            shown = (show(source.lines), show(source.functions), show(source.branches))
            print(f"{source.name:28}" + "".join(f"{text:>18}" for text in shown))


def show(counted: Mapping[Any, int]) -> str:
    taken = sum(hits > 0 for hits in counted.values())
    return f"{100 * taken / len(counted):.1f} % {taken}/{len(counted)}" if counted else "-"


def print_missing(sources: list[Source]) -> None:
    for source in sources:
        text = (CONTRACTS / source.path).read_text().splitlines()
        for number in sorted(number for number, hits in source.lines.items() if hits == 0):
            print(f"{source.path}:{number}: never run: {text[number - 1].strip()}")
        for number, _, way in sorted(key for key, hits in source.branches.items() if hits == 0):
            way_name = "the first way" if way == "0" else "the other way"
            print(f"{source.path}:{number}: {way_name} never taken: {text[number - 1].strip()}")


if __name__ == "__main__":
    sys.exit(main())
