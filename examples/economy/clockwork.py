"""Clockwork: a chain whose blocks and time are ours, on which any address acts without its key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from metering.units import Address
from xnode.chain.deployment.anvil import AnvilOptions, open_anvil
from xnode.chain.node.json_rpc import MAX_BATCH_CALLS, JsonRpc, Reverted
from xnode.text.hex import to_hex

CHAIN_ID = 31337
GAS = 2_000_000
"""Above the dearest act, far below a block: so nothing is estimated, which would run every transaction twice."""

MAX_BLOCKS = 100
"""For the acts of one moment: a few hundred thousand gas each, 30 million in a block."""

RICH_WEI = 10**24


class Act(NamedTuple):
    """One transaction."""

    sender: Address
    to: Address
    data: bytes


class ActFailed(Exception):
    """An act that the scenario counts on reverted: the simulation is wrong, or the contracts are."""


class Clockwork:
    """An anvil that mines only on request. Acts given together share a block as far as it goes, in no order."""

    def __init__(self, rpc: JsonRpc, url: str) -> None:
        self.rpc, self.url = rpc, url
        self.acts_done = 0

    async def take_over(self) -> None:
        """From now on blocks are made by act() and jump(), and no key is needed."""
        await self.rpc.write("evm_setAutomine", False)
        await self.rpc.write("anvil_autoImpersonateAccount", True)
        # Else blocks follow the machine's clock, and a slow one would see another history.
        await self.rpc.write("anvil_setBlockTimestampInterval", 1)

    async def enrich(self, who: Address) -> None:
        """Gives it gas money forever."""
        await self.rpc.write("anvil_setBalance", to_hex(who), hex(RICH_WEI))

    async def act(self, *acts: Act) -> None:
        """Does all of them. Raises ActFailed when one reverts."""
        hashes = [await self.rpc.write("eth_sendTransaction", _make_request(act)) for act in acts]
        receipts: list[Any] = []
        for _ in range(MAX_BLOCKS):
            await self.rpc.write("evm_mine")
            receipts = await self._read_receipts(hashes)
            if all(receipts):
                break
        for act, receipt in zip(acts, receipts, strict=True):
            if receipt is None or receipt["status"] != "0x1":
                raise ActFailed(f"{to_hex(act.sender)} could not {to_hex(act.data[:4])}: {await self._explain(act)}")
        self.acts_done += len(acts)

    async def why_refused(self, act: Act) -> str | None:
        """The name of the error that the act would meet now; None when it would be done."""
        try:
            await self.rpc.read("eth_call", _make_request(act), "latest")
        except Reverted as error:
            return error.revert.name
        return None

    async def mine(self, blocks: int) -> None:
        """Empty blocks."""
        await self.rpc.write("anvil_mine", hex(blocks))

    async def read_time(self) -> int:
        """The newest block's second."""
        return int((await self.rpc.read("eth_getBlockByNumber", "latest", False))["timestamp"], 16)

    async def jump_to(self, second: int) -> None:
        """A block at that second."""
        await self.rpc.write("evm_setNextBlockTimestamp", second)
        await self.rpc.write("evm_mine")

    async def snapshot(self) -> str:
        """A name to come back to, once."""
        name: str = await self.rpc.write("evm_snapshot")
        return name

    async def go_back(self, name: str) -> None:
        """The chain as it was when the snapshot was taken."""
        await self.rpc.write("evm_revert", name)
        # Else the reader takes the chain for a node that lags behind what it has shown.
        self.rpc.pulse.head = -1

    async def _read_receipts(self, hashes: Sequence[str]) -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(hashes), MAX_BATCH_CALLS):
            part = hashes[start : start + MAX_BATCH_CALLS]
            found += await self.rpc.read_batch([("eth_getTransactionReceipt", (one,)) for one in part])
        return found

    async def _explain(self, act: Act) -> str:
        # Asked after the fact, so in a state that may differ: a hint for the reader.
        return await self.why_refused(act) or "it would be done now"


def _make_request(act: Act) -> dict[str, str]:
    return {"from": to_hex(act.sender), "to": to_hex(act.to), "data": to_hex(act.data), "gas": hex(GAS)}


@asynccontextmanager
async def open_clockwork(folder: Path) -> AsyncIterator[Clockwork]:
    """A fresh chain that mines each transaction at once until take_over()."""
    options = AnvilOptions(folder, CHAIN_ID, block_time_s=None)
    async with open_anvil(options) as anvil, JsonRpc(anvil.url, CHAIN_ID, deadline_s=60.0) as rpc:
        yield Clockwork(rpc, anvil.url)
