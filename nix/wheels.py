"""Wheels: nix/wheels.json, the files of requirements.lock that each Python on each machine installs, by name and hash.

    python nix/wheels.py      (from the repository's root; uv asks the package index, and loads no package)

No address is written down: nixpkgs' fetchPypi makes it from the name. A file whose hash is not in requirements.lock is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
TABLE = Path(__file__).with_name("wheels.json")

PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = ("x86_64-linux", "aarch64-linux")

MAX_GLIBC, MIN_GLIBC = 36, 5
"""The newest glibc 2.N that a wheel may ask for, that of Debian 12; and the oldest that any is made for."""

LONG_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""How wheels named a glibc 2.N before PEP 600."""

UV_DEADLINE_S = 300


class NotLocked(Exception):
    """A table cannot be made: what, and of which package."""


@dataclass(frozen=True, slots=True)
class Target:
    """One Python on one kind of machine, as nix names it."""

    python: str
    system: str

    @property
    def name(self) -> str:
        return f"{self.python} {self.system}"

    @property
    def machine(self) -> str:
        return self.system.partition("-")[0]

    @property
    def environment(self) -> dict[str, str]:
        """What markers ask for."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def list_tags(self) -> list[Tag]:
        """The tags of wheels that it takes, the best first."""
        version = (int(self.python.partition(".")[0]), int(self.python.partition(".")[2]))
        platforms = list(_list_platforms(self.machine))
        interpreter = "cp" + self.python.replace(".", "")
        return [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]


TARGETS = tuple(Target(python, system) for python in PYTHONS for system in SYSTEMS)


def _list_platforms(machine: str) -> Iterator[str]:
    for minor in range(MAX_GLIBC, MIN_GLIBC - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in LONG_NAMES:
            yield f"{LONG_NAMES[minor]}_{machine}"
    yield f"linux_{machine}"


def read_hashes(lock: str) -> dict[str, set[str]]:
    """The hashes of every package of requirements.lock, by "name==version"."""
    found: dict[str, set[str]] = {}
    current = ""
    for line in lock.splitlines():
        if head := re.match(r"([A-Za-z0-9._-]+)==([^ ;]+)", line):
            current = f"{canonicalize_name(head[1])}=={head[2]}"
            found[current] = set()
        found.get(current, set()).update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def make_table(packages: Iterable[Mapping[str, Any]], locked: Mapping[str, set[str]]) -> dict[str, Any]:
    """The table. packages: those of a pylock.toml; locked: what read_hashes found.

    Raises NotLocked for a package that has no file for a target, or one that is not in requirements.lock.
    """
    targets: dict[str, list[str]] = {}
    hashes: dict[str, str] = {}
    for package in packages:
        for target in TARGETS:
            if "marker" in package and not Marker(package["marker"]).evaluate(target.environment):
                continue
            name, digest = _choose(package, target)
            if digest not in locked.get(f"{canonicalize_name(package['name'])}=={package['version']}", ()):
                raise NotLocked(f"{name}: its hash is not in requirements.lock")
            hashes[name] = digest
            targets.setdefault(name, []).append(target.name)
    files = [{"file": name, "sha256": hashes[name], "for": targets[name]} for name in sorted(hashes, key=str.lower)]
    return {"targets": [target.name for target in TARGETS], "files": files}


def _choose(package: Mapping[str, Any], target: Target) -> tuple[str, str]:
    """File name and hash of what is installed there: the best wheel, or the sources where there is none."""
    rank = {tag: place for place, tag in enumerate(target.list_tags())}
    best: tuple[int, str, str] | None = None
    for wheel in package.get("wheels", ()):
        name = _name_of(wheel)
        try:
            _, _, build, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        places = [rank[tag] for tag in tags if tag in rank]
        # fetchPypi cannot name a build number.
        if places and not build and (best is None or min(places) < best[0]):
            best = min(places), name, wheel["hashes"]["sha256"]
    if best:
        return best[1], best[2]
    source = package.get("sdist")
    if source and _name_of(source).endswith(".tar.gz"):
        return _name_of(source), source["hashes"]["sha256"]
    raise NotLocked(f"{package['name']} {package['version']}: no wheel for Python {target.name}, and no sources")


def _name_of(file: Mapping[str, Any]) -> str:
    return str(file.get("name") or str(file["url"]).rpartition("/")[2])


def write_table(table: Mapping[str, Any]) -> str:
    """The table as text, a line for each file, so that a change of one package is a change of its lines."""
    files = ",\n".join(f"    {json.dumps(one)}" for one in table["files"])
    return f'{{\n  "targets": {json.dumps(table["targets"])},\n  "files": [\n{files}\n  ]\n}}\n'


def resolve() -> list[dict[str, Any]]:
    """What xnode with all its extras installs, at the versions of requirements.lock, with every file that there is of it."""
    with tempfile.TemporaryDirectory() as folder:
        pins = [line.split("\\")[0] for line in LOCK.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line)]
        Path(folder, "pins.txt").write_text("\n".join(pins))
        out = Path(folder, "pylock.toml")
        command = ["uv", "pip", "compile", "-q", "--universal", "--python-version", PYTHONS[0], "--extra", "all"]
        command += ["-c", f"{folder}/pins.txt", "--format", "pylock.toml", "-o", str(out), str(ROOT / "pyproject.toml")]
        subprocess.run(command, check=True, timeout=UV_DEADLINE_S, stdout=subprocess.DEVNULL)
        packages: list[dict[str, Any]] = tomllib.loads(out.read_text())["packages"]
    return packages


def main() -> int:
    """Write nix/wheels.json anew."""
    try:
        table = make_table(resolve(), read_hashes(LOCK.read_text()))
    except NotLocked as error:
        print(f"error: {error}\nhint: lock anew, as the head of requirements.lock says", file=sys.stderr)
        return 1
    TABLE.write_text(write_table(table))
    print(f"{len(table['files'])} files for {len(TARGETS)} targets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
