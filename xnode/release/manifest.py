"""Manifest: the files of a release with their SHA-256, and how a folder differs from it."""

from __future__ import annotations

import hashlib
import marshal
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER, source_from_cache
from pathlib import Path
from typing import Literal

_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_HEADER_BYTES = 16
"""Of a compiled module, before its code (PEP 552)."""

How = Literal["changed", "missing", "added"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not as it was shipped. name: below the folder, with slashes."""

    how: How
    name: str


def read_manifest(text: str) -> dict[str, str]:
    """The SHA-256, hex, of each file, by its name. Raises ValueError for a line that is none, with its number."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or ".." in match[2].split("/") or match[2].startswith("/"):
            raise ValueError(f"line {number} is not `SHA256  NAME`")
        found[match[2]] = match[1]
    return found


def find_differences(folder: Path, manifest: Mapping[str, str], without: frozenset[str]) -> Iterator[Difference]:
    """What below the folder is not as the manifest says, by name. without: files that it cannot name, itself and its signature.

    A compiled module must be what its source gives on this Python; of another Python's nothing is known, and it is not run.
    """
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(manifest.keys() | there.keys()):
        if name in without:
            continue
        if name not in there:
            yield Difference("missing", name)
        elif name not in manifest:
            if not _is_compiled_from_ours(there[name], folder, manifest):
                yield Difference("added", name)
        elif not there[name].is_file() or hash_file(there[name]) != manifest[name]:
            yield Difference("changed", name)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_compiled_from_ours(path: Path, folder: Path, manifest: Mapping[str, str]) -> bool:
    if path.suffix != ".pyc" or path.parent.name != "__pycache__":
        return False
    try:
        source = Path(source_from_cache(str(path)))
    except ValueError:
        return False
    if source.relative_to(folder).as_posix() not in manifest:
        return False
    data = path.read_bytes()
    if data[: len(MAGIC_NUMBER)] != MAGIC_NUMBER:
        return True
    level = next((int(part[4:]) for part in path.name.split(".") if re.fullmatch(r"opt-\d", part)), 0)
    try:
        # The code is read, not run. Code objects are equal when they do the same, wherever they were compiled.
        compiled = marshal.loads(data[_HEADER_BYTES:])
        return bool(
            compiled == compile(source.read_bytes(), compiled.co_filename, "exec", dont_inherit=True, optimize=level)
        )
    except (ValueError, EOFError, TypeError, AttributeError, SyntaxError, OSError):
        return False
