"""Extra: a part of the installation that only some nodes use, and what to say where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

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


def install(module: str) -> str:
    """The command that brings the module."""
    return f'pip install "xnode[{EXTRAS[module]}]"'
