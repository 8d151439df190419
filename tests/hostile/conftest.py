"""Fixtures of the hostile runs: nodes that a test may hurt."""

from __future__ import annotations

from tests.xnode.net.conftest import remotes

__all__ = ["remotes"]
