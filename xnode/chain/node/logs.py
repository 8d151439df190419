"""Logs: confirmed events in order, across reorgs, restarts and outages of the chain node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
import trio
from eth_abi.exceptions import DecodingError

from metering.units import Address, Hash32
from xnode.backoff import Backoff
from xnode.chain.abi.log import Log
from xnode.chain.contracts.events import ChainLog, decode_log, events_by_topic
from xnode.chain.node.answers import Block, Question, UnfitAnswer
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import ask_block, ask_head, ask_logs
from xnode.errors import Permanent, Retryable
from xnode.outage import Outage

RING_BLOCKS = 64
"""Blocks whose hashes we remember, to find where a reorg began; one that is deeper makes us read all again."""

MAX_SPAN_BLOCKS = 500
"""Of one eth_getLogs: public nodes commonly allow at least this."""

MAX_SILENT_BLOCKS = 256
"""Without events a batch is given this rarely: often enough to begin near the head after a restart."""

POLL_S = 1.0
"""Between looks for a new block, when something waits for one."""

BACKOFF = Backoff(first_s=0.25, most_s=15.0)
"""Between polls while the node is away."""

log = structlog.get_logger(__name__)


class Cursor(msgspec.Struct, frozen=True):
    """How far we have read: number and hash of the last blocks given, oldest first. Save it with what the batch led to."""

    ring: tuple[tuple[int, Hash32], ...] = ()


class LogBatch(msgspec.Struct, frozen=True):
    """All our events of blocks first_block to last_block, in order. rolled_back_to: set when the chain went back: what was
    given of blocks above this one has not happened, unless it comes again."""

    first_block: int
    last_block: int
    logs: tuple[ChainLog, ...]
    cursor: Cursor
    rolled_back_to: int | None = None


class LogPoller:
    """Reads the events of some contracts from a block on, or on from a saved cursor."""

    def __init__(
        self,
        rpc: JsonRpc,
        addresses: tuple[Address, ...],
        start_block: int,
        confirmations: int,
        cursor: Cursor | None = None,
        find_pause_s: Callable[[], float] = lambda: POLL_S,
    ) -> None:
        """find_pause_s: how long to wait now before the next look."""
        self._rpc, self._start, self._confirmations = rpc, start_block, confirmations
        self._addresses = addresses
        self._ring = list(cursor.ring) if cursor else []
        self._first = self._next_block()
        self._rolled_back_to: int | None = None
        self._span = MAX_SPAN_BLOCKS
        self._find_pause_s = find_pause_s
        self._outage = Outage("reading chain logs")

    async def next_batch(self) -> LogBatch:
        """The next batch, as soon as there is one. Waits out whatever is wrong with the node; never raises."""
        pauses = BACKOFF.pauses()
        while True:
            least_s = 0.0
            try:
                batch = await self._poll()
                self._outage.over()
                if batch is not None:
                    return batch
                pauses = BACKOFF.pauses()
            except (Retryable, Permanent, ValueError, KeyError, TypeError) as error:
                # Also nonsense from a node is waited out: a person or a load balancer may fix it meanwhile.
                self._outage.failed(str(error), next_block=self._next_block())
                least_s = next(pauses)
            await self._pause(least_s)

    async def _pause(self, least_s: float) -> None:
        """As long as find_pause_s says; it is asked again meanwhile, because something may have come up."""
        began = trio.current_time()
        while True:
            left_s = began + max(least_s, self._find_pause_s()) - trio.current_time()
            if left_s <= 0:
                return
            await trio.sleep(min(left_s, POLL_S))

    async def _poll(self) -> LogBatch | None:
        """Reads until there is something to give or nothing more to read."""
        while True:
            head, last_given = await self._read_head()
            await self._walk_back(head, last_given)
            first, safe = self._next_block(), head - self._confirmations + 1
            if first > safe:
                return None
            last = min(safe, first + self._span - 1)
            logs = await self._read_logs(first, last)
            if logs is None:
                return None
            if logs or self._rolled_back_to is not None or last - self._first + 1 >= MAX_SILENT_BLOCKS:
                return self._make_batch(last, logs)

    async def _read_head(self) -> tuple[int, Block | None]:
        """The newest block's number, and the last remembered block as the node has it now: one request, because this is
        all that most polls ask."""
        calls: list[Question[Any]] = [ask_head()]
        if self._ring:
            calls.append(ask_block(self._ring[-1][0]))
        number, *blocks = await self._rpc.ask_all(calls)
        self._rpc.pulse.saw_head(number)
        return number, blocks[0] if blocks else None

    async def _walk_back(self, head: int, last_given: Block | None) -> None:
        """Forgets remembered blocks that are no longer in the chain.

        Those above the head are left alone: a node behind a load balancer may only lag. They are compared when the head
        is past them again.
        """
        if self._ring and head + RING_BLOCKS < self._ring[0][0]:
            # No lag explains this: another chain, begun again from nothing.
            self._roll_back([])
        known = [entry for entry in self._ring if entry[0] <= head]
        while known:
            number, block_hash = known[-1]
            block: Block | None
            if known[-1] == self._ring[-1] and last_given is not None:
                block, last_given = last_given, None
            else:
                block = await self._rpc.ask(ask_block(number))
            if block is not None and block.hash == block_hash:
                return
            if block is None:
                raise Retryable(f"chain node {self._rpc.where} does not show block {number} yet")
            known.pop()
            self._roll_back(known)

    def _roll_back(self, ring: list[tuple[int, Hash32]]) -> None:
        self._ring = list(ring)
        self._first = self._next_block()
        self._rolled_back_to = self._first - 1
        log.warning("chain reorganized", from_block=self._first)

    async def _read_logs(self, first: int, last: int) -> tuple[ChainLog, ...] | None:
        """The events of these blocks, and the last block remembered; None when the chain moved meanwhile."""
        wanted = ask_logs(self._addresses, (tuple(events_by_topic()),), first, last)
        try:
            before, found, after = await self._rpc.ask_all([ask_block(last), wanted, ask_block(last)])
        except NodeRefused:
            # Nodes limit blocks or results in their own words: ask for less, until one block is refused.
            if self._span == 1:
                raise
            self._span = max(1, self._span // 2)
            return None
        self._span = min(2 * self._span, MAX_SPAN_BLOCKS)
        # The same last block before and after means that the logs between are of one chain.
        if before is None or after is None or before.hash != after.hash or not self._follows(before, first):
            return None
        logs = self._decode(found)
        self._ring = [*self._ring, (last, after.hash)][-RING_BLOCKS:]
        return logs

    def _decode(self, found: tuple[Log, ...]) -> tuple[ChainLog, ...]:
        try:
            return tuple(decoded for log in found if (decoded := decode_log(log)) is not None)
        except (DecodingError, ValueError, OverflowError) as error:
            raise UnfitAnswer(f"chain node {self._rpc.where} gave a log that is no event of ours: {error}") from error

    def _follows(self, block: Block, first: int) -> bool:
        if not self._ring or block.number != first:
            return True
        return block.parent_hash == self._ring[-1][1]

    def _make_batch(self, last: int, logs: tuple[ChainLog, ...]) -> LogBatch:
        batch = LogBatch(self._first, last, logs, Cursor(tuple(self._ring)), self._rolled_back_to)
        self._first, self._rolled_back_to = last + 1, None
        return batch

    def _next_block(self) -> int:
        return self._ring[-1][0] + 1 if self._ring else self._start
