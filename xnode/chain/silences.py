"""Silences: claims on chain that a provider is silent about a lease, as they come (implements ports.chain.SilenceNews)."""

from __future__ import annotations

from metering.units import Address, Hash32
from xnode.chain.contracts import breach_prover
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.history import find_block_since
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import ask_head, ask_latest, ask_logs

AGAIN_BLOCKS = 64
"""Read again at each look: a reorganisation may have moved a claim, and a node behind a load balancer may have lagged."""

MAX_SPAN_BLOCKS = 8_192
"""Of one question; a node that takes fewer is asked for fewer."""

MARGIN_S = 600
"""More than the time to answer, looked back at the start."""


class SilenceEvents:
    """It keeps no cursor over restarts: a claim that is older than the time to answer it needs none, so the first look goes
    back by so much and no further. An event only says where to look: what the contract holds is the truth."""

    def __init__(self, rpc: JsonRpc, manifest: Manifest, provider: Address) -> None:
        self._rpc, self._judge = rpc, manifest.contracts.breach_prover
        self._least = manifest.deployed_at_block
        self._topics = (breach_prover.SILENCE_CLAIMED.topic, None, bytes(12) + provider)
        self._span = MAX_SPAN_BLOCKS
        self._next: int | None = None
        self._found: set[Hash32] = set()
        """Of the blocks below _next, not given yet: a look may end in its middle."""

    async def read_claimed(self) -> frozenset[Hash32]:
        """See ports.chain.SilenceNews."""
        head = await self._rpc.ask(ask_head())
        if self._next is None:
            since_s = (await self._rpc.ask(ask_latest())).timestamp - breach_prover.ANSWER_TIME_S - MARGIN_S
            self._next = await find_block_since(self._rpc, since_s, min(self._least, head), head)
        # Also where the chain has gone back behind what was read.
        self._next = max(self._least, min(self._next, head + 1) - AGAIN_BLOCKS)
        while self._next <= head:
            await self._read_part(self._next, min(head, self._next + self._span - 1))
        found, self._found = frozenset(self._found), set()
        return found

    async def _read_part(self, first: int, last: int) -> None:
        try:
            logs = await self._rpc.ask(ask_logs((self._judge,), self._topics, first, last))
        except NodeRefused:
            # Nodes limit blocks or results in their own words: ask for less, until one block is refused.
            if self._span == 1:
                raise
            self._span = max(1, min(self._span, last - first + 1) // 2)
            return
        self._span = min(2 * self._span, MAX_SPAN_BLOCKS)
        self._found |= {log.topics[1] for log in logs}
        self._next = last + 1
