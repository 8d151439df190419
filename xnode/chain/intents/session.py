"""WalletSession: one wallet with one chain node, whose transactions are watched while it is open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import trio
from sqlalchemy import Engine

from metering.eip712 import Domain
from metering.units import Address
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.reads import ChainReads
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, TxCall
from xnode.errors import ExitCode, Permanent, UserError
from xnode.ports.chain import Sent
from xnode.ports.wallet import TransactionSigner
from xnode.text.hex import to_hex


class WalletSigner(TransactionSigner, Protocol):
    """A wallet's key: transactions and typed data in any domain."""

    def sign_typed(self, domain: Domain, type_name: str, value: Any) -> bytes: ...


class WalletSession(ChainReads):
    """Reads the contracts, and sends named intents from one wallet. The other modules of this folder say what they do."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, key: WalletSigner, transactor: Transactor) -> None:
        super().__init__(rpc, manifest)
        self._key, self._transactor = key, transactor

    @property
    def address(self) -> Address:
        """Whose wallet it is."""
        return self._key.address

    @property
    def is_waiting(self) -> bool:
        """True while a transaction of it is on its way."""
        return self._transactor.in_flight > 0

    def sign_typed(self, domain: Domain, type_name: str, value: Any) -> bytes:
        """The wallet's 65 bytes over the EIP-712 digest of `value`."""
        return self._key.sign_typed(domain, type_name, value)

    async def send(self, intent: str, to: Address, data: bytes, wei: int = 0) -> Sent:
        """The confirmed transaction of this intent, sent once however often it is asked. Permanent when it reverted."""
        sent = await self._transactor.send(intent, TxCall(to, data, wei))
        if not sent.ok:
            raise Permanent(f"{intent} reverted in transaction {to_hex(sent.tx_hash)}", code="reverted")
        return sent

    async def send_native(self, intent: str, to: Address, wei: int) -> Sent:
        """Pays wei out, such as to a node key that has gas to pay."""
        return await self.send(intent, to, b"", int(wei))


@asynccontextmanager
async def open_session(
    manifest: Manifest, key: WalletSigner, engine: Engine, *, rpc_url: str = "", pace: Pace | None = None
) -> AsyncIterator[WalletSession]:
    """A session for as long as the block runs. engine: tx_journal.make_engine of a file; rpc_url: "" is the manifest's."""
    url = rpc_url or manifest.rpc_url
    if not url:
        raise UserError("no chain node is named", where="chain.rpc_url", hint="set it", code=ExitCode.USAGE)
    journal = SqlTxJournal(engine, manifest.chain_id, key.address)
    pace = replace(pace or Pace(), confirmations=manifest.confirmations)
    async with (
        JsonRpc(url, manifest.chain_id, least_block=manifest.deployed_at_block) as rpc,
        trio.open_nursery() as nursery,
    ):
        transactor = Transactor(rpc, key, journal, manifest.chain_id, pace)
        await nursery.start(transactor.run)
        yield WalletSession(rpc, manifest, key, transactor)
        nursery.cancel_scope.cancel()
