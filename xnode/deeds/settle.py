"""Settle: the chain's news of our escrows, as changes."""

from __future__ import annotations

import structlog
import trio

from metering.units import Hash32
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.node.change import EscrowSeen
from xnode.node.records import ProviderEscrow, SubmitterEscrow
from xnode.ports import Chain, EscrowNews

RETRY_S = 5.0
"""Pause when the chain cannot be asked; escrows wait, nothing is closed for it."""

log = structlog.get_logger()


class EscrowWatcher:
    """Reads an escrow of ours anew whenever a confirmed event names it; at start, all of them once.

    An event only says where to look: the state that is read is the truth, so a log that is missed, doubled or undone by a
    reorganisation can never leave a wrong number behind.
    """

    def __init__(self, loop: Loop, chain: Chain, news: EscrowNews) -> None:
        self._loop, self._chain, self._news = loop, chain, news

    async def run(self) -> None:
        """Watch for ever."""
        await self._read_all(self._list_ours())
        async for escrow_ids in self._news.follow():
            await self._read_all(escrow_ids & self._list_ours())

    def _list_ours(self) -> set[Hash32]:
        state = self._loop.state
        paying = {escrow.escrow_id for escrow in state.all(SubmitterEscrow)}
        return paying | {escrow.escrow_id for escrow in state.all(ProviderEscrow)}

    async def _read_all(self, escrow_ids: set[Hash32]) -> None:
        for escrow_id in escrow_ids:
            while True:
                try:
                    state = await self._chain.escrow_state(escrow_id)
                    break
                except (Retryable, Permanent) as error:
                    log.info("escrow cannot be read yet", escrow="0x" + escrow_id.hex()[:16], reason=str(error))
                    await trio.sleep(RETRY_S)
            await self._loop.tell(EscrowSeen(escrow_id, state.deposited, state.claimed, state.thaw_end))
