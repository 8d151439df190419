"""Registry: which function handles which change, alarm or failed effect.

Each handler is registered beside what it decides, so that a new change, record or effect touches no file that imports all
others. The alternative, one `match` that ends in `assert_never`, would have mypy say what is missing; but every new thing
would have to be added there too. Here mypy checks each handler against the class it is registered for, and
tests/xnode/node/test_registry.py checks that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import msgspec

from metering.refusal import Refusal
from xnode.node.effects import DurableEffect
from xnode.node.state import Turn

T = TypeVar("T", bound=msgspec.Struct)
P = ParamSpec("P")


class Registry(Generic[P]):
    """One function for each class of things; it is called with the turn, the thing, and what P names besides."""

    def __init__(self) -> None:
        self._functions: dict[type[msgspec.Struct], Callable[Concatenate[Turn, Any, P], None]] = {}

    def __call__(
        self, subject: type[T]
    ) -> Callable[[Callable[Concatenate[Turn, T, P], None]], Callable[Concatenate[Turn, T, P], None]]:
        """Decorates the function for this class; a class has only one."""

        def register(function: Callable[Concatenate[Turn, T, P], None]) -> Callable[Concatenate[Turn, T, P], None]:
            assert subject not in self._functions, f"{subject.__name__} has a handler already"
            self._functions[subject] = function
            return function

        return register

    def find(self, subject: T) -> Callable[Concatenate[Turn, T, P], None]:
        """The function for the class of this. Raises KeyError when there is none, which is a bug."""
        return self._functions[type(subject)]

    def subjects(self) -> frozenset[type[msgspec.Struct]]:
        """The classes that have a function."""
        return frozenset(self._functions)


handles: Registry[[]] = Registry()
"""@handles(changes.LeaseRequested): what follows from such a change."""

wakes: Registry[[]] = Registry()
"""@wakes(ProviderLease): what a record of this kind does when its wake_at_ns has come."""

resumes: Registry[[int]] = Registry()
"""@resumes(ProviderLease): what becomes of such a record after we were away for so many nanoseconds (below zero: our clock was
set back). The other side gets the time it was promised, counted from when it could have been heard."""

KEEPS_TIME: dict[type[msgspec.Struct], str] = {}
"""Records with an alarm to which an absence makes no difference, each with the reason."""


def keep_time(record: type[msgspec.Struct], why: str) -> None:
    """Say that an absence of ours changes nothing of this record, and why that judges nobody."""
    KEEPS_TIME[record] = why
    resumes(record)(_keep)


def _keep(_turn: Turn, _record: object, _away_ns: int) -> None:
    """See KEEPS_TIME."""


on_failure: Registry[[Refusal]] = Registry()
"""@on_failure(effects.OpenEscrow): what follows when such an effect cannot be done, or not in time, and why."""

IGNORED_FAILURES: dict[type[msgspec.Struct], str] = {}
"""Effects from whose failure nothing follows, each with the reason."""


def ignore_failure(effect: type[DurableEffect], why: str) -> None:
    """Say that nothing follows when the effect fails, and why that is safe."""
    IGNORED_FAILURES[effect] = why
    on_failure(effect)(_do_nothing)


def _do_nothing(_turn: Turn, _effect: object, _refusal: Refusal) -> None:
    """See IGNORED_FAILURES."""
