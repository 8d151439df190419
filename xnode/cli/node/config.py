"""`xnode config`: what the settings are and where each comes from, whether a file is good, what a running daemon has of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.brief import brief_count
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import DifferenceRow
from xnode.errors import ExitCode

if TYPE_CHECKING:
    from xnode.config.settings import Config

_ORIGINS = (Column("setting"), Column("value", fold=True), Column("from", fold=True))

_DIFFERENCES = (
    Column("setting"),
    Column("running", fold=True),
    Column("declared", fold=True),
    Column("taken by"),
)


@click.group(cls=LazyGroup)
def config() -> None:
    """The node's settings: show, check, compare, reload.

    They are in config.toml of the home, or where --config or XNODE_CONFIG says; XNODE_SECTION__KEY overrides one.
    """


@config.command("show")
@click.option("--effective", is_flag=True, help="Also those at their default, and paths as they are resolved.")
@output_option
@pass_app
def show(app: App, effective: bool, screen: Screen) -> None:
    """Show each declared setting and where it comes from.

    That is the file or a variable of the environment. What may be a secret, such as a password in a URL, is left out.
    """
    from xnode.config.file import find_declaration
    from xnode.config.origins import list_origins

    rows = [one._asdict() for one in list_origins(app.load_config(), effective)]
    reason = find_declaration(app.home.config)
    say(f"declared in {app.home.config}" + (f"; no command changes it: {reason}" if reason else ""))
    screen.show(rows, lambda: screen.table(_ORIGINS, (tuple(row.values()) for row in rows)))


@config.command("check")
@click.argument("file", required=False, type=GivenPath(path_type=Path))
@output_option
@pass_app
def check(app: App, file: Path | None, screen: Screen) -> None:
    """Check a file of settings, and change nothing.

    As if it were this node's; without FILE its own. One line for each mistake. The environment counts as it would for a daemon.
    """
    from xnode.config.comparison import settings_hash_of
    from xnode.config.load import load_config
    from xnode.text.hex import to_hex

    found = load_config(app.home if file is None else replace(app.home, config_file=file.expanduser().absolute()))
    answer = {
        "file": str(found.home.config),
        "settings_hash": to_hex(settings_hash_of(found)),
        "prices_checked": _check_prices(found),
    }
    screen.show(answer, lambda: screen.record((name.replace("_", " "), value) for name, value in answer.items()))
    say("good")


def _check_prices(found: Config) -> bool:
    """True when the prices are ones that the asset can be paid in; False where that cannot be known here."""
    if found.provider is None or not found.chain.manifest.exists():
        return False
    from xnode.chain.deployment.manifest import read_manifest
    from xnode.rules import make_tariff

    make_tariff(found.provider, read_manifest(found.chain.manifest))
    return True


@config.command("diff")
@output_option
@pass_app
def diff(app: App, screen: Screen) -> None:
    """Compare what the daemon runs with and what is declared now. Exit code 1 when they differ."""
    answer = app.control.call("config.diff")
    screen.show(answer, lambda: _draw_differences(screen, answer))
    if answer:
        raise click.exceptions.Exit(int(ExitCode.FAILED))
    say("the daemon runs with what is declared")


@config.command("reload")
@output_option
@pass_app
def reload(app: App, screen: Screen) -> None:
    """Have the daemon take what is declared now, in whole or not at all.

    A file with a mistake, or with a change that needs a restart, changes nothing. SIGHUP does the same, and logs it.
    """
    answer = app.control.call("config.reload")
    screen.show(answer, lambda: _draw_differences(screen, answer))
    say(
        f"taken: {brief_count(len(answer), 'setting')}"
        if answer
        else "nothing to take: the daemon runs with it already"
    )


def _draw_differences(screen: Screen, answer: Any) -> None:
    rows = msgspec.convert(answer, list[DifferenceRow])
    if rows:
        cells = ((one.name, one.running, one.declared, "reload" if one.is_live else "restart") for one in rows)
        screen.table(_DIFFERENCES, cells)
