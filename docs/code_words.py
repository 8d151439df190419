"""Code words: the stable codes that the sources give refusals and failures, each with the sentences that go with it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from xnode.node import lease

ROOT = Path(__file__).parent.parent
PARTS = ("metering", "scheduler", "xnode")

_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class CodeWord:
    """One code, and every sentence said with it; `…` where a value stands."""

    code: str
    details: tuple[str, ...]


def find_codes(part: str, *names: str) -> list[CodeWord]:
    """The codes in calls of these names, below this part of the sources ("": all of them), in order of the alphabet."""
    found: dict[str, dict[str, None]] = {}
    for folder in (part,) if part else PARTS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code, detail in _codes_of(ast.parse(path.read_text()), names):
                found.setdefault(code, {}).update({detail: None} if detail else {})
    return [CodeWord(code, tuple(details)) for code, details in sorted(found.items())]


def find_end_reasons() -> list[tuple[str, str]]:
    """Every reason for a lease's end with the comment beside it."""
    notes = dict(re.findall(r'"(\w+)",  # (.+)', inspect.getsource(lease)))
    return [(reason, notes[reason]) for reason in get_args(lease.EndReason)]


def find_statuses() -> list[tuple[str, str]]:
    """Every state of a lease with the comment beside it."""
    notes = dict(re.findall(r'"(\w+)",  # (.+)', inspect.getsource(lease)))
    return [(status, notes[status]) for status in get_args(lease.LeaseStatus)]


def _codes_of(tree: ast.Module, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in names:
            continue
        named = [word.value for word in node.keywords if word.arg == "code"]
        if named and isinstance(named[0], ast.Constant):
            yield str(named[0].value), _sentence_of(node.args[0]) if node.args else ""
            continue
        for code, detail in zip(node.args, [*node.args[1:], None], strict=False):
            if isinstance(code, ast.Constant) and isinstance(code.value, str) and _CODE.fullmatch(code.value):
                yield code.value, _sentence_of(detail)
                break


def _sentence_of(node: ast.expr | None) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_sentence_of(one) if isinstance(one, ast.Constant) else "…" for one in values)
    return ""
