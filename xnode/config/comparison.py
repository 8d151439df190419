"""Comparison: two configs setting by setting, and one hash of all of them that another node can be told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from xnode.config.catalog import Setting, settings
from xnode.config.origins import find_section, show_written
from xnode.config.settings import Config


class Difference(NamedTuple):
    """A setting that two configs have otherwise. before, after: as written, "" where there is none; is_live: a running daemon can
    take it."""

    name: str
    before: str
    after: str
    is_live: bool


def find_differences(before: Config, after: Config) -> tuple[Difference, ...]:
    """What is otherwise in effect; how a value is written ("60s" or "1m"), and where, makes no difference."""
    return tuple(_list_differences(before, after))


def settings_hash_of(config: Config) -> bytes:
    """SHA-256 of every setting in effect, defaults included, as JSON with sorted names.

    Left out is what names a place of this host or may hold a secret (data_dir, password_file, database_url, manifest,
    rpc_url): so two hosts that are declared alike have one hash, and nothing can be guessed from it that is not offered.
    """
    values = {one.path: _value_of(config, one) for one in settings() if not one.is_local}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()


def _list_differences(before: Config, after: Config) -> Iterator[Difference]:
    for one in settings():
        if _value_of(before, one) != _value_of(after, one):
            yield Difference(one.path, show_written(before, one), show_written(after, one), one.is_live)


def _value_of(config: Config, setting: Setting) -> Any:
    """The value in effect in one form; None where there is no such section."""
    value = getattr(find_section(config, setting.section), setting.field, None)
    match value:
        case None | bool() | int() | float():
            return value
        case bytes():
            return f"0x{value.hex()}"
        case tuple():
            return [str(one) for one in value]
    return _plain_price(str(value)) if setting.section == "provider.prices" else str(value)


def _plain_price(text: str) -> str:
    """One spelling for each price: 0.50 is 0.5."""
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text
