"""`xnode daemon`: the node of a submitter, which goes on checking receipts and paying after the terminal is closed."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import click

from xnode.cli.access.options import bootstrap_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import UserError


@click.group(cls=LazyGroup)
def daemon() -> None:
    """The background node of a submitter. `xnode job submit` starts it when it is not running."""


@daemon.command("init")
@click.option("--chain", "manifest", required=True, type=GivenPath(path_type=Path), help="The deployment's manifest.")
@click.option("--rpc-url", help="The chain node to use; '' is the manifest's.  [default: ''; later what is set]")
@click.option("--payer", default="", envvar="ETH_FROM", help="Wallet that pays.  [default: the only one]")
@bootstrap_option
@pass_app
def init(app: App, manifest: Path, rpc_url: str | None, payer: str, bootstrap: tuple[str, ...]) -> None:
    """Make the node key and config of a node that buys compute."""
    from xnode.cli.node.submitter_init import init_submitter

    init_submitter(app, manifest, rpc_url, payer, bootstrap)
    say(f"wrote {app.home.config}")
    say("next: xnode pay deposit AMOUNT, which also sends the node key gas; then xnode job submit FILE")


@daemon.command("run")
@pass_app
def run(app: App) -> None:
    """Run in the foreground until Ctrl-C or SIGTERM."""
    from xnode.cli.node.run import run_here

    run_here(app.load_config())


@daemon.command("start")
@pass_app
def start(app: App) -> None:
    """Start it in the background; it goes on when the terminal is closed."""
    from xnode.cli.node.launch import ensure_daemon

    ensure_daemon(app.home)
    say(f"running (pid {app.control.call('node.status')['pid']})")


@daemon.command("status")
@output_option
@pass_app
def status(app: App, screen: Screen) -> None:
    """Show what the daemon is doing."""
    from xnode.cli.node.view import draw_node

    answer = app.control.call("node.status")
    screen.show(answer, lambda: draw_node(screen, answer))


@daemon.command("stop")
@pass_app
def stop(app: App) -> None:
    """Stop the daemon. Jobs go on at their providers until unpaid work reaches its limit; it says until when."""
    from xnode.cli.node.launch import wait_until_gone
    from xnode.cli.node.view import describe_stop

    pid = app.control.call("node.status")["pid"]
    for line in describe_stop(app.control.call("node.stop_notice"), time.time_ns()):
        say(line)
    with suppress(UserError):
        # It may be gone before its answer is out; whether it is, we look for ourselves.
        app.control.call("node.stop")
    wait_until_gone(app.home, int(pid))
    say(f"stopped (pid {pid})")
