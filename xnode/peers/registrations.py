"""Registrations: what the chain says of the providers in the book: who owns a node key, and what is staked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import trio

from metering.units import NANOS_PER_SECOND, Address
from xnode.errors import Permanent, Retryable
from xnode.ports.chain import Chain, Staked
from xnode.ports.clock import Clock

STAKE_FRESH_NS = 60 * NANOS_PER_SECOND
"""A stake read within this is not read again: thawing takes days, so it hardly moves in a minute."""

OWNER_FRESH_NS = 600 * NANOS_PER_SECOND
"""So long an owner is taken to be the owner still: a node key changes hands by its owner's own doing."""

NOBODY_FRESH_NS = 10 * NANOS_PER_SECOND
"""So long a node key that nobody has registered is not asked for again: a node that registers is seen soon, and
offers of nodes that never do cost little."""

LEARN_S = 3.0
"""How long a reader waits for the chain to say who owns the nodes whose owner is not known."""

READ_S = 8.0
"""How long one question to the chain may take somebody who waits for all of an answer: a node that only drips is not known."""

MAX_READ = 2_000
"""Owners or stakes asked for at once: about twenty batches of a hundred calls, and forty more where all have a stake. In a
larger market the others are read the next times, and not known until then."""

MAX_KNOWN = 50_000
"""Nodes and providers remembered; the one asked about longest ago goes first."""

T = TypeVar("T")


class Registrations:
    """Remembers answers. An answer that the chain did not give is absent: "not known" is neither "not registered" nor zero."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._owners: dict[Address, tuple[int, Address | None]] = {}
        self._stakes: dict[Address, tuple[int, Staked]] = {}

    async def learn_owner(self, node: Address, anew: bool = False) -> str:
        """Ask the chain who owns a node key, unless that is known (or anew: even then). "", or why the chain did not say."""
        if anew:
            self._owners.pop(node, None)
        return await self._learn([node], READ_S)

    async def learn_owners(self, nodes: Iterable[Address], wait_s: float = LEARN_S) -> str:
        """The same for many in one batch, for so long as a reader may wait; what is missing is asked for the next time."""
        return await self._learn(nodes, wait_s)

    async def _learn(self, nodes: Iterable[Address], wait_s: float) -> str:
        due = [node for node in dict.fromkeys(nodes) if self.is_due(node)][:MAX_READ]
        if not due:
            return ""
        try:
            with trio.fail_after(wait_s):
                found = await self._chain.providers_of(due)
        except (Retryable, Permanent) as error:
            return self._forget_nobodies(due, str(error))
        except trio.TooSlowError:
            return self._forget_nobodies(due, f"the chain node has not answered for {wait_s:g} s")
        now_ns = self._clock.now_ns()
        for node, owner in zip(due, found, strict=True):
            _remember(self._owners, node, (now_ns, owner))
        return ""

    def _forget_nobodies(self, nodes: Sequence[Address], reason: str) -> str:
        """An owner that was told stays until the chain says otherwise; that there is none may have changed at any moment."""
        for node in nodes:
            if self.owner_of(node) is None:
                self._owners.pop(node, None)
        return reason

    def is_due(self, node: Address) -> bool:
        """True when the chain has not said who owns the node key, or said so too long ago."""
        seen = self._owners.get(node)
        if seen is None:
            return True
        at_ns, owner = seen
        return self._clock.now_ns() - at_ns > (NOBODY_FRESH_NS if owner is None else OWNER_FRESH_NS)

    def knows_owner(self, node: Address) -> bool:
        """True when the chain has answered who owns the node key."""
        return node in self._owners

    def known_nodes(self) -> Iterable[Address]:
        """The nodes of which the chain has answered."""
        return self._owners.keys()

    def owner_of(self, node: Address) -> Address | None:
        """The registered owner; None when there is none, or none is known."""
        seen = self._owners.get(node)
        return seen[1] if seen is not None else None

    async def read_stakes(self, providers: Iterable[Address]) -> Mapping[Address, Staked]:
        """The providers' stakes, asked for in one batch; those that cannot be had are absent."""
        wanted = sorted(set(providers))
        known = self.known_stakes(wanted)
        due = [one for one in wanted if one not in known][:MAX_READ]
        if not due:
            return known
        try:
            with trio.fail_after(READ_S):
                found = await self._chain.stakes_of(due)
        except (Retryable, Permanent, trio.TooSlowError):
            found = ()
            for one in due:
                self._stakes.pop(one, None)
        now_ns = self._clock.now_ns()
        for one, stake in zip(due, found, strict=False):
            _remember(self._stakes, one, (now_ns, stake))
        return self.known_stakes(wanted)

    def known_stakes(self, providers: Iterable[Address]) -> dict[Address, Staked]:
        """Those of them that were read a moment ago; nothing is asked."""
        now_ns, known = self._clock.now_ns(), {}
        for one in providers:
            seen = self._stakes.get(one)
            if seen is not None and now_ns - seen[0] <= STAKE_FRESH_NS:
                known[one] = seen[1]
        return known


def _remember(known: dict[Address, T], key: Address, value: T) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_KNOWN:
        del known[next(iter(known))]
