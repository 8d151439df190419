"""Escrow watch: what the chain says of our escrows, as changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import chain

from metering.units import Hash32
from xnode.backoff import Backoff, retry_forever
from xnode.chain.client import ChainClient
from xnode.chain.node.logs import POLL_S
from xnode.logs import log_id_of
from xnode.loop import Loop
from xnode.node.changes import EscrowSeen
from xnode.node.lease import OPEN
from xnode.node.records import ProviderEscrow, ProviderLease, SubmitterEscrow, SubmitterLease
from xnode.node.state import State
from xnode.ports.chain import Chain, EscrowNews

RETRY = Backoff(first_s=1.0, most_s=5.0)
"""When the chain cannot be asked; escrows wait, nothing is closed for it."""

CALM_POLL_S = 5.0
"""Between looks at the chain while no lease is open and every promise is claimed: all that can happen is a thaw, with
nothing left to claim before it ends."""


class EscrowWatcher:
    """Reads an escrow of ours anew whenever a confirmed event names it; at start, all of them once.

    An event only says where to look: the state that is read is the truth, so a log that is missed, doubled or undone by a
    reorganisation can never leave a wrong number behind.
    """

    def __init__(self, loop: Loop, chain: Chain, news: EscrowNews) -> None:
        self._loop, self._chain, self._news = loop, chain, news

    async def run(self) -> None:
        """Watch forever."""
        async with aclosing(self._news.follow()) as news:
            # An empty first set says that nothing can be missed from here on: now look at all of them once.
            async for escrow_ids in news:
                ours = self._list_ours()
                await self._read_all(escrow_ids & ours if escrow_ids else ours)

    def _list_ours(self) -> set[Hash32]:
        state = self._loop.state
        paying = {escrow.escrow_id for escrow in state.all(SubmitterEscrow)}
        return paying | {escrow.escrow_id for escrow in state.all(ProviderEscrow)}

    async def _read_all(self, escrow_ids: set[Hash32]) -> None:
        for escrow_id in escrow_ids:
            read = partial(self._chain.escrow_state, escrow_id)
            state = await retry_forever("reading an escrow", read, RETRY, escrow=log_id_of(escrow_id))
            await self._loop.tell(EscrowSeen(escrow_id, state.deposited, state.claimed, state.thaw_end))


def find_pause_s(state: State) -> float:
    """How long the chain may be left alone now."""
    leases: Iterator[ProviderLease | SubmitterLease] = chain(state.all(ProviderLease), state.all(SubmitterLease))
    escrows: Iterator[ProviderEscrow | SubmitterEscrow] = chain(state.all(ProviderEscrow), state.all(SubmitterEscrow))
    is_busy = any(one.status in OPEN or one.status == "requested" for one in leases)
    is_owed = any(one.claimed < one.cumulative or one.thaw_end for one in escrows)
    return POLL_S if is_busy or is_owed else CALM_POLL_S


class EscrowEvents:
    """Confirmed events of PaymentEscrow as the ids of the escrows they name.

    It keeps no cursor over restarts: the watcher reads every escrow of ours at its start, so only what comes later counts.
    """

    def __init__(self, chain: ChainClient, find_pause_s: Callable[[], float]) -> None:
        self._chain, self._find_pause_s = chain, find_pause_s

    async def follow(self) -> AsyncGenerator[set[Hash32], None]:
        """See ports.EscrowNews."""
        cursor = await retry_forever("reading the chain's newest block", self._chain.make_cursor, RETRY)
        poller = self._chain.make_poller(cursor, self._find_pause_s)
        yield set()
        while True:
            batch = await poller.next_batch()
            escrow_ids = {getattr(one.event, "escrow_id", None) for one in batch.logs} - {None}
            if escrow_ids:
                yield escrow_ids  # type: ignore[misc]
