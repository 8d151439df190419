"""Disk: how full it is, as a view, and what that keeps a node from."""

from __future__ import annotations

from xnode.console.console import Console
from xnode.control.views import DiskUse
from xnode.errors import ExitCode, UserError
from xnode.upkeep.keeper import DiskState


def make_disk_use(state: DiskState | None) -> DiskUse | None:
    """The view; None before the disk was looked at."""
    if state is None:
        return None
    return DiskUse(
        free=state.reading.free_bytes,
        min_free=state.rules.min_free_bytes,
        budget=state.rules.budget_of(state.reading),
        own=state.own,
        leases=state.reading.leased_bytes,
        freed=state.freed_bytes,
        reason=state.problem,
    )


async def require_room(console: Console) -> None:
    """Raises UserError while the disk has no room for a new job's image, inputs and outputs.

    A refusal is of what is so now: after space was freed, nobody is told the numbers of before.
    """
    state = console.node.disk()
    if state is not None and state.problem:
        await console.node.look_at_disk()
        state = console.node.disk()
    if state is not None and state.problem:
        raise UserError(
            state.problem,
            where="disk",
            hint="free some space; `xnode image ls` shows images that may go; or set a lower node.min_free",
            code=ExitCode.REFUSED,
        )
