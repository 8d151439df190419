"""`xnode provider drain` and `resume`: a host that takes nothing new while its maintenance is due."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_count, brief_date, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import DrainView
from xnode.errors import ExitCode, UserError

LOOK_S = 1.0
"""How often `--wait` looks."""

REMIND_S = 300.0
"""How often it says that nothing has changed."""

_RUNNING = (Column("lease"), Column("submitter"), Column("state"), Column("ends by", fold=True))


@click.command("drain")
@click.option("--wait", is_flag=True, help="Return when nothing runs any more.")
@output_option
@pass_app
def drain(app: App, wait: bool, screen: Screen) -> None:
    """Take no new jobs, for maintenance; what runs goes on to its end.

    The offer is withdrawn, and a restart keeps it so, until `provider resume`.
    """
    answer = app.control.call("provider.drain")
    if wait:
        answer = _wait_until_idle(app, answer)
    screen.show(answer, lambda: draw_drain(screen, answer))


@click.command("resume")
@output_option
@pass_app
def resume(app: App, screen: Screen) -> None:
    """Offer capacity again after `provider drain`."""
    answer = app.control.call("provider.resume")
    screen.show(answer, lambda: say("this host takes jobs again"))


def draw_drain(screen: Screen, answer: Any) -> None:
    """Print a provider.drain answer."""
    view = msgspec.convert(answer, DrainView)
    say(f"nothing new is taken since {brief_date(view.drained_at_ns)}")
    if view.running:
        screen.table(_RUNNING, (_make_cells(view, place) for place in range(len(view.running))))
        say("hint: `xnode provider drain --wait` returns when all have ended")
    else:
        say("nothing runs: this host can be stopped; claims that are still to come go on when it is back")
    say("hint: `xnode provider resume` takes jobs again")


def _make_cells(view: DrainView, place: int) -> tuple[str, ...]:
    row = view.running[place]
    until = brief_date(row.until_ns) if row.until_ns else "over; outputs or last payment to come"
    return brief_id(row.lease_id), brief_id(row.submitter), row.state, until


def _wait_until_idle(app: App, answer: Any) -> Any:
    """Until nothing runs; says how many still run whenever that changes. Raises UserError when somebody resumes."""
    said: object = None
    said_at = 0.0
    while True:
        view = msgspec.convert(answer, DrainView)
        if not view.drained_at_ns:
            raise UserError(
                "this host takes jobs again: somebody ran `xnode provider resume`",
                hint="run `xnode provider drain --wait` again to stop that",
                code=ExitCode.CONFLICT,
            )
        if not view.running:
            return answer
        latest = max(row.until_ns for row in view.running)
        if (len(view.running), latest) != said or time.monotonic() - said_at > REMIND_S:
            said, said_at = (len(view.running), latest), time.monotonic()
            by = f", the last until {brief_date(latest)} at the latest" if latest else ""
            say(f"{brief_count(len(view.running), 'lease')} still running{by}")
        time.sleep(LOOK_S)
        answer = app.control.call("provider.running")
