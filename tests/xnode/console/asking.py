"""Asking: control methods called as the control socket calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from xnode.console.console import Console
from xnode.console.method import bind_methods


async def ask(console: Console, name: str, /, **params: Any) -> Any:
    """The method's result; a stream's items as a list."""
    answer = bind_methods(console)[name](params)
    if isinstance(answer, AsyncIterator):
        return [item async for item in answer]
    return await answer
