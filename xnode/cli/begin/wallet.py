"""Wallet: the one that a new node works for, opened or made, with its password asked for once."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import trio

from metering.units import Address
from xnode.cli.access.keys import open_keystore, require_address
from xnode.cli.app import App
from xnode.cli.terminal.password import VARIABLE, find_password
from xnode.cli.terminal.screen import say
from xnode.durable import write_new_file
from xnode.errors import UserError
from xnode.home import Home
from xnode.text.hex import to_hex
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore, read_password

NEW_NAME = "wallet"
"""Of a wallet that is made, as by `xnode wallet new`."""


@dataclass(frozen=True, slots=True)
class OpenWallet:
    """A wallet whose password is known. password_file: where it is, None when a person typed it."""

    address: Address
    password: str = field(repr=False)
    password_file: Path | None


def open_wallet(app: App, name: str, password_file: Path | None, yes: bool) -> OpenWallet:
    """The wallet of that name or address, "" for the only one; made where the keystore has none and none is named.

    yes: nobody is asked for a password: the file of an earlier try has it, or a new random one is written. Raises UserError
    when the password does not open it."""
    keystore = open_keystore(app)
    if not name and not keystore.list():
        return _make_wallet(app, keystore, password_file, yes)
    found = keystore.find(name)
    address = require_address(found)
    kept = find_password_file(app.home, password_file)
    if kept is None and yes:
        raise UserError(
            "its password is needed, and --yes asks nothing",
            where=str(found.path),
            hint=f"use --password-file, or set {VARIABLE} to a file's path",
        )
    password = _read(kept) if kept else find_password(None, f"the key {found.name}")
    trio.run(keystore.load, found.name, password)
    say(f"wallet {to_hex(address)} of {found.path}")
    return OpenWallet(address, password, kept)


def find_password_file(home: Home, named: Path | None) -> Path | None:
    """The file with the wallet's password: the one that is named, else ETH_PASSWORD's, else that of an earlier try."""
    if named or os.environ.get(VARIABLE):
        return named or Path(os.environ[VARIABLE]).expanduser()
    return home.wallet_password if home.wallet_password.exists() else None


def _make_wallet(app: App, keystore: Keystore, password_file: Path | None, yes: bool) -> OpenWallet:
    app.home.make()
    kept = find_password_file(app.home, password_file)
    if kept is None and yes:
        # Before the key: one that is there can always be opened.
        kept = app.home.wallet_password
        write_new_file(kept, f"{secrets.token_urlsafe(32)}\n".encode(), 0o600)
    password = _read(kept) if kept else find_password(None, f"the new key {NEW_NAME}", new=True)
    is_random = kept == app.home.wallet_password
    made = trio.run(keystore.make_new, NEW_NAME, password, *((MACHINE_ROUNDS,) if is_random else ()))
    address = require_address(made)
    say(f"made the wallet {to_hex(address)}: {made.path}")
    copy = f"{made.path} and {kept}" if is_random else "it and its password"
    say(f"hint: keep a copy of {copy}: they are the money, and cannot be recovered")
    return OpenWallet(address, password, kept)


def _read(path: Path) -> str:
    password = read_password({}, path) or ""
    if not password:
        raise UserError("the password is empty", where=str(path), hint="write one into it, or name another file")
    return password
