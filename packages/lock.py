"""Lock: requirements.lock as data: what each version is, for whom, by which hashes, and because of what.

Standard library only: the build hook's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.\-]*)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"\s+#\s+(?:via\s*)?(?P<who>.*)$")
_NAME = re.compile(r"[\w.\-]+")

OURS = "xnode (pyproject.toml)"
"""As uv names us among the reasons for a package."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One version. marker: where it is needed, "" is everywhere; hashes: SHA-256 of each of its files, hex; via: the names of
    what needs it, normalized."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """As in a requirements file, without hashes."""
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def read_lock(text: str) -> tuple[Pin, ...]:
    """Every pin of a lock that `uv pip compile --generate-hashes` wrote, in its order."""
    pins: list[Pin] = []
    for block in re.split(r"\n(?=\S)", text):
        found = _PIN.match(block.partition("\n")[0])
        if found is not None:
            name, version, marker = found["name"], found["version"], found["marker"] or ""
            pins.append(Pin(name, version, marker.strip(), tuple(_HASH.findall(block)), tuple(_read_via(block))))
    return tuple(pins)


def _read_via(block: str) -> Iterator[str]:
    for line in block.splitlines()[1:]:
        found = _VIA.match(line)
        if found is not None and found["who"]:
            yield normalize(found["who"].split()[0]) if found["who"] != OURS else OURS


def normalize(name: str) -> str:
    """A distribution's name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The normalized name of what a requirement asks for."""
    found = _NAME.match(requirement.strip())
    assert found is not None, requirement
    return normalize(found[0])


def needed_by(pins: Iterable[Pin], roots: Collection[str]) -> tuple[Pin, ...]:
    """The pins of the roots and of all that they need, in the lock's order. roots: normalized names."""
    left, needed = list(pins), set(roots)
    while True:
        more = {pin.name for pin in left if pin.name not in needed and needed.intersection(pin.via)}
        if not more:
            return tuple(pin for pin in left if pin.name in needed)
        needed |= more


def roots_of(project: dict[str, Any], extras: Iterable[str] = ()) -> set[str]:
    """The names that a project's table asks for itself, with these extras."""
    asked = list(project["dependencies"])
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return {name_of(one) for one in asked} - {normalize(project["name"])}


def read_project(root: Path) -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return found


def pins_of(root: Path, *, all_extras: bool) -> tuple[Pin, ...]:
    """What a node runs on, without the tools of development: the base's, or that of every extra too."""
    project = read_project(root)
    extras = [one for one in project["optional-dependencies"] if one != "all"] if all_extras else []
    return needed_by(read_lock((root / "requirements.lock").read_text()), roots_of(project, extras))


def make_constraints(root: Path) -> str:
    """The versions that were tested, for pip's and uv's `--constraint`."""
    head = "# The versions that xnode was tested with, as requirements.lock has them with their hashes.\n"
    return head + "".join(f"{pin.requirement}\n" for pin in pins_of(root, all_extras=True))
