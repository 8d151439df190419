"""Extra: a part of the installation that only some nodes use, and what to say where it is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from xnode.errors import Permanent

EXTRAS = {"numpy": "capacity", "psycopg": "postgres", "pynvml": "nvidia", "web3": "chain-call"}
"""The extra of pyproject.toml that brings each module."""


def has_module(module: str) -> bool:
    """True when the module of an extra is installed. Does not import it."""
    return find_spec(module) is not None


def require_module(module: str, what: str) -> None:
    """Raises Permanent, saying how to get it, when the module that `what` needs is not installed."""
    if not has_module(module):
        raise Permanent(f"{what} needs {module}, which is not installed", code="not_installed", hint=install(module))


def find_installer(prefix: Path = Path(sys.prefix)) -> str:
    """What made this environment: "pipx", "uv tool", or "pip" for whatever else did."""
    marks = {"pipx_metadata.json": "pipx", "uv-receipt.toml": "uv tool"}
    return next((name for mark, name in marks.items() if (prefix / mark).is_file()), "pip")


def install(module: str, prefix: Path = Path(sys.prefix)) -> str:
    """The command that brings the module."""
    installer = find_installer(prefix)
    if installer == "pip":
        return f'pip install "xnode[{EXTRAS[module]}]"'
    # These make an environment anew, with nothing in it but what they are told: all, so that no extra is lost for another.
    return f'{installer} install --force "xnode[all]"'
