"""Stored types: a fingerprint of the form of everything that a node stores, by whichever xnode is on the path."""

from __future__ import annotations

import hashlib
from typing import Any, get_args

import msgspec


def hash_stored_types() -> str:
    """sha256 over the names, tags, fields and types of all records, effects and entries."""
    from xnode.node.changes import Entry
    from xnode.node.effects import DurableEffect
    from xnode.node.records import Record

    found: dict[str, list[str]] = {}
    for kind in (Record, DurableEffect, Entry):
        _walk(kind, found)
    lines = [f"{name}: {', '.join(fields)}" for name, fields in sorted(found.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _walk(kind: Any, found: dict[str, list[str]]) -> None:
    for one in get_args(kind):
        _walk(one, found)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)) or kind.__name__ in found:
        return
    config, fields = kind.__struct_config__, msgspec.structs.fields(kind)
    found[kind.__name__] = [
        f"tag={config.tag!r} array={config.array_like}",
        *(f"{one.encode_name}: {_name(one.type)}{'' if one.required else '?'}" for one in fields),
    ]
    for one in fields:
        _walk(one.type, found)


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else repr(kind)
