"""Transactions: sends what a person's wallet signs, one after the other, and says what became of each."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from metering.units import Address
from xnode.chain.abi import to_hex
from xnode.chain.amounts import format_amount
from xnode.chain.rpc import Rpc
from xnode.chain.transactor import Pace, Transactor
from xnode.chain.tx_journal import SqlTxJournal, TxCall, make_engine
from xnode.cli.app import App
from xnode.cli.chain_access import Deployment
from xnode.cli.money import NATIVE_DECIMALS
from xnode.cli.password import find_password
from xnode.cli.screen import say
from xnode.cli.wallet import open_keystore
from xnode.errors import ExitCode, Permanent, UserError
from xnode.wallet.signer import WalletKey

SIGNATURE_S = 600
"""How long a signed consent or permit is good: longer than a transaction waits on a busy chain."""


@dataclass(frozen=True)
class Step:
    """One transaction, and what it does in words."""

    what: str
    call: TxCall


@dataclass(frozen=True)
class Purse:
    """A wallet that is open for one command."""

    deployment: Deployment
    key: WalletKey
    rpc: Rpc
    _transactor: Transactor

    @property
    def address(self) -> Address:
        return self.key.address

    async def send(self, steps: Sequence[Step]) -> list[str]:
        """Each step's transaction hash. Raises Permanent when one is refused; those before it stay done."""
        hashes = []
        for step in steps:
            say(f"{step.what} ...")
            sent = await self._transactor.send(f"wallet/{secrets.token_hex(8)}", step.call)
            if not sent.ok:
                raise Permanent(f"{step.what} reverted in transaction {to_hex(sent.tx_hash)}")
            hashes.append(to_hex(sent.tx_hash))
        return hashes

    async def require_gas(self) -> None:
        """Raise UserError when the wallet cannot pay for any transaction."""
        native = int(await self.rpc.read("eth_getBalance", to_hex(self.address), "latest"), 16)
        if native == 0:
            raise UserError(
                f"{to_hex(self.address)} has nothing to pay gas with",
                where=f"chain {self.deployment.manifest.chain_id}",
                todo="send it some of the chain's own coin (on a devnet: xnode devnet fund)",
                code=ExitCode.FUNDS,
            )


@asynccontextmanager
async def open_purse(app: App, deployment: Deployment, wallet: str, password_file: Path | None) -> AsyncIterator[Purse]:
    """A wallet ready to send. Asks for its password before it asks the chain anything."""
    keystore = open_keystore(app)
    entry = keystore.find(wallet)
    key = await keystore.load(entry.name, find_password(password_file, f"wallet {entry.name}"))
    manifest = deployment.manifest
    pace = Pace(confirmations=manifest.confirmations, poll_interval_s=0.2)
    # The journal ends with the command: one that is killed must not go on by itself when the next one starts.
    with tempfile.TemporaryDirectory(prefix="xnode-") as folder:
        journal = SqlTxJournal(make_engine(Path(folder) / "transactions.db"), manifest.chain_id, key.address)
        async with deployment.connect() as rpc, trio.open_nursery() as nursery:
            transactor = Transactor(rpc, key, journal, manifest.chain_id, pace)
            await nursery.start(transactor.run)
            purse = Purse(deployment, key, rpc, transactor)
            await purse.require_gas()
            yield purse
            nursery.cancel_scope.cancel()


def make_deadline() -> int:
    """Seconds UTC until which a signature made now is good."""
    return int(time.time()) + SIGNATURE_S


def make_gas_step(missing_wei: int, to: Address) -> Step:
    """Sends another key of ours the coin it pays gas with."""
    return Step(
        f"sending {format_amount(missing_wei, NATIVE_DECIMALS)} for gas to {to_hex(to)}",
        TxCall(to, b"", value=missing_wei),
    )
