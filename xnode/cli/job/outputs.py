"""Outputs: copies the files a job left out of the blob store, by names that a stranger chose."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from xnode.cli.terminal.screen import printable, say
from xnode.control.views import OutputRow
from xnode.errors import ExitCode, Permanent, UserError

_PIECE_BYTES = 1 << 20


def copy_outputs(rows: Iterable[OutputRow], into: Path, force: bool) -> list[Path]:
    """Copy each file to into/path, checking its hash. Raises UserError where another file is in the way."""
    copied = []
    for row in rows:
        target = into / check_output_path(row.path)
        if not row.file:
            raise UserError(
                "not fetched from the provider yet",
                where=row.path,
                hint="try again when the job has ended",
                code=ExitCode.NOT_FOUND,
            )
        _copy(Path(row.file), target, row.sha256.removeprefix("0x"), force)
        copied.append(target)
    return copied


def choose_outputs(rows: Iterable[OutputRow], only: tuple[str, ...]) -> list[OutputRow]:
    """Those whose path matches one of the patterns; all of them without patterns."""
    return [row for row in rows if not only or any(fnmatchcase(row.path, pattern) for pattern in only)]


def place_outputs(rows: list[OutputRow], into: Path, other: str) -> Path:
    """Copy into the folder, or into one of the name `other` beside it when a different file is in the way.

    The provider chose the files' names: none of ours is overwritten unasked.
    """
    try:
        copy_outputs(rows, into, force=False)
    except UserError as error:
        if error.code != ExitCode.CONFLICT:
            raise
        say(f"{error.where} is there already and is kept")
        into = into.with_name(other)
        copy_outputs(rows, into, force=True)
    return into


def check_output_path(text: str) -> PurePosixPath:
    """The path, relative and inside its folder. Raises Permanent: the provider named it, and could aim at ~/.ssh."""
    path = PurePosixPath(text)
    if not path.parts or path.is_absolute() or ".." in path.parts or printable(text) != text:
        raise Permanent(f'the provider named an output "{printable(text[:80])}", which is not a path inside a folder')
    return path


def _copy(source: Path, target: Path, sha256: str, force: bool) -> None:
    if target.exists() and not force:
        if target.is_file() and _hash_file(target) == sha256:
            return
        raise UserError(
            "exists and is different", where=str(target), hint="use --force to replace it", code=ExitCode.CONFLICT
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as write:
        temporary = Path(write.name)
        try:
            if _copy_hashed(read, write) != sha256:
                raise Permanent(
                    f"{source} does not match the output's hash", hint="the disk may be failing: see `dmesg`"
                )
            write.flush()
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _copy_hashed(read: IO[bytes], write: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := read.read(_PIECE_BYTES):
        digest.update(piece)
        write.write(piece)
    return digest.hexdigest()


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
