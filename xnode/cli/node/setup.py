"""Setup: makes what a node needs before it first runs: its hot key, that key's password, and its config."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnode.cli.terminal.screen import say
from xnode.config.file import read_table, write_config
from xnode.durable import replace_file, write_new_file
from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given_text
from xnode.home import Home

if TYPE_CHECKING:
    from metering.units import Address
    from xnode.config.settings import Config

_MAX_ADDRESS_BYTES = 100


def ensure_node_key(config: Config) -> None:
    """Make the node key and its password where there never was one. Raises UserError where one was and is gone, or is another:
    leases, deposits and the registration belong to the first, and a new one could neither claim nor spend them."""
    home = config.home
    if home.node_key.exists():
        _check_same_node(home)
        return
    require_no_past(home, config.node.database_url)
    make_node_key(home, config.node.password_file)


def make_node_key(home: Home, password_file: Path) -> None:
    """Make a home's first node key, and its password where the file has none."""
    import trio

    from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

    home.make()
    password = _ensure_password(password_file)
    entry = trio.run(Keystore(home.folder).make_new, home.node_key.name, password, MACHINE_ROUNDS)
    assert entry.address
    _write_address(home, entry.address)
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


def _check_same_node(home: Home) -> None:
    """Note which node this home is, or raise UserError where the key is not the one that was noted."""
    try:
        there, noted = read_node_address(home), _read_address(home)
    except UserError:
        # Not a key file: who opens it says what is wrong with it.
        return
    if not noted:
        _write_address(home, there)
    elif noted != f"0x{there.hex()}":
        raise UserError(
            f"this is the key of node 0x{there.hex()}, and this home is node {noted}",
            where=str(home.node_key),
            hint=f"put the key of {noted} back; if this home shall be another node, remove {home.node_address} first",
            code=ExitCode.CONFLICT,
        )


def require_no_past(home: Home, database_url: str = "") -> None:
    """Raise UserError when this home had a node key. database_url: "" where no settings name it."""
    noted = _read_address(home)
    database = Path(database_url.removeprefix("sqlite:///"))
    had_database = database_url.startswith("sqlite:///") and database.exists()
    if not noted and not had_database:
        return
    left = " and ".join(
        str(path) for path in (*((home.node_address,) if noted else ()), *((database,) if had_database else ()))
    )
    raise UserError(
        f"the key of node {noted or 'that this home is'} is gone, and leases, deposits and registration are that node's",
        where=str(home.node_key),
        hint=f"put it back from a backup, or use a new home; to begin as another node here, remove {left}",
        code=ExitCode.CONFLICT,
    )


def _read_address(home: Home) -> str:
    """The address of the node that this home is, "" where none was noted."""
    try:
        return read_given_text(home.node_address, _MAX_ADDRESS_BYTES).strip()
    except FileNotFoundError:
        return ""


def _write_address(home: Home, address: Address) -> None:
    replace_file(home.node_address, f"0x{address.hex()}\n")


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
