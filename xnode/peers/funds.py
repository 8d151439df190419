"""Funds: what those who ask for quotes can pay with, asked of the chain in few requests, however many ask."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import trio

from metering.units import NANOS_PER_SECOND, Amount
from xnode.errors import Permanent, Retryable
from xnode.ports.chain import Chain, Spender
from xnode.ports.clock import Clock
from xnode.repeated_event import RepeatedEvent

ENOUGH_NS = 30 * NANOS_PER_SECOND
"""So long a deposit that was enough is taken to be there still: a quote holds about as long, and the lease is signed only
after the chain was asked again."""

LACKING_NS = 2 * NANOS_PER_SECOND
"""So long one that was not enough is not asked for again: a payer that has just deposited more is asked about soon."""

BATCH = 32
"""Payers asked about in one request: two calls each, and public chain nodes take a hundred."""

PAUSE_S = 0.2
"""Between two requests: five a second at most, however often peers ask. The first after a pause goes at once."""

MAX_WAITING = 5 * BATCH
"""Payers that wait to be asked about: as many as are asked about within a second."""

LOOK_S = 2.5
"""How long the chain may take for somebody who waits three seconds for a quote."""

MAX_SEEN = 10_000
"""Payers remembered; the one asked about longest ago goes first."""


@dataclass(slots=True)
class _Look:
    """One payer that is asked about. spendable: None when the chain did not say, then fault says why."""

    answered: trio.Event = field(default_factory=trio.Event)
    spendable: Amount | None = None
    fault: str = "it has not answered in time"


class SeenFunds:
    """Looks up what a submitter can reserve of its payer's deposit, and remembers it for a while. run() must be running."""

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain, self._clock = chain, clock
        self._seen: OrderedDict[Spender, tuple[int, Amount]] = OrderedDict()
        self._waiting: dict[Spender, _Look] = {}
        self._wanted = RepeatedEvent()

    async def look(self, spender: Spender, needed: Amount) -> Amount:
        """What it can reserve, from memory while that is young enough. Raises Retryable when too many are asked about at
        once, and Permanent when the chain does not say."""
        seen_ns, spendable = self._seen.get(spender, (0, None))
        if spendable is not None:
            fresh_ns = ENOUGH_NS if spendable >= needed else LACKING_NS
            if 0 <= self._clock.now_ns() - seen_ns < fresh_ns:
                return spendable
        look = self._waiting.get(spender)
        if look is None:
            if len(self._waiting) >= MAX_WAITING:
                raise Retryable("too many ask for quotes just now; ask again in a second")
            look = self._waiting[spender] = _Look()
            self._wanted.set()
        with trio.move_on_after(LOOK_S):
            await look.answered.wait()
        if look.spendable is None:
            raise Permanent(f"our chain node did not say what can be paid with: {look.fault}", code="provider_chain")
        return look.spendable

    async def run(self) -> None:
        """Ask for those who wait, forever."""
        while True:
            wanted = self._wanted.next()
            if self._waiting:
                await self._ask_some()
                await trio.sleep(PAUSE_S)
            else:
                await wanted.wait()

    async def _ask_some(self) -> None:
        spenders = list(self._waiting)[:BATCH]
        looks = [self._waiting[one] for one in spenders]
        try:
            with trio.fail_after(LOOK_S):
                found = await self._chain.spendables_of(spenders)
            for spender, look, spendable in zip(spenders, looks, found, strict=True):
                look.spendable = spendable
                self._remember(spender, spendable)
        except (Retryable, Permanent) as error:
            for look in looks:
                look.fault = str(error)
        except trio.TooSlowError:
            pass
        finally:
            for spender, look in zip(spenders, looks, strict=True):
                del self._waiting[spender]
                look.answered.set()

    def _remember(self, spender: Spender, spendable: Amount) -> None:
        self._seen[spender] = (self._clock.now_ns(), spendable)
        self._seen.move_to_end(spender)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
