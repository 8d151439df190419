"""Misfit: what is wrong in a TOML file of a deployment, in one sentence with line and key; the validating library's words are for
programmers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from xnode.errors import UserError

Place = tuple[str | int, ...]
"""Names of tables and keys, and numbers in lists, from the outermost on."""

_KINDS = {
    "int": "a whole number",
    "float": "a number with a fraction",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "bytes": "an address, 0x and 40 hex digits in quotes",
    "null": "nothing",
    "datetime": "a date",
    "date": "a date",
    "time": "a time",
}
"""What the library calls a kind of value, and what a person who writes TOML calls it."""

_WRONG_KIND = re.compile(r"Expected `([a-z]+)(?: \| null)?`, got `([a-z]+)`")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_NO_CHOICE = re.compile(r"Invalid enum value (.+)")
_AT = re.compile(r" - at `(?:key in )?\$(.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+|\.\.\.)\]")


def explain_misfit(error: msgspec.ValidationError, kind: type, text: str, where: str, hint: str) -> UserError:
    """The error of `text`, read as a struct of this kind, for a person. where: the file; hint: when nothing better is known."""
    told = str(error)
    at = _AT.search(told)
    place = _read_place(at[1]) if at else ()
    what = told[: at.start()] if at else told
    if found := _WRONG_KIND.fullmatch(what):
        what = f"must be {_KINDS.get(found[1], found[1])}, not {_KINDS.get(found[2], found[2])}"
    elif found := _MISSING.fullmatch(what):
        # The line is that of its table: the key has none.
        return make_misfit(
            text, where, place, f"{say_key((*place, found[1]))}: required key is missing", f"add it: {hint}"
        )
    elif found := _UNKNOWN.fullmatch(what):
        near = get_close_matches(found[1], _list_names(kind, place), n=1)
        place = (*place, found[1])
        what, hint = "unknown key", f"did you mean {near[0]}?" if near else f"remove it: {hint}"
    elif found := _NO_CHOICE.fullmatch(what):
        choices = ", ".join(_list_choices(kind, place))
        what = f"must be one of {choices}, not {found[1]}" if choices else f"{found[1]} is not known"
    key = say_key(place)
    return make_misfit(text, where, place, f"{key}: {what}" if key else what, hint)


def make_misfit(text: str, where: str, place: Place, what: str, hint: str) -> UserError:
    """An error about one key of a file's text, with its line. what: begins with the key."""
    line = find_line(text, place)
    return UserError(what, where=f"{where}:{line}" if line else where, hint=hint)


def find_line(text: str, place: Place) -> int:
    """The line of a key in a TOML file, or else of its table; 0 where neither is found, as in a list of tables on one line."""
    best, best_depth = 0, 0
    table: Place = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]", line):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table = (*table, counts[header[2]])
            here = table
        elif key := re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line):
            here = (*table, key[1])
        else:
            continue
        if len(here) > best_depth and place[: len(here)] == here:
            best, best_depth = number, len(here)
    return best


def _read_place(path: str) -> Place:
    """ ".classes[0].kind" as its steps; "[...]", any entry of a list, ends it."""
    steps: list[str | int] = []
    for name, number in _STEP.findall(path):
        if number == "...":
            break
        steps.append(name or int(number))
    return tuple(steps)


def say_key(place: Place) -> str:
    """A place as people write it: "classes[0].kind"."""
    said = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return said.removeprefix(".")


def _find_type(kind: Any, place: Sequence[str | int]) -> Any:
    """What is declared at a place of a struct; None when nothing is."""
    for step in place:
        if isinstance(step, int):
            kind = next(iter(get_args(kind)), None)
        else:
            kind = get_type_hints(kind).get(step) if isinstance(kind, type) else None
        if kind is None:
            return None
    return kind


def _list_names(kind: type, table: Place) -> list[str]:
    """The keys that a table has."""
    return list(getattr(_find_type(kind, table), "__struct_fields__", ()))


def _list_choices(kind: type, place: Place) -> list[str]:
    declared = _find_type(kind, place)
    return [str(one) for one in get_args(declared)] if get_origin(declared) is Literal else []
