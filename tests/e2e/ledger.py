"""Ledger: what the chain says of a market's money, read without asking any of our nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trio

from metering.units import Address
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.contracts.events import CLAIMED
from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.text.hex import to_hex


@dataclass(frozen=True, slots=True)
class Money:
    """Base units of OPENX. free: of the payer's pooled deposit; payout: in the provider's wallet; held: by the escrow
    contract; owed: what the contract owes in all."""

    free: int
    payout: int
    held: int
    owed: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The chain of one manifest."""

    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """The chain that this manifest file names."""
        return cls(read_manifest(path))

    def read_money(self, payer: Address, payout: Address) -> Money:
        """The balances now."""
        return trio.run(self._read_money, payer, payout)

    def count_claims(self) -> int:
        """How many vouchers the chain has paid."""
        return trio.run(self._count_claims)

    def set_block_time(self, block_time_s: int) -> None:
        """Have anvil mine a block every so many seconds; 0: never."""
        trio.run(self._set_block_time, block_time_s)

    async def _set_block_time(self, block_time_s: int) -> None:
        async with JsonRpc(self.manifest.rpc_url, self.manifest.chain_id) as rpc:
            await rpc.write("evm_setIntervalMining", block_time_s)

    async def _read_money(self, payer: Address, payout: Address) -> Money:
        escrow, asset = self.manifest.contracts.payment_escrow, self.manifest.find_asset("OPENX").address
        async with JsonRpc(self.manifest.rpc_url, self.manifest.chain_id) as rpc:
            return Money(
                free=await rpc.view(escrow, payment_escrow.FREE, payer, asset),
                payout=await rpc.view(asset, openx_token.BALANCE_OF, payout),
                held=await rpc.view(asset, openx_token.BALANCE_OF, escrow),
                owed=await rpc.view(escrow, payment_escrow.LIABILITIES, asset),
            )

    async def _count_claims(self) -> int:
        query = {
            "address": to_hex(self.manifest.contracts.payment_escrow),
            "topics": [to_hex(CLAIMED.topic)],
            "fromBlock": "0x0",
        }
        async with JsonRpc(self.manifest.rpc_url, self.manifest.chain_id) as rpc:
            return len(await rpc.read("eth_getLogs", query))
