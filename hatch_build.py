"""Hatch build hook: a wheel has the man page, if `make man` has made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface[Any]):
    """Puts build/xnode.1 where `man` looks for it below the environment's root."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        page = Path(self.root, "build", "xnode.1")
        if version == "standard" and page.is_file():
            build_data["shared_data"][str(page)] = "share/man/man1/xnode.1"
