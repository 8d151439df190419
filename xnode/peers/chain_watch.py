"""Chain watch: whether our chain node is there and how fast its blocks come, and what our key can still pay for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import trio

from metering.units import NANOS_PER_SECOND
from xnode.chain.client import ChainClient
from xnode.chain.deployment.chains import OPENING_BLOCKS, OPENING_MOST_S
from xnode.errors import Permanent, Retryable
from xnode.node.changes import ChainSeen
from xnode.outage import Outage
from xnode.ports.chain import Fuel

LOOK_S = 15.0
"""Between looks while all is well."""

AGAIN_S = 5.0
"""Between looks while something is not: a job may wait."""

MEASURE_S = 600.0
"""Between measures of the blocks' pace, which hardly changes."""

MOST_AFFORDABLE = 1_000_000
"""More makes no difference: no host serves so many leases."""


def round_affordable(transactions: int) -> int:
    """Two digits of it, never more than there is: each change is journalled, and the price of gas moves all the time."""
    least = min(transactions, MOST_AFFORDABLE)
    step = int(10 ** max(0, len(str(least)) - 2))
    return least // step * step


class ChainWatch:
    """Runs until cancelled; one for a daemon. tell: takes what is seen, whenever it has changed."""

    def __init__(self, chain: ChainClient, tell: Callable[[ChainSeen], Awaitable[None]], fault: str = "") -> None:
        """fault: what is wrong already, so that all is checked again."""
        self._chain, self._tell, self._fault = chain, tell, fault
        self._outage = Outage("asking the chain node")
        self._measured_at = -inf
        self._told: ChainSeen | None = None
        self.fuel: Fuel | None = None
        """What the key can pay for; None before it is known."""

    def problem(self) -> str:
        """One line about what is wrong with the chain or its node now, "" when nothing is."""
        return self._chain.rpc.pulse.describe() or self._fault

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._look()
            await trio.sleep(AGAIN_S if self._fault else LOOK_S)

    async def _look(self) -> None:
        try:
            # Contracts cannot change under an address, so all of it is checked again only after a fault.
            await (self._chain.check() if self._fault else self._chain.check_is_there())
            await self._chain.head_number()
            if trio.current_time() - self._measured_at >= MEASURE_S:
                await self._chain.measure_pace()
                self._measured_at = trio.current_time()
            self.fuel = await self._chain.read_fuel()
            await self._tell_news(self.fuel)
        except (Retryable, Permanent) as error:
            self._fault = str(error)
            self._outage.failed(self._fault)
        else:
            self._fault = ""
            self._outage.over()

    async def _tell_news(self, fuel: Fuel) -> None:
        pace = self._chain.rpc.pulse.pace
        blocks = OPENING_BLOCKS + self._chain.manifest.confirmations
        opening_s = min(blocks * pace.usual_s, OPENING_MOST_S) if pace else 0.0
        seen = ChainSeen(round(opening_s) * NANOS_PER_SECOND, round_affordable(fuel.transactions))
        if seen != self._told:
            await self._tell(seen)
            self._told = seen
