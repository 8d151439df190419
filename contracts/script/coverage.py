#!/usr/bin/env python3
"""Prints how much of src/ forge's tests run, and what they leave out, by line.

The tests deploy from artifacts/, whose optimised code forge cannot trace to lines. Here they deploy what forge itself just
compiled, without the optimizer and without the IR (test/Bench.sol), so every number is exact.
Forge counts a branch for what stands behind an `if`, and none for an `if` without `else` that is passed over. That second way is
added here: it was taken when the condition ran more often than what stands behind it, or, behind a return or revert, when the
next line ran. Forge also counts `if (x) return;` as taken whenever x is asked; here that is the difference to the next line.
Not seen: the short circuits inside a condition, and branches in assembly (there are none: it has no `if` and no `switch`).
Exit status: 0 all branches of the contracts in COMPLETE are taken, 1 not, 2 the tests did not run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent
TRACE = CONTRACTS / "cache" / "lcov.info"
COMPLETE = ("PaymentEscrow", "FreeBalance", "SplitRegistry", "ComputeCredit", "ProviderRegistry")


@dataclass
class Source:
    """What ran of one source: hits by line, by function, and by (line, branch, way)."""

    path: str
    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    branches: dict[tuple[int, str, str], int] = field(default_factory=dict)
    starts: set[int] = field(default_factory=set)
    """The first lines of functions."""

    @property
    def name(self) -> str:
        return Path(self.path).stem


def main() -> int:
    try:
        measure()
    except subprocess.CalledProcessError as failed:
        print(failed.stdout[-4000:], failed.stderr[-4000:], file=sys.stderr)
        return 2
    sources = [source for source in read_trace(TRACE.read_text()) if source.path.startswith("src/")]
    print_table(sources)
    print_missing(sources)
    short = [s.name for s in sources if s.name in COMPLETE and any(hits == 0 for hits in s.branches.values())]
    if short:
        print(f"\nnot every branch is taken of: {', '.join(short)}", file=sys.stderr)
    return 1 if short else 0


def measure() -> None:
    """Runs all tests under forge's coverage into TRACE."""
    TRACE.parent.mkdir(exist_ok=True)
    command = [str(CONTRACTS / "bin" / "foundry"), "forge", "coverage", "--report", "lcov", "--report-file", str(TRACE)]
    environment = os.environ | {"XNODE_ARTIFACTS": "compiled"}
    subprocess.run(command, cwd=CONTRACTS, env=environment, capture_output=True, text=True, check=True)


def read_trace(text: str) -> list[Source]:
    sources: list[Source] = []
    for line in text.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            sources.append(Source(rest))
        elif kind == "DA":
            number, hits = rest.split(",")[:2]
            sources[-1].lines[int(number)] = int(hits)
        elif kind == "FN":
            sources[-1].starts.add(int(rest.split(",")[0]))
        elif kind == "FNDA":
            hits, name = rest.split(",")
            sources[-1].functions[name] = int(hits)
        elif kind == "BRDA":
            number, branch, way, hits = rest.split(",")
            sources[-1].branches[int(number), branch, way] = 0 if hits == "-" else int(hits)
    for source in sources:
        add_passed_over(source)
    return sources


def add_passed_over(source: Source) -> None:
    """The second way of each `if` without an `else`, and an exact count for those that only return."""
    text = ["", *(CONTRACTS / source.path).read_text().splitlines()]
    counted: dict[tuple[int, str], list[int]] = {}
    for (number, branch, _), times in source.branches.items():
        counted.setdefault((number, branch), []).append(times)
    for (number, branch), hits in counted.items():
        if len(hits) != 1 or not re.search(r"\bif \(", text[number]):
            continue
        ran, after = source.lines.get(number, 0), hits_after(source, number)
        leaves = re.search(r"\) (return|revert)\b", text[number] + " " + text[min(number + 1, len(text) - 1)].strip())
        source.branches[number, branch, "passed over"] = after if leaves and after else max(0, ran - hits[0])
        if leaves and leaves[1] == "return" and after is not None:
            source.branches[number, branch, "0"] = max(0, ran - after)


def hits_after(source: Source, number: int) -> int | None:
    """How often the next line of the same function ran, or None for the function's last line."""
    after = min((line for line in source.lines if line > number), default=None)
    return None if after is None or after in source.starts else source.lines[after]


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
            print(f"{source.path}:{number}: branch {way} never taken: {text[number - 1].strip()}")


if __name__ == "__main__":
    sys.exit(main())
