"""Fields: a page's tree as checked values by a table of keys, with every problem noted on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xnode.errors import InvalidValue
from xnode.jobfile.yaml_tree import Listing, Mapping, Node, Problem, Scalar, suggest


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found wrong so far, and on which line each value is."""

    filename: str
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def note(self, line: int, path: str, text: str, hint: str = "") -> None:
        """One more problem."""
        self.problems.append(Problem(self.filename, line, path, text, hint))


Reader = Callable[[Reading, Node, str], Any]
"""Gives the value, or None after noting the problem."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of value is written: its reader, its JSON Schema, and its name in the reference."""

    read: Reader
    schema: dict[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a map. default and limits are for people; example is YAML that is read without a problem.

    keys: those of the map that the value may be.
    """

    form: Form
    description: str
    example: str
    default: str = ""
    limits: str = ""
    required: bool = False
    keys: dict[str, Key] = field(default_factory=dict)


def make_object_schema(keys: dict[str, Key]) -> dict[str, Any]:
    """The JSON Schema of a map with these keys."""
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {"description": key.description, **key.form.schema} for name, key in keys.items()},
    }
    required = [name for name, key in keys.items() if key.required]
    return schema | ({"required": required} if required else {})


def _find_above(name: str, keys: dict[str, Key]) -> str:
    """Where a key belongs that was written one step too high, or ""."""
    for above, key in keys.items():
        forms = [key.form.schema, *key.form.schema.get("anyOf", [])]
        if any(name in form.get("properties", {}) for form in forms):
            return f"write it below {above}"
    return ""


def read_keys(reading: Reading, node: Node, path: str, keys: dict[str, Key]) -> dict[str, Any]:
    """The values of a map by key, None for those with a problem."""
    entries = read_entries(reading, node, path)
    if entries is None:
        return {}
    values: dict[str, Any] = {}
    for key, value in entries:
        here = join_path(path, key.text)
        known = keys.get(key.text)
        if known is None:
            reading.note(key.line, here, "unknown key", _find_above(key.text, keys) or suggest(key.text, list(keys)))
        else:
            reading.lines[here] = value.line
            values[key.text] = known.form.read(reading, value, here)
    for name, expected in keys.items():
        if expected.required and name not in {key.text for key, _ in entries}:
            reading.note(
                node.line, join_path(path, name), "required key", f"add a line such as {name}: {expected.example}"
            )
    return values


def read_entries(reading: Reading, node: Node, path: str) -> list[tuple[Scalar, Node]] | None:
    """The entries of a map, each key once."""
    if not isinstance(node, Mapping):
        reading.note(node.line, path, "not a map of keys and values", "write each as NAME: VALUE, on lines below it")
        return None
    first: dict[str, int] = {}
    entries = []
    for key, value in node.entries:
        if key.text in first:
            reading.note(key.line, join_path(path, key.text), f"duplicate key (first on line {first[key.text]})")
        else:
            first[key.text] = key.line
            entries.append((key, value))
    return entries


def read_text(reading: Reading, node: Node, path: str) -> str | None:
    """The value as it is written."""
    if not isinstance(node, Scalar):
        reading.note(node.line, path, "a list or a map where one value belongs", "put text in quotes")
    elif node.is_null:
        reading.note(node.line, path, "no value", "give one or remove the line")
    elif "\0" in node.text or any("\ud800" <= char <= "\udfff" for char in node.text):
        reading.note(node.line, path, "has a character that cannot be given to a program")
    else:
        return node.text
    return None


def make_reader(convert: Callable[[str], Any]) -> Reader:
    """A reader of one value; `convert` raises InvalidValue."""

    def read(reading: Reading, node: Node, path: str) -> Any:
        text = read_text(reading, node, path)
        if text is None:
            return None
        try:
            return convert(text)
        except InvalidValue as error:
            reading.note(node.line, path, error.what, error.hint)
            return None

    return read


def make_word_reader(pattern: str, meaning: str, find_hint: Callable[[str], str] = lambda _: "") -> Reader:
    """A reader of one value that must match. find_hint: what may have been meant by another one."""

    def convert(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise InvalidValue(f"{text[:40]!a} is not {meaning}", find_hint(text))
        return text

    return make_reader(convert)


def make_list_reader(read_one: Reader, limit: int) -> Reader:
    """A reader of a list, or of a single value for a list of one."""

    def read(reading: Reading, node: Node, path: str) -> tuple[Any, ...] | None:
        if not isinstance(node, Listing):
            one = read_one(reading, node, path)
            return None if one is None else (one,)
        if len(node.items) > limit:
            reading.note(node.line, path, f"{len(node.items)} entries, the limit is {limit}")
            return None
        read_items = [read_one(reading, item, f"{path}[{place}]") for place, item in enumerate(node.items)]
        return None if None in read_items else tuple(read_items)

    return read


def one_or_list(one: dict[str, Any], limit: int) -> dict[str, Any]:
    """The JSON Schema of what make_list_reader() reads."""
    return {"anyOf": [one, {"type": "array", "items": one, "maxItems": limit}]}


def join_path(path: str, key: str) -> str:
    """The path of a key below a path, safe to print."""
    shown = key if re.fullmatch(r"[\w.-]{1,40}", key, re.ASCII) else ascii(key[:40])
    return f"{path}.{shown}" if path else shown
