"""Options: name the deployment and the wallet that a command is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import password_option

Command = TypeVar("Command", bound=Callable[..., Any])

chain_option = click.option(
    "--chain", "manifest", type=GivenPath(path_type=Path), help="The deployment's manifest.  [default: the config's]"
)
rpc_option = click.option("--rpc-url", default="", help="The chain node to use.  [default: the config's or manifest's]")
payer_option = click.option(
    "--from", "wallet", envvar="ETH_FROM", default="", help="The wallet.  [default: the config's payer]"
)
bootstrap_option = click.option(
    "--bootstrap",
    multiple=True,
    metavar="MULTIADDR",
    help="A peer to start from, with its /p2p/ part; several times for several.  [default: the manifest's]",
)
_owner_option = click.option(
    "--from", "wallet", envvar="ETH_FROM", default="", help="The provider's wallet.  [default: the config's owner]"
)


def owner_options(command: Command) -> Command:
    """Adds --from, --chain and --password-file: what Access.of_owner takes."""
    for option in (_owner_option, chain_option, password_option):
        command = option(command)
    return command


def payer_options(command: Command) -> Command:
    """Adds --from, --chain and --password-file: what Access.of_payer takes."""
    for option in (payer_option, chain_option, password_option):
        command = option(command)
    return command
