"""docs/mutants.md: how many mutants the tests notice of each source, and each one they do not, with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mutant_source import Mutant

CONTRACTS = Path(__file__).resolve().parent.parent
TABLE = CONTRACTS.parent / "docs" / "mutants.md"
EQUIVALENT = CONTRACTS / "script" / "equivalent_mutants.json"

HEAD = """# Mutants

Written by `make -C contracts mutants`: the sources are changed one small place at a time, and the tests should notice.
*Same code*: the compiler, with its optimizer, gives what it gives for the unchanged source. *Cannot matter*: no test can tell,
for the reason below. The score counts what was noticed of all that could matter; in brackets, of all that gave other code.

| source | mutants | not compiled | same code | cannot matter | noticed | not noticed | score |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant. outcome: killed, survived, same code, or not compiled; by: the test that failed, for a
    killed one."""

    outcome: str
    by: str


Results = list[tuple["Mutant", Result]]


def write_table(results: Results, goal: float) -> bool:
    """Whether every source reaches the goal."""
    reasons = read_reasons()
    sources = list(dict.fromkeys(mutant.source for mutant, _ in results))
    rows, reached = [], True
    for source in sources:
        row, score = make_row(source, [pair for pair in results if pair[0].source == source], reasons)
        rows.append(row)
        reached &= score >= goal
    text = HEAD + "\n".join(rows) + "\n" + "".join(list_survivors(source, results, reasons) for source in sources)
    TABLE.write_text(text)
    print(text)
    report_stale(results, reasons)
    return reached


def read_reasons() -> dict[tuple[str, str, str], str]:
    """Why a change cannot matter, by source, line and changed line (in single spaces, without indentation)."""
    told = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else []
    return {(entry["source"], entry["line"], entry["change"]): entry["reason"] for entry in told}


def name_change(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.source, mutant.before, mutant.after


def make_row(source: str, results: Results, reasons: dict[tuple[str, str, str], str]) -> tuple[str, float]:
    count = {
        outcome: sum(result.outcome == outcome for _, result in results)
        for outcome in ("not compiled", "same code", "killed")
    }
    left = [mutant for mutant, result in results if result.outcome == "survived"]
    excused = sum(name_change(mutant) in reasons for mutant in left)
    killed, unnoticed = count["killed"], len(left) - excused
    score = killed / max(1, killed + unnoticed)
    hard = killed / max(1, killed + len(left))
    cells = (source, len(results), count["not compiled"], count["same code"], excused, killed, unnoticed)
    shown = " | ".join(str(cell) for cell in cells)
    return f"| {shown} | {100 * score:.1f} % ({100 * hard:.1f} %) |", score


def list_survivors(source: str, results: Results, reasons: dict[tuple[str, str, str], str]) -> str:
    left = [mutant for mutant, result in results if result.outcome == "survived" and mutant.source == source]
    if not left:
        return ""
    rows = [f"\n## {source}\n\n| line | is | changed to | why it lives |\n|---|---|---|---|"]
    for mutant in left:
        reason = reasons.get(name_change(mutant), "**not noticed**")
        rows.append(f"| {mutant.line} | {quote(mutant.before)} | {quote(mutant.after)} | {reason} |")
    return "\n".join(rows) + "\n"


def quote(code: str) -> str:
    return "`" + code.replace("|", "\\|") + "`"


def report_stale(results: Results, reasons: dict[tuple[str, str, str], str]) -> None:
    """Reasons for what no longer survives are taken out by hand."""
    left = {name_change(mutant) for mutant, result in results if result.outcome == "survived"}
    for source, line, change in reasons.keys() - left:
        print(f"{EQUIVALENT.name} names what did not survive: {source}: {line} -> {change}")
