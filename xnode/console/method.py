"""Method: one control method: its name, the struct of its parameters, what it gives back, and the function that answers.

A new one costs one function under `@control_method("noun.verb")` in a module of this folder: it is found there, its parameters
are checked strictly, and docs/control.md is written from it (`python docs/generate.py`).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints

import msgspec

import xnode.console
from xnode.console.console import Console
from xnode.control.server import Method
from xnode.errors import UserError

P = TypeVar("P", bound=msgspec.Struct)

Answer = Callable[[Console, P], Awaitable[Any] | AsyncIterator[Any]]
"""An async function answers once; an async generator streams its items."""


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For methods that take none."""


@dataclass(frozen=True, slots=True)
class ControlMethod(Generic[P]):
    """See the module. summary: its docstring."""

    name: str
    params: type[P]
    result: Any
    streams: bool
    summary: str
    answer: Answer[P]

    def bind(self, console: Console) -> Method:
        """The method as the control socket calls it. Raises UserError for parameters that it does not have."""

        def answer(params: dict[str, Any]) -> Awaitable[Any] | AsyncIterator[Any]:
            return self.answer(console, self._read(params))

        return answer

    def _read(self, params: dict[str, Any]) -> P:
        try:
            return msgspec.convert(params, self.params)
        except msgspec.ValidationError as error:
            raise UserError(str(error), where=self.name, hint="see docs/control.md for its parameters") from error


def control_method(name: str) -> Callable[[Answer[P]], ControlMethod[P]]:
    """Makes `async def answer(console, params: SomeStruct) -> View` the control method of this name."""

    def register(answer: Answer[P]) -> ControlMethod[P]:
        hints = get_type_hints(answer)
        params, result = [hints[one] for one in inspect.signature(answer).parameters][1], hints["return"]
        streams = inspect.isasyncgenfunction(answer)
        if streams:
            (result,) = get_args(result)
        return ControlMethod(name, params, result, streams, inspect.getdoc(answer) or "", answer)

    return register


def find_methods() -> Mapping[str, ControlMethod[Any]]:
    """Every control method of this folder, by name."""
    found: dict[str, ControlMethod[Any]] = {}
    for module in pkgutil.iter_modules(xnode.console.__path__, "xnode.console."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, ControlMethod):
                assert found.setdefault(value.name, value) is value, f"two control methods are named {value.name}"
    return dict(sorted(found.items()))


def bind_methods(console: Console) -> dict[str, Method]:
    """What serve_control needs."""
    return {name: method.bind(console) for name, method in find_methods().items()}
