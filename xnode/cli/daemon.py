"""`xnode daemon`: the node of a submitter, which goes on checking receipts and paying after the terminal is closed."""

from __future__ import annotations

from pathlib import Path

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.launch import wait_until_gone
from xnode.cli.lazy import LazyGroup
from xnode.cli.node_view import draw_node
from xnode.cli.screen import Screen, say
from xnode.cli.setup import ensure_node_key, init_node


@click.group(cls=LazyGroup)
def daemon() -> None:
    """The background node of a submitter. `xnode job submit` starts it when it does not run."""


@daemon.command("init")
@click.option("--chain", "manifest", required=True, type=click.Path(path_type=Path), help="The deployment's manifest.")
@click.option("--payer", help="Wallet that pays: address or name.  [default: the only one]")
@pass_app
def init(app: App, manifest: Path, payer: str | None) -> None:
    """Make the node key and config of a node that buys compute."""
    init_node(app.home, manifest, payer)
    say(f"wrote {app.home.config}")
    say("next: xnode pay deposit AMOUNT, then xnode job submit FILE")


@daemon.command("run")
@pass_app
def run(app: App) -> None:
    """Run in the foreground until Ctrl-C or SIGTERM."""
    config = app.load_config()
    ensure_node_key(config)
    from xnode.daemon import run_daemon

    run_daemon(config)


@daemon.command("stop")
@pass_app
def stop(app: App) -> None:
    """Stop it. Jobs go on at their providers until unpaid work reaches its limit."""
    pid = app.control.call("node.status")["pid"]
    app.control.call("node.stop")
    wait_until_gone(app.home, int(pid))
    say(f"stopped (pid {pid})")


@daemon.command("status")
@output_option
@pass_app
def status(app: App, screen: Screen) -> None:
    """What the daemon is doing."""
    answer = app.control.call("node.status")
    screen.show(answer, lambda: draw_node(screen, answer))
