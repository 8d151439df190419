"""Control page: docs/control.md, made from the control methods and the views."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from xnode.console.method import ControlMethod, find_methods
from xnode.control import views

INTRODUCTION = (
    "A running node answers on a unix socket in its home (`control.sock`), for its own user only. A request is one line of "
    "JSON, and so is every answer; [the client](../xnode/control/client.py) needs the standard library alone, and every "
    "command of `xnode` that asks a daemon goes this way.",
    """```
{"id": 1, "method": "job.show", "params": {"job_id": "0x9ebb"}}
{"id": 1, "result": {"job": {"job_id": "0x9ebbe8f5...", ...}, ...}}
```""",
    'A method that streams answers `{"id": 1, "item": ...}` for each item and `{"id": 1, "end": true}` at the end. An error '
    'is `{"id": 1, "error": {"code", "message", "hint", "exit_code"}}`; the exit codes are those of the command line. A '
    "parameter that a method does not have is an error.",
    "Hashes and addresses are 0x hex. Money is a decimal string in the asset named beside it, exact. Times are nanoseconds "
    "UTC. What is not known is null.",
)


def control_sections() -> Iterator[str]:
    """The page below its title, part by part."""
    yield from INTRODUCTION
    yield "## Methods"
    for method in find_methods().values():
        yield from _describe_method(method)
    yield "## Views"
    for view in list_views():
        yield from (f"### {view.__name__}", inspect.getdoc(view) or "", _describe_fields(view))


def list_views() -> Iterator[type[msgspec.Struct]]:
    """Every view, in the order of the file."""
    for value in vars(views).values():
        if inspect.isclass(value) and issubclass(value, msgspec.Struct):
            yield value


def _describe_method(method: ControlMethod[Any]) -> Iterator[str]:
    yield f"### {method.name}"
    yield method.summary
    if msgspec.structs.fields(method.params):
        yield from (_find_notes(method.params), _describe_fields(method.params))
    yield f"{'Streams' if method.streams else 'Gives'}: {_name_type(method.result)}"


def _find_notes(params: type[msgspec.Struct]) -> str:
    """What is said of the parameters, those of the structs it extends first."""
    own = [one for one in reversed(params.__mro__) if issubclass(one, msgspec.Struct) and one is not msgspec.Struct]
    return " ".join(inspect.cleandoc(one.__doc__) for one in own if one.__doc__)


def _describe_fields(struct: type[msgspec.Struct]) -> str:
    hints = get_type_hints(struct)
    rows = [
        f"| `{field.name}` | {_name_type(hints[field.name])} | {_show_default(field)} |"
        for field in msgspec.structs.fields(struct)
    ]
    return "\n".join(["| name | type | default |", "| --- | --- | --- |", *rows])


def _show_default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(default).decode()}`"


def _name_type(kind: Any) -> str:
    """A type in words: "list of [JobRow](#jobrow)", "text or null"."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join("null" if one is NoneType else _name_type(one) for one in inner)
    if origin in (list, tuple):
        return f"list of {_name_type(inner[0])}"
    if origin is Literal:
        return "one of " + ", ".join(f"`{one}`" if one else "empty" for one in inner)
    if origin is dict:
        return f"{_name_type(inner[1])} by name"
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[kind]
