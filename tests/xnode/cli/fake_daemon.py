"""A daemon's control socket without a daemon: the real control methods over the records of a simulated market.

Only the submission is played: it answers with a job that has run already, since in a scene that stands still none would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.make.scene import make_scene, open_consoles
from xnode.console.method import bind_methods
from xnode.control.server import Method
from xnode.control.views import JobId
from xnode.text.amount import format_amount

JOB = "0x" + make_scene().paid.hex()
COST = format_amount(make_scene().lease(make_scene().paid).last.cost, 18)
LEASE = "0x" + make_scene().lease(make_scene().paid).lease_id.hex()


@asynccontextmanager
async def open_methods(folder: Path) -> AsyncIterator[dict[str, Method]]:
    """The submitter's methods, and of its provider those whose names begin so."""
    async with open_consoles(folder) as (submitter, provider):
        sells = {name: method for name, method in bind_methods(provider).items() if name.startswith("provider.")}
        yield {**bind_methods(submitter), **sells, "job.submit": _submit}


async def _submit(_params: dict[str, Any]) -> JobId:
    return JobId(JOB)
