"""Mark: which version used a data folder last, and which form its records have: older code refuses it before it touches it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from xnode import __version__
from xnode.durable import replace_file
from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given

FORM = 1
"""Of what is stored: entries, records and effects, and the files of the data folder. It rises with the first change after a
release that the release before could not read; a test compares the types with those of the newest release."""

OLDEST_FORM = 0
"""The oldest that is still read. 0: of 0.5.0 and before, which left no mark."""

NAME = "version.json"

MAX_BYTES = 4096
"""Ours has a line."""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """version: of the program that used the folder last, "" for one of 0.5.0 and before; form: of what it stores."""

    version: str = ""
    form: int = 0


def read_mark(data: Path) -> Mark:
    """The folder's mark. Raises UserError when it is there and cannot be read: then nothing is known of the folder."""
    path = data / NAME
    try:
        return msgspec.json.decode(read_given(path, MAX_BYTES), type=Mark)
    except FileNotFoundError:
        return Mark()
    except (msgspec.DecodeError, OSError) as error:
        raise UserError(
            f"the mark of the version that used this data last cannot be read ({str(error)[:120]})",
            where=str(path),
            hint="put it back from a backup of the same time as the database",
            code=ExitCode.CONFLICT,
        ) from error


def require_readable(data: Path) -> None:
    """Raise UserError, and touch nothing, when this version cannot read what another one left in the data folder."""
    mark = read_mark(data)
    if mark.form > FORM:
        raise UserError(
            f"xnode {mark.version[:40]} has used this data, and {__version__} cannot read what it writes",
            where=str(data),
            hint=f"run xnode {mark.version[:40]} or newer, or restore the backup from before the upgrade",
            code=ExitCode.CONFLICT,
        )
    if mark.form < OLDEST_FORM:
        raise UserError(
            f"xnode {mark.version[:40] or '0.5.0 or older'} left this data, and {__version__} no longer reads its form",
            where=str(data),
            hint="start a version between the two once, let it bring the data up to date, then this one",
            code=ExitCode.CONFLICT,
        )


def write_mark(data: Path) -> None:
    """Say that this version uses the folder from now on. Call it before anything of the new form is written. Blocking."""
    mark = Mark(__version__, FORM)
    if read_mark(data) != mark:
        replace_file(data / NAME, json.dumps(msgspec.to_builtins(mark)) + "\n", 0o600)
