"""Origins: for every setting what it is and where that came from: the file, the environment, or its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic_settings import EnvSettingsSource

from xnode.config.catalog import Setting, settings
from xnode.config.settings import Config, Settings, Written

DEFAULT, FILE = "default", "file"

HIDDEN = "***"


class Origin(NamedTuple):
    """name: as in "provider.prices.vcpu_hour"; value: as TOML has it, without what may be secret; place: see Written."""

    name: str
    value: str
    place: str


def find_written(table: Mapping[str, Any]) -> dict[str, Written]:
    """What the file's table and the environment say, by the setting's name; the environment wins, as when they are loaded."""
    environment = EnvSettingsSource(Settings)()
    found = {}
    for setting in settings():
        if (value := _find(table, setting)) is not None:
            found[setting.path] = Written(value, FILE)
        if (value := _find(environment, setting)) is not None:
            found[setting.path] = Written(value, f"environment {setting.variable}")
    return found


def list_origins(config: Config, effective: bool) -> Iterator[Origin]:
    """Each setting that is written, in the order of the reference; effective: also those at their default, and each path as it is
    resolved."""
    for setting in settings():
        section = find_section(config, setting.section)
        written = config.written.get(setting.path)
        if section is not None and (written is not None or effective):
            value = written.value if written is not None else setting.default
            resolved = getattr(section, setting.field)
            shown = resolved if effective and setting.is_local else value
            yield Origin(setting.path, show_value(setting, shown), written.place if written else DEFAULT)


def show_written(config: Config, setting: Setting) -> str:
    """The setting as it is written, or its default; "" where the config has no such section."""
    if find_section(config, setting.section) is None:
        return ""
    written = config.written.get(setting.path)
    return show_value(setting, setting.default if written is None else written.value)


def find_section(config: Config, name: str) -> Any:
    """The section's model, None when it is not there: "provider.sla"."""
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def show_value(setting: Setting, value: Any) -> str:
    """A value as TOML has it. Of what may hold a secret only what does not."""
    # Every command that loads settings comes by here; few show any.
    import tomlkit

    if value is None:
        return ""
    if setting.is_local:
        value = _hide_secrets(str(value))
    return str(tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string())


def _hide_secrets(text: str) -> str:
    """A path as it is; of a URL no password, and of a web address, whose path may be an access key, the host alone."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return HIDDEN
    place = f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{place}" + (f"/{HIDDEN}" if parts.path.strip("/") or parts.query else "")
    user = f"{parts.username}@" if parts.username and not parts.password else ""
    user = f"{parts.username}:{HIDDEN}@" if parts.password else user
    return f"{parts.scheme}://{user}{place}{parts.path}" + (f"?{HIDDEN}" if parts.query else "")


def _find(table: Mapping[str, Any], setting: Setting) -> Any:
    found: Any = table
    for name in setting.section.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found.get(setting.name) if isinstance(found, Mapping) else None
