"""Keys: the wallets of the keystore, by the name or the address that a person gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from xnode.cli.app import App
from xnode.cli.terminal.password import find_password
from xnode.errors import UserError

if TYPE_CHECKING:
    from metering.units import Address
    from xnode.wallet.keystore import KeyFile, Keystore
    from xnode.wallet.signer import WalletKey


def open_keystore(app: App) -> Keystore:
    """The keystore: ETH_KEYSTORE's, else the home's own."""
    from xnode.wallet.keystore import Keystore

    named = os.environ.get("ETH_KEYSTORE")
    return Keystore(Path(named).expanduser() if named else app.home.keystore)


def find_address(app: App, text: str) -> Address:
    """The address that a person names: an address as it is, or a wallet of the keystore; "" for the only one."""
    from xnode.chain.deployment.manifest import parse_address

    if text.startswith("0x"):
        return parse_address(text, "address")
    return require_address(open_keystore(app).find(text))


def require_address(file: KeyFile) -> Address:
    """The key file's address. Raises UserError for one that keeps it to itself."""
    if file.address is None:
        raise UserError("the file does not state its address", where=str(file.path), hint="name the address instead")
    return file.address


async def load_key(app: App, wallet: str, password_file: Path | None, password: str = "") -> WalletKey:
    """The wallet's key, whose password a person is asked for when no file has it. wallet: "" for the only one; password: when
    it is known already."""
    keystore = open_keystore(app)
    found = keystore.find(wallet)
    return await keystore.load(found.name, password or find_password(password_file, f"the key {found.name}"))
