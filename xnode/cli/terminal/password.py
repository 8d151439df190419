"""Password: from a file (--password-file, ETH_PASSWORD) or from the person at the terminal; never from an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xnode.cli.terminal.given import GivenPath
from xnode.errors import UserError

Command = TypeVar("Command", bound=Callable[..., Any])

VARIABLE = "ETH_PASSWORD"
"""A file's path, as for cast."""


def password_option(command: Command) -> Command:
    """Adds --password-file as `password_file`."""
    return click.option(
        "--password-file",
        type=GivenPath(path_type=Path),
        help=f"File with the wallet's password.  [default: ${VARIABLE}, else asked]",
    )(command)


def find_password(password_file: Path | None, what: str, new: bool = False) -> str:
    """The password for `what`; a new one is asked for twice. Raises UserError where there is no terminal."""
    named = password_file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named:
        from xnode.wallet.keystore import read_password

        return read_password({}, named) or ""
    if not sys.stdin.isatty():
        raise UserError(
            "a password is needed, and this is not a terminal",
            where=what,
            hint=f"use --password-file, or set {VARIABLE} to a file's path",
        )
    text: str = click.prompt(
        f"Password for {what}", hide_input=True, confirmation_prompt=new, err=True, default="", show_default=False
    )
    if not text:
        raise UserError(
            "the password is empty",
            where=what,
            hint="choose one; it protects a stolen copy of the file",
        )
    return text
