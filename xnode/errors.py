"""Errors: a fault is the world failing (Retryable or Permanent); a UserError is one line for a person, with an exit code."""

from __future__ import annotations

from enum import IntEnum


class Retryable(Exception):
    """The world failed and may do better later: the same effect is worth another try."""


class Permanent(Exception):
    """The world said no in a way that asking again will not change. str() is one line naming what, where, what to do.

    code: a stable word for programs, as in a Refusal.
    """

    def __init__(self, message: str, *, code: str = "failed") -> None:
        self.reason_code = code
        super().__init__(message)


class ExitCode(IntEnum):
    """What the command line's exit codes mean; printed in the manual."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NOT_FOUND = 4
    REFUSED = 5
    NO_MATCH = 6
    FUNDS = 7
    UNREACHABLE = 8
    TIMEOUT = 9
    CONFLICT = 10


class UserError(Exception):
    """What a person did wrong or must do. `where` names the file, field or address; `todo` what to do about it."""

    def __init__(self, what: str, *, where: str = "", todo: str = "", code: ExitCode = ExitCode.USAGE) -> None:
        self.what, self.where, self.todo, self.code = what, where, todo, code
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.todo}" if self.todo else text
