"""Errors: a fault is the world failing (Retryable or Permanent); a UserError is one line for a person, with an exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import IntEnum
from typing import overload


class _Fault(Exception):
    """message: one sentence that names what and where; hint: what to do about it. str() is both on one line, for logs."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Retryable(_Fault):
    """The world failed and may do better later: the same effect is worth another try."""


class Unreachable(Retryable):
    """Every address of a node was tried, and none led to it: worth a later try, and no wait now."""


class Permanent(_Fault):
    """The world refused in a way that asking again will not change. code: a stable word for programs, as in a Refusal;
    told: what another node may know of it, in our own words ("": nothing but the code): the message may quote programs
    and name places of this host."""

    def __init__(self, message: str, *, code: str = "failed", hint: str = "", told: str = "") -> None:
        self.reason_code, self.told = code, told
        super().__init__(message, hint=hint)

    def again(self) -> Permanent:
        """The same fault for another task: one exception object is never raised in two."""
        return Permanent(self.message, code=self.reason_code, hint=self.hint, told=self.told)


class ExitCode(IntEnum):
    """What the command line's exit codes mean: the help of `xnode` and docs/exit-codes.md are made from it."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> ExitCode:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "done"
    FAILED = 1, "failed"
    USAGE = 2, "wrong arguments or settings"
    NO_DAEMON = 3, "no daemon is running"
    NOT_FOUND = 4, "not found"
    REFUSED = 5, "refused"
    NO_MATCH = 6, "no offer fits"
    FUNDS = 7, "not enough money"
    UNREACHABLE = 8, "peer or chain unreachable"
    TIMEOUT = 9, "timed out"
    CONFLICT = 10, "conflict: it exists already, or is busy"
    PARTIAL = 11, "the job is done, but not all that it left is here: `xnode job cp` fetches the rest"


class UserError(Exception):
    """What a person did wrong or must do. `where` names the file, field or address; `hint` what to do about it.

    str() is all of it on one line, for logs; the terminal gives the hint a line of its own.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "", code: ExitCode = ExitCode.USAGE) -> None:
        self.what, self.where, self.hint, self.code = what, where, hint, code
        super().__init__(what)

    @property
    def sentence(self) -> str:
        """Where and what, without the hint."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.sentence}; {self.hint}" if self.hint else self.sentence


def describe_os_error(error: OSError) -> str:
    """One line: where, as far as the system says it, and what."""
    what = error.strerror or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {what}" if isinstance(error.filename, str | bytes) else what


class InvalidValue(ValueError):
    """A text is not the value that it should be. hint: how to write it. str() is both on one line, for logs."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}; {hint}" if hint else what)


@overload
def real_error_of(error: Exception) -> Exception: ...
@overload
def real_error_of(error: BaseException) -> BaseException: ...
def real_error_of(error: BaseException) -> BaseException:
    """What a group of errors is about; an error outside a group is itself. Nurseries wrap whatever is raised in them.

    An interrupt explains everything beside it; then comes what says most about what to do. Several errors of which none
    is meant for a person stay a group.
    """
    leaves = list(_leaves_of(error))
    for kind in (KeyboardInterrupt, UserError, Permanent, Retryable):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0] if len(leaves) == 1 else error


def _leaves_of(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves_of(inner)
    else:
        yield error
