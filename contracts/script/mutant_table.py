"""docs/mutants.md: how many mutants the tests notice of each source, and each one they do not, with the reason."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mutant_source import Mutant

CONTRACTS = Path(__file__).resolve().parent.parent
TABLE = CONTRACTS.parent / "docs" / "mutants.md"
EQUIVALENT = CONTRACTS / "script" / "equivalent_mutants.json"

HEAD = """# Mutants

Written by `make -C contracts mutants`: the sources are changed one small place at a time, and the
tests should notice. *Same code*: the compiler, with its optimizer, gives what it gives for the
unchanged source. *Cannot matter*: no test can tell, for the reason below. The score counts what was
noticed of all that could matter; in brackets, of all that gave other code.
{drawn}
| source | mutants | tried | not compiled | same code | cannot matter | noticed | not noticed | score |
|---|---|---|---|---|---|---|---|---|
"""

DRAWN = """
{tried} of the {there} mutants were tried: of each source the first of an order drawn at random, with
the seed {seed}. Of the others it is not known whether a test notices them: where a drawn one was not
noticed, a test was written, so the score is no estimate of the rest.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant. outcome: killed, survived, same code, or not compiled; by: the test that failed, for a
    killed one."""

    outcome: str
    by: str


Results = list[tuple["Mutant", Result]]


@dataclass(frozen=True, slots=True)
class Table:
    """there: every mutant. tried: those with a result. seed: of the draw, None when nothing was drawn."""

    there: list[Mutant]
    tried: Results
    seed: int | None


def write_table(table: Table, goal: float) -> bool:
    """Whether every source reaches the goal."""
    reasons = read_reasons()
    results = table.tried
    sources = list(dict.fromkeys(mutant.source for mutant, _ in results))
    counts = {source: count(source, table, reasons) for source in sources}
    rows = [make_row(source, counted) for source, counted in counts.items()]
    rows.append(make_row("**all**", add(list(counts.values()))))
    drawn = "" if table.seed is None else DRAWN.format(tried=len(results), there=len(table.there), seed=table.seed)
    listed = "".join(list_survivors(source, results, reasons) for source in sources)
    text = HEAD.format(drawn=drawn) + "\n".join(rows) + "\n" + listed
    TABLE.write_text(text)
    print(text)
    report_stale(table, reasons)
    return all(counted.score >= goal for counted in counts.values())


def read_reasons() -> dict[tuple[str, str, str], str]:
    """Why a change cannot matter, by source, line and changed line (in single spaces, without indentation)."""
    told = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else []
    return {(entry["source"], entry["line"], entry["change"]): entry["reason"] for entry in told}


def name_change(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.source, mutant.before, mutant.after


@dataclass(frozen=True, slots=True)
class Count:
    """Of mutants."""

    there: int
    tried: int
    not_compiled: int
    same_code: int
    excused: int
    killed: int
    unnoticed: int

    @property
    def score(self) -> float:
        """What was noticed of all that could matter."""
        return self.killed / max(1, self.killed + self.unnoticed)

    @property
    def hard_score(self) -> float:
        """What was noticed of all that gave other code."""
        return self.killed / max(1, self.killed + self.unnoticed + self.excused)


def count(source: str, table: Table, reasons: dict[tuple[str, str, str], str]) -> Count:
    tried = [(mutant, result.outcome) for mutant, result in table.tried if mutant.source == source]
    survived = [mutant for mutant, outcome in tried if outcome == "survived"]
    excused = sum(name_change(mutant) in reasons for mutant in survived)
    return Count(
        there=sum(mutant.source == source for mutant in table.there),
        tried=len(tried),
        not_compiled=sum(outcome == "not compiled" for _, outcome in tried),
        same_code=sum(outcome == "same code" for _, outcome in tried),
        excused=excused,
        killed=sum(outcome == "killed" for _, outcome in tried),
        unnoticed=len(survived) - excused,
    )


def add(counts: list[Count]) -> Count:
    return Count(*(sum(parts) for parts in zip(*(astuple(counted) for counted in counts), strict=True)))


def make_row(name: str, counted: Count) -> str:
    shown = " | ".join(str(cell) for cell in (name, *astuple(counted)))
    return f"| {shown} | {100 * counted.score:.1f} % ({100 * counted.hard_score:.1f} %) |"


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


def report_stale(table: Table, reasons: dict[tuple[str, str, str], str]) -> None:
    """Reasons for what is not there, or was tried and did not survive, are taken out by hand."""
    survived = {name_change(mutant) for mutant, result in table.tried if result.outcome == "survived"}
    tried = {name_change(mutant) for mutant, _ in table.tried}
    left = survived | ({name_change(mutant) for mutant in table.there} - tried)
    for source, line, change in reasons.keys() - left:
        print(f"{EQUIVALENT.name} names what did not survive: {source}: {line} -> {change}")
