"""Config file: home's config.toml on disk, read as a table and replaced in one step."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given_text
from xnode.home import Home

MAX_CONFIG_BYTES = 1 << 20
"""A config has a screenful; more is the wrong file."""

PRIVATE = 0o600
"""Mode of a config that is new: a database URL may hold a password."""


def read_table(home: Home) -> dict[str, Any]:
    """config.toml as it is, {} when there is none: the environment alone can configure a node."""
    text = _read_text(home)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"not valid TOML: {error}", where=str(home.config)) from error


def write_config(home: Home, table: Mapping[str, Any]) -> None:
    """Make config.toml say this table. What a person wrote around the values stays: comments, order, commented-out lines.

    A new file has every setting, those left out as a comment with their default. Raises UserError, and then the file is as
    it was.
    """
    # Every command reads; only those that write pay for the models and the TOML writer.
    from xnode.config.document import make_document, next_document

    text = _read_text(home)
    home.make()
    _replace(home.config, next_document(text, table) if text.strip() else make_document(table))


def _read_text(home: Home) -> str:
    try:
        return read_given_text(home.config, MAX_CONFIG_BYTES)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(home.config)) from error


def _replace(path: Path, text: str) -> None:
    # Through a link: the file may be kept elsewhere, in a repository or by another program.
    target = Path(os.path.realpath(path))
    new = target.with_name(f"{target.name}.new")
    try:
        try:
            _write_like(target, new, text)
            new.replace(target)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
    except OSError as error:
        raise UserError(
            f"cannot be replaced, so it stays as it was ({error.strerror})",
            where=str(path),
            hint="change it where it is mounted from, or set XNODE_SECTION__KEY in the environment",
            code=ExitCode.FAILED,
        ) from error


def _write_like(target: Path, new: Path, text: str) -> None:
    """Write the text to `new`, durable, with the mode and the owner that `target` has."""
    found = target.stat() if target.exists() else None
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), stat.S_IMODE(found.st_mode) if found else PRIVATE)
        if found:
            # Root may change a price of a daemon that runs as another user, who must be able to read it afterwards.
            with suppress(PermissionError):
                os.fchown(file.fileno(), found.st_uid, found.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
