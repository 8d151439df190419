"""Control methods for maintenance: nothing new is taken, what still runs and until when, and open again."""

from __future__ import annotations

from xnode.console.console import Console
from xnode.console.method import NoParams, control_method
from xnode.control.views import DrainView, RunningRow
from xnode.node.changes import DrainSet
from xnode.node.provider.drain import ends_by, list_running
from xnode.text.hex import to_hex


@control_method("provider.drain")
async def drain(console: Console, _params: NoParams) -> DrainView:
    """Take nothing new from now on, also after a restart; what runs goes on to its end."""
    console.require_provider()
    await console.ask(lambda to: DrainSet(to, is_on=True))
    return _make_view(console)


@control_method("provider.resume")
async def resume(console: Console, _params: NoParams) -> DrainView:
    """Offer and quote again."""
    console.require_provider()
    await console.ask(lambda to: DrainSet(to, is_on=False))
    return _make_view(console)


@control_method("provider.running")
async def running(console: Console, _params: NoParams) -> DrainView:
    """Which leases have not ended, and when they will have at the latest."""
    console.require_provider()
    return _make_view(console)


def _make_view(console: Console) -> DrainView:
    state, now_ns = console.loop.state, console.clock.now_ns()
    rows = (
        RunningRow(to_hex(one.lease_id), to_hex(one.terms.submitter), one.status, ends_by(one, now_ns))
        for one in list_running(state)
    )
    return DrainView(
        drained_at_ns=state.settings.drained_at_ns,
        running=tuple(sorted(rows, key=lambda row: (row.until_ns, row.lease_id))),
    )
