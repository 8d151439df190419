"""Running: the node of this home, started as a service or in the background, and waited for until it is ready."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from xnode.cli.app import App
from xnode.cli.node.launch import start_daemon
from xnode.cli.node.service import install_systemd
from xnode.cli.terminal.screen import say
from xnode.errors import ExitCode, UserError

READY_DEADLINE_S = 60.0
"""The contracts and the engine are checked beside the start; a chain node that is slow takes longest."""

MARKET_WAIT_S = 5.0
"""For the first offer: a node that has just started asks around."""

_LOOK_EVERY_S = 0.25


SYSTEMD = Path("/run/systemd/system")
"""There while systemd is what started this host."""


def can_be_service() -> bool:
    """True where systemd runs and we may write its units."""
    return os.geteuid() == 0 and SYSTEMD.is_dir()


def ensure_service(app: App, role: str) -> None:
    """Have the system start the node, now and at each boot, by what `xnode install systemd` does."""
    if app.control.is_up():
        say("the node runs already")
        return
    app.load_config()
    say("starting the node as a service ...")
    click.get_current_context().invoke(install_systemd, role=role, now=True)


def ensure_running(app: App, command: tuple[str, ...]) -> None:
    """Start `xnode COMMAND` in the background where no daemon of this home runs."""
    if app.control.is_up():
        say("the node runs already")
        return
    app.load_config()
    say("starting the node in the background ...")
    start_daemon(app.home, command)


def wait_ready(app: App, role: str) -> dict[str, Any]:
    """The node's status, once nothing is wrong with it. Raises UserError with what still is at the deadline, or when the daemon
    that runs has not that role."""
    end = time.monotonic() + READY_DEADLINE_S
    while True:
        status: dict[str, Any] = app.control.call("node.status")
        if role not in status["roles"]:
            raise UserError(
                f"the daemon that runs here is no {role} yet: it began with other settings",
                where=str(app.home.control),
                hint="xnode daemon stop, and run this again",
                code=ExitCode.CONFLICT,
            )
        troubles = [f"{name}: {reason}" for name, reason in status["ready"].items() if reason]
        if not troubles:
            return status
        if time.monotonic() > end:
            raise UserError(
                "\n".join(troubles),
                hint=f"the node runs, but is not ready after {READY_DEADLINE_S:g} s; see `xnode doctor` and {app.home.log}",
                code=ExitCode.TIMEOUT,
            )
        time.sleep(_LOOK_EVERY_S)


def wait_offers(app: App) -> dict[str, Any]:
    """The node's status, as soon as it knows an offer; without one after MARKET_WAIT_S."""
    end = time.monotonic() + MARKET_WAIT_S
    while True:
        status: dict[str, Any] = app.control.call("node.status")
        if status["offers"] or time.monotonic() > end:
            return status
        time.sleep(_LOOK_EVERY_S)
