"""Purse: a wallet of the keystore, opened to pay for one command."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from xnode.chain.abi.codec import to_hex
from xnode.chain.deployment.check import check_deployment
from xnode.chain.payer import Payer, open_payer
from xnode.chain.send.transactor import Pace
from xnode.chain.send.tx_journal import make_engine
from xnode.cli.access.deployment import Deployment
from xnode.cli.app import App
from xnode.cli.money.wallet import open_keystore
from xnode.cli.terminal.password import find_password
from xnode.errors import ExitCode, UserError
from xnode.wallet.signer import WalletKey

_PACE = Pace(poll_interval_s=0.2)
"""A person is waiting."""


@asynccontextmanager
async def open_purse(app: App, deployment: Deployment, wallet: str, password_file: Path | None) -> AsyncIterator[Payer]:
    """The wallet's payer. Asks for the password before it asks the chain anything."""
    key = await load_key(app, wallet, password_file)
    # The journal ends with the command: one that is killed must not go on by itself when the next one starts.
    with tempfile.TemporaryDirectory(prefix="xnode-") as folder:
        engine = make_engine(Path(folder) / "transactions.db")
        async with open_payer(deployment.manifest, key, engine, rpc_url=deployment.rpc_url, pace=_PACE) as payer:
            await check_deployment(payer.rpc, deployment.manifest)
            await _require_gas(payer)
            yield payer


async def load_key(app: App, wallet: str, password_file: Path | None) -> WalletKey:
    """The wallet's key, whose password a person is asked for when no file has it. wallet: "" for the only one."""
    keystore = open_keystore(app)
    entry = keystore.find(wallet)
    return await keystore.load(entry.name, find_password(password_file, f"wallet {entry.name}"))


def make_intent(what: str) -> str:
    """A name for one effect of this command; another command's is another effect."""
    return f"{what}/{secrets.token_hex(8)}"


async def _require_gas(payer: Payer) -> None:
    if not await payer.native_balance(payer.address):
        raise UserError(
            f"{to_hex(payer.address)} has nothing to pay gas with",
            where=f"chain {payer.manifest.chain_id}",
            hint="send it some of the chain's own coin (on a devnet: xnode devnet fund)",
            code=ExitCode.FUNDS,
        )
