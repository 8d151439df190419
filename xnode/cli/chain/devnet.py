"""`xnode devnet`: a whole settlement chain on this machine, with money for the wallets of this home."""

from __future__ import annotations

from pathlib import Path

import click

from xnode.cli.app import App, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.given import GivenPath, Seconds
from xnode.cli.terminal.screen import say
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex


@click.group(cls=LazyGroup)
def devnet() -> None:
    """A local chain with the contracts, to try everything on. Its money is worth nothing."""


@devnet.command("up")
@click.option("--folder", type=GivenPath(path_type=Path), help="Keep the chain here.  [default: devnet in the home]")
@click.option("--port", type=click.IntRange(0, 65535), default=8545, show_default=True, help="0 takes a free one.")
@click.option("--block-time", type=Seconds(0.05), default=1.0, show_default=True, help="Seconds.")
@click.option("--bare", is_flag=True, help="The chain alone: no peer to start from, no verifier.")
@pass_app
def up(app: App, folder: Path | None, port: int, block_time: float, bare: bool) -> None:
    """Run the chain until Ctrl-C; the next start goes on from there. Wallets of this home are funded automatically.

    Beside the chain runs a node that all others find each other through, and that judges the challenges of providers.
    """
    from xnode.cli.chain.devnet_run import run

    run(app.home, _find_folder(app, folder), port, block_time, bare)


@devnet.command("fund")
@click.argument("addresses", nargs=-1, required=True, metavar="WALLET...")
@click.option("--folder", type=GivenPath(path_type=Path), help="The devnet's folder.  [default: devnet in the home]")
@pass_app
def fund(app: App, addresses: tuple[str, ...], folder: Path | None) -> None:
    """Bring wallets, by address or name, up to 10 ETH and 10000 OPENX."""
    from xnode.cli.access.keys import find_address
    from xnode.cli.chain.devnet_run import find_socket
    from xnode.control.client import Control

    named = [to_hex(find_address(app, text)) for text in addresses]
    control = Control(find_socket(_find_folder(app, folder)))
    if not control.is_up():
        raise UserError(
            "no devnet is running here",
            where=str(control.path),
            hint="start one with `xnode devnet up`, or name the folder of the one that runs with --folder",
            code=ExitCode.NO_DAEMON,
        )
    control.call("devnet.fund", {"addresses": named}, deadline_s=60.0)
    say(f"funded {', '.join(named)}")


def _find_folder(app: App, folder: Path | None) -> Path:
    return (folder or app.home.folder / "devnet").absolute()
