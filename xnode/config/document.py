"""Document: the text of a config.toml that says a table, with a comment on each setting; what is there already stays."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import tomlkit
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import Table

from xnode.config.catalog import Section, Setting, sections

COMMENT_COLUMN = 44


def make_document(table: Mapping[str, Any]) -> str:
    """A new text: every setting, those that the table leaves out as a comment with their default."""
    lines = ["# xnode's settings. XNODE_SECTION__KEY in the environment overrides any of them."]
    for section in sections():
        values = _find_table(table, section.name)
        if values is not None or not section.optional:
            lines += ["", *_section_lines(section, values or {})]
    return _settled("\n".join(lines) + "\n", table)


def next_document(text: str, table: Mapping[str, Any]) -> str:
    """The text changed where it differs from the table: a commented-out setting is uncommented in its place, and a new
    section comes last."""
    for section in sections():
        values = _find_table(table, section.name)
        before = _find_table(tomllib.loads(text), section.name)
        if values is not None and before is None:
            text = _if_valid("\n".join([text.rstrip(), "", *_section_lines(section, values), ""]), text)
        elif values is not None and before is not None:
            for name in values.keys() - before.keys():
                text = _uncommented(text, section.name, name)
    return _settled(text, table)


def _settled(text: str, table: Mapping[str, Any]) -> str:
    """The text with exactly the table's values: what is right already is not touched."""
    document = tomlkit.parse(text)
    _set_values(document, table)
    result = tomlkit.dumps(document)
    assert _without_empty(tomllib.loads(result)) == _without_empty(table), "the config would say something else"
    return result


def _set_values(there: MutableMapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in [name for name in there if name not in wanted]:
        # A section is emptied and stays: it holds the comments on what could stand in it.
        if isinstance(there[name], Table | OutOfOrderTableProxy):
            _set_values(there[name], {})
        else:
            del there[name]
    for name, value in wanted.items():
        found = there.get(name)
        if isinstance(found, MutableMapping) and isinstance(value, Mapping):
            _set_values(found, value)
        elif found != value or type(value) is bool or name not in there:
            there[name] = value


def _uncommented(text: str, section: str, name: str) -> str:
    """The text with the commented-out line of this setting uncommented, when there is one."""
    header = re.search(rf"^\[{re.escape(section)}\][^\n]*$", text, re.MULTILINE)
    if not header:
        return text
    end = re.compile(r"^\[", re.MULTILINE).search(text, header.end())
    body = text[header.end() : end.start() if end else len(text)]
    line = re.search(rf"^# ?({re.escape(name)} = [^\n]*)$", body, re.MULTILINE)
    if not line:
        return text
    start, stop = header.end() + line.start(), header.end() + line.end()
    return _if_valid(text[:start] + line[1] + text[stop:], text)


def _if_valid(changed: str, before: str) -> str:
    """The changed text, or the one before when it is not TOML: an inline table, say, cannot be followed by its section."""
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        return before
    return changed


def _section_lines(section: Section, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{section.name}]"
    for setting in section.settings:
        if setting.name in values:
            yield _setting_line("", setting, values[setting.name])
        elif not setting.required:
            yield _setting_line("# ", setting, setting.default)


def _setting_line(mark: str, setting: Setting, value: Any) -> str:
    text = f"{mark}{setting.name} = {tomlkit.item(value).as_string()}"
    return f"{text:<{COMMENT_COLUMN}}  # {setting.description}"


def _find_table(table: Mapping[str, Any], section: str) -> Mapping[str, Any] | None:
    found: Any = table
    for name in section.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _without_empty(table: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: _without_empty(one) if isinstance(one, Mapping) else one for name, one in table.items()}
    return {name: one for name, one in plain.items() if one != {}}
