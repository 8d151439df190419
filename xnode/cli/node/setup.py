"""Setup: makes what a node needs before it first runs: its hot key, that key's password, and its config."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnode.cli.terminal.screen import say
from xnode.config.file import read_table, write_config
from xnode.durable import write_new_file
from xnode.errors import ExitCode, UserError
from xnode.home import Home

if TYPE_CHECKING:
    from metering.units import Address
    from xnode.config.settings import Config


def ensure_node_key(home: Home, password_file: Path | None = None) -> None:
    """Make the node key and its password when there is none. Never touches one that is there."""
    if home.node_key.exists():
        return
    import trio

    from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

    home.make()
    password = _ensure_password(password_file or home.password)
    entry = trio.run(Keystore(home.folder).make_new, home.node_key.name, password, MACHINE_ROUNDS)
    assert entry.address
    say(f"made the node key 0x{entry.address.hex()}")


def read_node_address(home: Home) -> Address:
    """The node key's address, without its password. Raises UserError when there is no key."""
    from xnode.wallet.keystore import Keystore

    entry = Keystore(home.node_key).find()
    if entry.address is None:
        raise UserError("the file does not state its address", where=str(home.node_key), hint="make a new node key")
    return entry.address


def update_config(home: Home, changes: dict[str, dict[str, Any]]) -> Config:
    """Set these settings in config.toml, keeping all others; the config after it. Raises UserError before anything is
    written when one of them is wrong."""
    from xnode.config.load import check_table

    table = read_table(home)
    for section, values in changes.items():
        table[section] = {**table.get(section, {}), **values}
    config = check_table(home, table)
    write_config(home, table)
    return config


def require_no_provider(home: Home, force: bool) -> None:
    """Raise UserError when this home is set up to sell already."""
    if "provider" in read_table(home) and not force:
        raise UserError(
            "this home is a provider already",
            where=str(home.config),
            hint="edit it, or use --force to write it anew",
            code=ExitCode.CONFLICT,
        )


def _ensure_password(path: Path) -> str:
    """The password in the file, which is made with a random one when it is missing."""
    password = secrets.token_urlsafe(32)
    try:
        write_new_file(path, f"{password}\n".encode(), 0o600)
    except FileExistsError:
        text = path.read_text().rstrip("\r\n")
        if not text:
            raise UserError("the password file is empty", where=str(path), hint="remove it to have one made") from None
        return text
    return password
