"""One name: the cores as modules of xnode, for a wheel that owns a single name at the top.

`metering` and `scheduler` are other people's distributions on the index too; installed side by side, each would write into the
other's folder. In the wheel they are `xnode.metering` and `xnode.scheduler`: real modules with real names, so that pickles,
tracebacks and `python -m` agree, and nothing is patched when the program runs. Standard library only: the build hook's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

OUTER = "xnode"

INNER = ("metering", "scheduler")
"""Packages at the top of the repository that lie within OUTER in the wheel."""

_DOTTED = re.compile(rf"(?:{'|'.join(INNER)})(?:\.\w+)*(?::\w+)?")


class NotRenamed(Exception):
    """A module names one of INNER in a way that the wheel would break. str() says which, where and what to write instead."""


def place_of(path: str) -> str:
    """Where a file of the repository lies in the wheel. path: below the repository's root, with slashes."""
    return f"{OUTER}/{path}" if path.partition("/")[0] in INNER else path


def rename_imports(source: bytes, path: str, modules: Mapping[str, str]) -> bytes:
    """A module's source as it stands in the wheel: each line where it was.

    path: for messages; modules: each module of the repository with its file. Raises NotRenamed.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        for reason in _reasons_against(node, modules):
            raise NotRenamed(f"{path}:{getattr(node, 'lineno', 1)}: {reason}")
        if isinstance(node, ast.ImportFrom) and not node.level and _is_inner(node.module or ""):
            before, line = lines[node.lineno - 1][: node.col_offset], lines[node.lineno - 1][node.col_offset :]
            assert node.module is not None and line.startswith(f"from {node.module}".encode()), f"{path}:{node.lineno}"
            lines[node.lineno - 1] = before + line.replace(b"from ", f"from {OUTER}.".encode(), 1)
    return b"".join(lines)


def _reasons_against(node: ast.AST, modules: Mapping[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _is_inner(alias.name):
                yield f"`import {alias.name}` binds a name that a wheel has not; write `from {alias.name} import ...`"
    # What is imported by its name in a text; prose has more around it.
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
        name = node.value.partition(":")[0]
        if "." in name and name in modules:
            yield f'the text "{node.value}" names a module by what it is called outside of a wheel'


def _is_inner(module: str) -> bool:
    return module.partition(".")[0] in INNER
