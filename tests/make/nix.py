"""Nix: the flake of this repository, evaluated against nix/stand-in in the place of nixpkgs, with a store of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PACKED = ("flake.nix", "flake.lock", "nix", "xnode", "metering", "scheduler", "examples", "images", "packages")
PACKED_FILES = ("LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "requirements.lock")
"""What the flake reads. The rest of a checkout, with .venv and node_modules, would be copied into the store with it."""

DEADLINE_S = 120.0

CONFIG = """
build-users-group =
sandbox = false
substituters =
experimental-features = nix-command flakes
"""


@dataclass(frozen=True, slots=True)
class Nix:
    """A copy of the flake, and a store beside it that nothing else uses."""

    folder: Path

    @property
    def flake(self) -> Path:
        return self.folder / "flake"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What a program of nix printed, however it ended."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NIX_", "XDG_"))}
        places = {"HOME": "home", "NIX_STORE_DIR": "store", "NIX_STATE_DIR": "state", "NIX_LOG_DIR": "log"}
        env = {**kept, **{name: str(self.folder / place) for name, place in places.items()}, "NIX_CONFIG": CONFIG}
        return subprocess.run(
            command, cwd=self.flake, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression over `self`, the flake's outputs, and `lib`, as JSON gives it."""
        done = self._evaluate(expression)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def find_refusal(self, expression: str) -> str:
        """What is said of an expression that must not have a value."""
        done = self._evaluate(expression)
        assert done.returncode != 0, f"accepted: {done.stdout[:400]}"
        return done.stderr

    def add_source(self, expression: str) -> Path:
        """The folder in the store of a path that an expression makes, really there."""
        done = self._evaluate(f"toString {expression}", "--read-write-mode")
        assert done.returncode == 0, done.stderr
        return Path(json.loads(done.stdout))

    def _evaluate(self, expression: str, *options: str) -> subprocess.CompletedProcess[str]:
        whole = f"""
        let
          nixpkgs = (import ./nix/stand-in/flake.nix).outputs {{ self = nixpkgs; }};
          self = (import ./flake.nix).outputs {{ inherit self nixpkgs; }};
          inherit (nixpkgs) lib;
        in
        {expression}
        """
        return self.run("nix-instantiate", "--eval", "--strict", "--json", "--show-trace", *options, "--expr", whole)


def make_nix(folder: Path) -> Nix:
    """A copy of the flake in the folder. What git does not track is left out as far as it is in the way."""
    nix = Nix(folder)
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, nix.flake / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            nix.flake.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, nix.flake)
    for name in PACKED_FILES:
        shutil.copy(ROOT / name, nix.flake)
    shutil.copytree(ROOT / "contracts" / "artifacts", nix.flake / "contracts" / "artifacts")
    shutil.copy(ROOT / "contracts" / "package-lock.json", nix.flake / "contracts")
    return nix


def render_unit(service: dict[str, Any]) -> str:
    """A value of systemd.services as the file of a unit, as NixOS writes it; what is there by default is left out."""
    unit = {
        "Description": service["description"],
        **{key: " ".join(service[name]) for key, name in _UNIT_KEYS.items() if service[name]},
        **(
            {}
            if service["startLimitIntervalSec"] is None
            else {"StartLimitIntervalSec": service["startLimitIntervalSec"]}
        ),
        **service["unitConfig"],
    }
    sections = {
        "Unit": list(_lines(unit)),
        "Service": [
            *(f'Environment="{name}={value}"' for name, value in sorted(service["environment"].items())),
            *_lines(dict(sorted(service["serviceConfig"].items()))),
        ],
        "Install": [*_lines({"WantedBy": service["wantedBy"]}), *_lines({"RequiredBy": service["requiredBy"]})],
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items() if lines
    )


_UNIT_KEYS = {
    "Documentation": "documentation",
    "Wants": "wants",
    "Requires": "requires",
    "After": "after",
    "Before": "before",
}


def _lines(section: dict[str, Any]) -> Iterator[str]:
    for key, value in section.items():
        for one in value if isinstance(value, list) else [value]:
            yield f"{key}={str(one).lower() if isinstance(one, bool) else one}"
