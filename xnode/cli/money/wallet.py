"""`xnode wallet`: the keys that hold money, in the same files that geth and foundry use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnode.cli.access.keys import open_keystore
from xnode.cli.access.options import chain_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import find_password, password_option
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import UserError
from xnode.text.hex import to_hex

if TYPE_CHECKING:
    from xnode.wallet.keystore import KeyFile

_COLUMNS = (Column("name"), Column("address"), Column("file", style="dim", fold=True))


_LAZY = {
    "send": Lazy("xnode.cli.money.send:send", "Send OPENX, credits or another asset to somebody."),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def wallet() -> None:
    """Keys that hold money. WALLET is a name or an address; without it ETH_FROM, or the only one there is."""


@wallet.command("new")
@click.argument("name", default="wallet")
@password_option
@output_option
@pass_app
def new(app: App, name: str, password_file: Path | None, screen: Screen) -> None:
    """Make a new key, protected by a password."""
    import trio

    if not name:
        raise UserError("the name is empty", where="NAME", hint="leave it out, or name the key")
    keystore = open_keystore(app)
    keystore.require_free(name)
    app.home.make()
    password = find_password(password_file, f"the new key {name}", new=True)
    _show_made(screen, trio.run(keystore.make_new, name, password))


@wallet.command("import")
@click.argument("file", type=GivenPath(path_type=Path), required=False)
@click.option("--name", default="", help="Name it so.  [default: as geth would]")
@password_option
@output_option
@pass_app
def import_(app: App, file: Path | None, name: str, password_file: Path | None, screen: Screen) -> None:
    """Import a keystore file or a raw private key.

    FILE is a keystore of another program; without it a private key is typed in (or piped) as hex.
    """
    import trio

    keystore = open_keystore(app)
    keystore.require_free(name)
    app.home.make()
    if file:
        password = find_password(password_file, str(file))
        _show_made(screen, trio.run(keystore.import_file, file, name, password))
        return
    # Never an argument: those are seen by every process of the machine.
    text = click.prompt("Private key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline(200)
    password = find_password(password_file, "the imported key", new=True)
    _show_made(screen, trio.run(keystore.import_hex, text, name, password))


@wallet.command("ls")
@output_option
@pass_app
def ls(app: App, screen: Screen) -> None:
    """List the keys here."""
    keystore = open_keystore(app)
    rows = [_make_row(file) for file in keystore.list()]
    screen.show(rows, lambda: _draw(screen, rows, keystore.where))


@wallet.command("show")
@click.argument("wallet", envvar="ETH_FROM", default="")
@output_option
@pass_app
def show(app: App, wallet: str, screen: Screen) -> None:
    """Show one key's address and file."""
    row = _make_row(open_keystore(app).find(wallet))
    screen.show(row, lambda: screen.record(row.items()))


@wallet.command("balance")
@click.argument("wallet", envvar="ETH_FROM", default="")
@chain_option
@output_option
@pass_app
def balance(app: App, wallet: str, manifest: Path | None, screen: Screen) -> None:
    """Show what a wallet holds, and what it has deposited for jobs."""
    from xnode.cli.access.access import Access
    from xnode.cli.money.balance import draw_balance, read_balance

    answer = read_balance(Access(app, wallet, manifest))
    screen.show(answer, lambda: draw_balance(screen, answer))


def _make_row(file: KeyFile) -> dict[str, str]:
    return {"name": file.name, "address": to_hex(file.address) if file.address else "", "file": str(file.path)}


def _show_made(screen: Screen, file: KeyFile) -> None:
    row = _make_row(file)
    screen.show(row, lambda: print(row["address"]))
    say(f"saved in {row['file']}; keep a copy of it and its password: they cannot be recovered")


def _draw(screen: Screen, rows: list[dict[str, str]], where: Path) -> None:
    if rows:
        screen.table(_COLUMNS, (tuple(row.values()) for row in rows))
    else:
        say(f"no keys in {where}; make one with: xnode wallet new")
