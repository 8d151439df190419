"""Client: ports.Chain over JSON-RPC: reads at the newest block, writes by the transactor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
import trio

from metering.terms import Escrow, Opening
from metering.units import ZERO_ADDRESS, Address, Amount, Hash32
from xnode.chain import payment_escrow as pe
from xnode.chain import provider_registry as pr
from xnode.chain.manifest import Manifest
from xnode.chain.rpc import Rpc
from xnode.chain.transactor import Pace, Transactor
from xnode.chain.tx_journal import SqlTxJournal, TxCall
from xnode.ports import ClaimRow, EscrowState, Sent, TransactionSigner


class ChainClient:
    def __init__(self, rpc: Rpc, transactor: Transactor, manifest: Manifest, address: Address) -> None:
        self.rpc, self._tx, self._manifest, self._address = rpc, transactor, manifest, address
        self._escrow = manifest.contracts.payment_escrow
        self._registry = manifest.contracts.provider_registry

    async def check(self) -> str:
        await self.rpc.check_chain_id()
        return f"chain {self._manifest.chain_id}"

    async def free_balance(self, payer: Address, asset: Address) -> Amount:
        return Amount(await self.rpc.view(self._escrow, pe.FREE, payer, asset))

    async def opener_cap(self, payer: Address, opener: Address, asset: Address) -> Amount:
        return Amount(min((1 << 128) - 1, await self.rpc.view(self._escrow, pe.OPENER_CAP, payer, opener, asset)))

    async def escrow_state(self, escrow_id: Hash32) -> EscrowState:
        (row,) = await self.rpc.view(self._escrow, pe.ESCROW_STATES, [escrow_id])
        return EscrowState(Amount(row[0]), Amount(row[1]), row[2])

    async def provider_of(self, node: Address) -> Address | None:
        owner = await self.rpc.view(self._registry, pr.PROVIDER_OF, node)
        owner = bytes.fromhex(owner[2:]) if isinstance(owner, str) else bytes(owner)
        return None if owner == ZERO_ADDRESS else Address(owner)

    async def stake_of(self, provider: Address) -> Amount:
        return Amount(await self.rpc.view(self._registry, pr.STAKE_OF, provider))

    async def open_escrow(self, intent: str, escrow: Escrow, opening: Opening, signature: bytes) -> Sent:
        return await self._send(intent, pe.make_open_by_sig(escrow, opening, escrow.signer, signature))

    async def claim_and_release(self, intent: str, rows: tuple[ClaimRow, ...], release: bool) -> Sent:
        calls = pe.make_claims([row for row in rows if row.voucher is not None])
        if release:
            for row in rows:
                calls.append(pe.make_release(row.escrow, row.voucher.cumulative if row.voucher else Amount(0)))
        return await self._send(intent, calls[0] if len(calls) == 1 else pe.MULTICALL.encode(calls))

    async def start_thaw(self, intent: str, escrow: Escrow) -> Sent:
        return await self._send(intent, pe.START_THAW.encode(pe.make_terms_values(escrow)))

    async def close_escrow(self, intent: str, escrow: Escrow) -> Sent:
        return await self._send(intent, pe.CLOSE.encode(pe.make_terms_values(escrow)))

    async def _send(self, intent: str, data: bytes) -> Sent:
        return await self._tx.send(intent, TxCall(self._escrow, data))

    async def follow(self) -> AsyncIterator[set[Hash32]]:
        """news"""
        last = 0
        while True:
            await trio.sleep(0.5)
            try:
                head = int(await self.rpc.read("eth_blockNumber"), 16)
                if last and head > last:
                    logs = await self.rpc.read(
                        "eth_getLogs",
                        {"address": "0x" + self._escrow.hex(), "fromBlock": hex(last + 1), "toBlock": hex(head)},
                    )
                    ids = {Hash32(bytes.fromhex(log["topics"][1][2:])) for log in logs if len(log["topics"]) > 1}
                    if ids:
                        yield ids
                last = head
            except Exception:
                continue


@asynccontextmanager
async def open_chain(manifest: Manifest, url: str, signer: TransactionSigner, engine: sa.Engine) -> AsyncIterator[ChainClient]:
    async with Rpc(url, manifest.chain_id) as rpc, trio.open_nursery() as nursery:
        journal = SqlTxJournal(engine, manifest.chain_id, signer.address)
        tx = Transactor(rpc, signer, journal, manifest.chain_id, Pace(confirmations=manifest.confirmations, poll_interval_s=0.5))
        await nursery.start(tx.run)
        yield ChainClient(rpc, tx, manifest, signer.address)
        nursery.cancel_scope.cancel()
