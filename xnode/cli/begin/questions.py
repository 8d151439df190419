"""Questions: what a command asks the person at the terminal, and what it takes where nobody shall be asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click

from xnode.errors import ExitCode, UserError

MAX_ANSWER_CHARS = 200
"""Of a line that a person types; a longer one was pasted by mistake."""


@dataclass(frozen=True, slots=True)
class Questions:
    """yes: nobody is asked, and every default is taken."""

    yes: bool

    def require_someone(self) -> None:
        """Raise UserError where questions would be asked of no one."""
        if not self.yes and not sys.stdin.isatty():
            raise UserError(
                "this command asks questions, and this is not a terminal",
                hint="--yes takes the default of each",
                code=ExitCode.REFUSED,
            )

    def ask(self, question: str, default: str) -> str:
        """What the person types, or the default."""
        if self.yes:
            return default
        text: str = click.prompt(question, default=default, err=True)
        if len(text) > MAX_ANSWER_CHARS:
            raise UserError(f"an answer of {len(text)} characters", where=question, hint="type a short one")
        return text.strip()

    def agree(self, question: str, hint: str) -> None:
        """Raise UserError when the person says no. hint: what to do instead."""
        if not self.yes and not click.confirm(question, default=True, err=True):
            raise UserError("not agreed: nothing more was done", hint=hint, code=ExitCode.REFUSED)
