"""Classes: the device classes that a person declares, as NAME=COUNT."""

from __future__ import annotations

import re

from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.errors import UserError


def parse_count(text: str) -> tuple[str, int]:
    """The name and the count of a NAME=COUNT. UserError when it is not one."""
    name, _, count = text.partition("=")
    if not name or not re.fullmatch(r"[0-9]{1,5}", count) or not 0 < int(count) < 1 << 16:
        raise UserError(f"{text[:80]!r} is not NAME=COUNT", where="--class", hint="write it like cpu=8")
    return name, int(count)


def find_declared(counts: list[tuple[str, int]], classes: tuple[DeviceClass, ...]) -> tuple[tuple[int, int], ...]:
    """(class id, count) of each. UserError naming the one that is wrong."""
    known = {one.name: class_id for class_id, one in enumerate(classes)}
    declared: dict[int, int] = {}
    for name, count in counts:
        if name not in known:
            raise UserError("class not found", where=name, hint=f"choose one of: {', '.join(known)}")
        if known[name] in declared:
            raise UserError("duplicate class", where=name, hint="add the counts up")
        declared[known[name]] = count
    return tuple(sorted(declared.items()))
