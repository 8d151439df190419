"""Revealer: shows leaves of this host's recorded answers when somebody paid to see them."""

from __future__ import annotations

import structlog
import trio

from metering.units import Address
from xnode.capacity.judging import make_tasks
from xnode.challenge.demands import Asked, OpenDemands, RevealState
from xnode.challenge.kept_products import KeptProducts, Key, TooSoon
from xnode.errors import Permanent, Retryable
from xnode.outage import Outage
from xnode.ports.capacity import CapacityChain
from xnode.ports.reveals import Demand, RevealChain

LOOK_S = 30.0
"""Between looks for demands: there is a day to answer."""

MORE_S = 1.0
"""As long while demands wait that could be answered now."""

RETRY_S = 300.0
"""After a demand could not be answered: a device that is at work may be free later."""

BATCH = 64
"""Demands read at once."""

WINDOW = 1_024
"""Demands answered together: one computation of a device serves all of them. Their proofs take 16 MiB."""

SENDS_AT_ONCE = 48
"""Answers under way, with successive nonces, in no order among each other: each waits for its confirmations. With twelve of
Ethereum's that is some 28,000 a day; the transactor lets no more of them wait in the nodes' pools than these promise to hold."""

log = structlog.get_logger()


class Revealer:
    """Runs until cancelled; one for a provider's daemon."""

    def __init__(self, me: Address, capacity: CapacityChain, chain: RevealChain) -> None:
        self._me, self._capacity, self._chain = me, capacity, chain
        self._demands = OpenDemands()
        self._products = KeptProducts()
        self._next: int | None = None
        """The first number that was not read."""
        self._now = 0, 0.0
        """The chain's time, and when it was read (trio's clock)."""
        self.state = RevealState()
        """As of the last look, or of what came since."""

    @property
    def computed(self) -> int:
        """How many products were computed again."""
        return self._products.computed

    async def run(self) -> None:
        """Look and answer until cancelled."""
        outage = Outage("watching for demands to reveal answers")
        try:
            while True:
                try:
                    await self.look()
                    outage.over()
                except (Retryable, Permanent) as error:
                    outage.failed(str(error))
                # More than one window of demands is waited for by nobody.
                more = self._demands.find_due(trio.current_time(), 1)
                await trio.sleep(min(LOOK_S, MORE_S) if more else LOOK_S)
        finally:
            await self.close()

    async def close(self) -> None:
        """End every process that keeps a product."""
        with trio.CancelScope(shield=True):
            await self._products.keep_only(())

    async def look(self) -> None:
        """Find what is new, and answer what is due first."""
        try:
            now_s = await self._find_new()
            self._now = now_s, trio.current_time()
            over = self._demands.close_late(now_s)
            if over:
                log.error("demands were not answered in time", demands=over[:4], count=len(over))
            self._tell()
            window = await self._read_again(self._demands.find_due(trio.current_time(), WINDOW))
            await self._answer(window)
            self._tell()
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """Products that no open demand asks for. Of those whose leaves were not read nobody knows yet."""
        open_now = [asked for asked in self._demands if not asked.is_hopeless]
        if all(asked.leaves for asked in open_now):
            await self._products.keep_only(
                (asked.challenge_id, leaf.device) for asked in open_now for leaf in asked.leaves
            )

    def _tell(self) -> None:
        now_s, read_at = self._now
        self.state = self._demands.judge(now_s + int(trio.current_time() - read_at))

    # ------------------------------------------------------------------------------------------------------- finding

    async def _find_new(self) -> int:
        """Demands of us that were not read yet, from the first due on, while there is room; the chain's time."""
        last, now_s = await self._chain.count_demands(), await self._chain.read_time()
        if self._next is None:
            self._next = await self._find_first(last, now_s)
        # After a reorganisation there may be fewer.
        self._next = min(self._next, last + 1)
        while self._next <= last and self._demands.has_room:
            until = min(last, self._next + BATCH - 1)
            for demand in await self._chain.read_demands(self._next, until):
                if demand.provider == self._me and demand.stage == "demanded" and demand.deadline >= now_s:
                    self._demands.add(demand)
            self._next = until + 1
        self._demands.has_more = self._next <= last
        return now_s

    async def _find_first(self, last: int, now_s: int) -> int:
        """The first number whose deadline is not over: deadlines ascend with numbers."""
        low, high = 1, last + 1
        while low < high:
            middle = (low + high) // 2
            (demand,) = await self._chain.read_demands(middle, middle)
            low, high = (middle + 1, high) if demand.deadline < now_s else (low, middle)
        return low

    async def _read_again(self, window: list[Asked]) -> list[Asked]:
        """Those of them that are open still, with their leaves. One whose log is not there yet waits for a later look."""
        found: list[Asked] = []
        for first in range(0, len(window), BATCH):
            part = window[first : first + BATCH]
            now = {one.number: one for one in await self._read(part)}
            for asked in part:
                number = asked.demand.number
                fresh = now.get(number)
                if fresh is None or fresh.stage != "demanded" or fresh.provider != self._me:
                    self._demands.close([number])
                    continue
                if fresh != asked.demand:
                    # A reorganisation: this number is another demand's.
                    asked.demand, asked.leaves = fresh, ()
                if await self._read_leaves(asked):
                    found.append(asked)
        return found

    async def _read(self, part: list[Asked]) -> list[Demand]:
        numbers = [asked.demand.number for asked in part]
        if numbers[-1] - numbers[0] < BATCH:
            return list(await self._chain.read_demands(numbers[0], numbers[-1]))
        return [demand for number in numbers for demand in await self._chain.read_demands(number, number)]

    async def _read_leaves(self, asked: Asked) -> bool:
        if asked.leaves:
            return True
        try:
            asked.challenge_id, asked.leaves = await self._chain.read_leaves(asked.demand)
        except (Retryable, Permanent) as error:
            self._put_off([asked], str(error))
            return False
        return True

    # ----------------------------------------------------------------------------------------------------- answering

    async def _answer(self, window: list[Asked]) -> None:
        """Device by device, in the order in which the demands are due; what is complete is sent meanwhile."""
        begun, before = trio.current_time(), len(self._demands)
        slots = trio.CapacityLimiter(SENDS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for key in dict.fromkeys((asked.challenge_id, leaf.device) for asked in window for leaf in asked.leaves):
                theirs = [asked for asked in window if _is_wanting(asked, key)]
                if not theirs:
                    continue
                await self._prove(key, theirs)
                self._tell()
                for asked in theirs:
                    if asked.is_proven:
                        nursery.start_soon(self._send, asked, slots)
        answered = before - len(self._demands)
        if answered:
            self._demands.pace_s = (trio.current_time() - begun) / answered

    async def _prove(self, key: Key, theirs: list[Asked]) -> None:
        challenge_id, device = key
        leaves = [leaf for asked in theirs for leaf in asked.leaves if leaf.device == device]
        try:
            challenge = await self._capacity.read_challenge(challenge_id)
            task = next(task for task in make_tasks(challenge, challenge.seed) if task.device == device)
            proofs = await self._products.prove(key, task, leaves)
        except TooSoon as soon:
            for asked in theirs:
                asked.try_at = soon.until
                asked.proofs.clear()
            return
        except (Retryable, Permanent) as error:
            self._put_off(theirs, str(error))
            return
        for asked in theirs:
            mine = {leaf: proofs[leaf] for leaf in asked.leaves if leaf in proofs}
            asked.proofs |= mine
            if any(leaf.device == device and leaf not in mine for leaf in asked.leaves):
                # The recorded root is another one: showing a leaf under it could only be used against us.
                asked.is_hopeless, asked.reason = (
                    True,
                    f"device {device}: another root is recorded than this host computes",
                )
                asked.proofs.clear()
                log.error("a recorded answer is not what this host computes; it is not revealed", reason=asked.reason)

    async def _send(self, asked: Asked, slots: trio.CapacityLimiter) -> None:
        number = asked.demand.number
        proofs = tuple(asked.proofs[leaf] for leaf in asked.leaves)
        try:
            async with slots:
                await self._chain.reveal(asked.demand, asked.leaves, proofs)
        except (Retryable, Permanent) as error:
            self._put_off([asked], str(error))
            return
        self._demands.close([number])
        log.info("answer revealed", demand=number)

    def _put_off(self, them: list[Asked], reason: str) -> None:
        for asked in them:
            asked.reason, asked.try_at = reason, trio.current_time() + RETRY_S
            # Made again from the product that is kept: of thousands that wait, these would be the memory.
            asked.proofs.clear()
        numbers = [asked.demand.number for asked in them[:4]]
        log.warning("demands cannot be answered now", demands=numbers, count=len(them), reason=reason)


def _is_wanting(asked: Asked, key: Key) -> bool:
    """True when it waits for proofs of this device, and nothing is in the way."""
    if asked.is_hopeless or asked.challenge_id != key[0] or asked.try_at > trio.current_time():
        return False
    return any(leaf.device == key[1] and leaf not in asked.proofs for leaf in asked.leaves)
