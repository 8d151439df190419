"""Registrations: what the chain says of the providers in the book: who owns a node key, and how much is staked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from metering.units import NANOS_PER_SECOND, Address, Amount
from xnode.errors import Permanent, Retryable
from xnode.ports.chain import Chain
from xnode.ports.clock import Clock

STAKE_FRESH_NS = 60 * NANOS_PER_SECOND
"""A stake read within this is not read again: thawing takes days, so it hardly moves in a minute."""

LEARN_S = 3.0
"""How long a search waits for the chain to say who owns the nodes whose owner is not known."""

READ_S = 8.0
"""How long one question to the chain may take somebody who waits for all of an answer: a node that only drips is not known."""

MAX_ASKED = 16
"""Owners asked for at once."""

MAX_STAKES_READ = 2_000
"""At once: twenty batches of a hundred calls. In a larger market the others are read the next times, and not known until then."""


class Registrations:
    """Remembers answers. An answer that the chain did not give is absent: "not known" is neither "not registered" nor zero."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._owners: dict[Address, Address | None] = {}
        self._stakes: dict[Address, tuple[int, Amount]] = {}

    async def learn_owner(self, node: Address, anew: bool = False) -> str:
        """Ask the chain who owns a node key, unless that is known (or anew: even then). "Not registered" is asked again, because
        that may change at any moment. "", or why the chain did not say."""
        if anew or self._owners.get(node) is None:
            try:
                with trio.fail_after(READ_S):
                    self._owners[node] = await self._chain.provider_of(node)
            except (Retryable, Permanent) as error:
                self._owners.pop(node, None)
                return str(error)
            except trio.TooSlowError:
                self._owners.pop(node, None)
                return f"the chain node has not answered for {READ_S:g} s"
        return ""

    async def learn_owners(self, nodes: Iterable[Address]) -> None:
        """The same for many at once, for so long as a reader may wait; what comes later is there the next time."""
        slots = trio.CapacityLimiter(MAX_ASKED)

        async def learn(node: Address) -> None:
            async with slots:
                await self.learn_owner(node)

        with trio.move_on_after(LEARN_S):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    if self._owners.get(node) is None:
                        nursery.start_soon(learn, node)

    def knows_owner(self, node: Address) -> bool:
        """True when the chain has answered who owns the node key."""
        return node in self._owners

    def owner_of(self, node: Address) -> Address | None:
        """The registered owner; None when there is none, or none is known."""
        return self._owners.get(node)

    async def read_stakes(self, providers: Iterable[Address]) -> Mapping[Address, Amount]:
        """The providers' stakes in base units of OPENX, asked for in one batch; those that cannot be had are absent."""
        wanted, now_ns = sorted(set(providers)), self._clock.now_ns()
        due = [one for one in wanted if one not in self._stakes or now_ns - self._stakes[one][0] > STAKE_FRESH_NS]
        if due:
            due = due[:MAX_STAKES_READ]
            try:
                with trio.fail_after(READ_S):
                    found = await self._chain.stakes_of(due)
            except (Retryable, Permanent, trio.TooSlowError):
                found = ()
                for one in due:
                    self._stakes.pop(one, None)
            self._stakes |= {one: (now_ns, stake) for one, stake in zip(due, found, strict=False)}
        return {one: self._stakes[one][1] for one in wanted if one in self._stakes}
