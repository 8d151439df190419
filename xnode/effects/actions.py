"""Actions: which method of a role's adapters performs which effect, registered beside the method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from xnode.node.changes import Change
from xnode.node.effects import DurableEffect

A = TypeVar("A")
E = TypeVar("E", bound=msgspec.Struct)


class Actions(Generic[A]):
    """The methods of one role's class A; as a decorator it ties each to its effect, which mypy checks."""

    def __init__(self) -> None:
        self._methods: dict[type[msgspec.Struct], Callable[[A, Any], Awaitable[Change]]] = {}

    def __call__(
        self, effect: type[E]
    ) -> Callable[[Callable[[A, E], Awaitable[Change]]], Callable[[A, E], Awaitable[Change]]]:
        """Decorates the method for this effect; an effect has only one."""

        def register(method: Callable[[A, E], Awaitable[Change]]) -> Callable[[A, E], Awaitable[Change]]:
            assert effect not in self._methods, f"{effect.__name__} has an adapter already"
            self._methods[effect] = method
            return method

        return register

    def find(self, effect: DurableEffect) -> Callable[[A, Any], Awaitable[Change]] | None:
        """The method for this effect, or None when this role has none."""
        return self._methods.get(type(effect))

    def effects(self) -> frozenset[type[msgspec.Struct]]:
        """What this role performs."""
        return frozenset(self._methods)
