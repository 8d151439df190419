"""Breach events: leases that an event of BreachProver names, as they come: of claims that a provider is silent, and of breaches
that were proved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from metering.units import Address, Hash32
from xnode.chain.contracts import breach_prover, provider_registry
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.history import find_block_since
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import Topic, ask_head, ask_latest, ask_logs

AGAIN_BLOCKS = 64
"""Read again at each look: a reorganisation may have moved an event, and a node behind a load balancer may have lagged."""

MAX_SPAN_BLOCKS = 8_192
"""Of one question; a node that takes fewer is asked for fewer."""

MAX_QUESTIONS = 64
"""Of one look; the next goes on. Three weeks of a chain of four blocks a second are 900 questions."""

MARGIN_S = 600
"""More than the time that matters, looked back at the start."""


class BreachEvents(ABC):
    """It keeps no cursor over restarts: an event that is older than what it announces needs no look, so the first look goes
    back by so much and no further. An event only says where to look: what the contract holds is the truth."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, topics: Sequence[Topic]) -> None:
        self._rpc, self._manifest, self._topics = rpc, manifest, tuple(topics)
        self._span = MAX_SPAN_BLOCKS
        self._next: int | None = None
        self._found: set[Hash32] = set()
        """Of the blocks below _next, not given yet: a look may end in its middle."""

    @abstractmethod
    async def _find_back_s(self) -> int:
        """For how many seconds an event matters."""

    async def _read_new(self) -> frozenset[Hash32]:
        """The leases of the events since the last call; what the last blocks hold may come again. Raises Retryable when the
        chain node cannot be reached."""
        head, least = await self._rpc.ask(ask_head()), self._manifest.deployed_at_block
        if self._next is None:
            since_s = (await self._rpc.ask(ask_latest())).timestamp - await self._find_back_s() - MARGIN_S
            self._next = await find_block_since(self._rpc, since_s, min(least, head), head)
        if self._next > head + 1:
            # The chain has gone back behind what was read.
            self._next = max(least, head + 1 - AGAIN_BLOCKS)
        for _ in range(MAX_QUESTIONS):
            await self._read_part(self._next, min(head, self._next + self._span - 1))
            if self._next > head:
                self._next = max(least, self._next - AGAIN_BLOCKS)
                break
        found, self._found = frozenset(self._found), set()
        return found

    async def _read_part(self, first: int, last: int) -> None:
        judge = self._manifest.contracts.breach_prover
        try:
            logs = await self._rpc.ask(ask_logs((judge,), self._topics, first, last))
        except NodeRefused:
            # Nodes limit blocks or results in their own words: ask for less, until one block is refused.
            if self._span == 1:
                raise
            self._span = max(1, min(self._span, last - first + 1) // 2)
            return
        self._span = min(2 * self._span, MAX_SPAN_BLOCKS)
        self._found |= {log.topics[1] for log in logs}
        self._next = last + 1


class SilenceEvents(BreachEvents):
    """Claims on chain that a provider is silent about a lease (implements ports.chain.SilenceNews)."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, provider: Address) -> None:
        super().__init__(rpc, manifest, (breach_prover.SILENCE_CLAIMED.topic, None, bytes(12) + provider))

    async def read_claimed(self) -> frozenset[Hash32]:
        """See ports.chain.SilenceNews."""
        return await self._read_new()

    async def _find_back_s(self) -> int:
        return breach_prover.ANSWER_TIME_S


class ShortfallEvents(BreachEvents):
    """Breaches that were proved on chain (implements ports.chain.ShortfallNews), of anybody's leases: an event names no payer."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest) -> None:
        super().__init__(rpc, manifest, (breach_prover.BREACH_PROVEN.topic,))

    async def read_noted(self) -> frozenset[Hash32]:
        """See ports.chain.ShortfallNews."""
        return await self._read_new()

    async def _find_back_s(self) -> int:
        registry = self._manifest.contracts.provider_registry
        return await self._rpc.view(registry, provider_registry.STAKE_THAW) + provider_registry.COLLECT_TIME_S
