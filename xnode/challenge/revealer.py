"""Revealer: shows leaves of this host's recorded answers when somebody paid to see them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog
import trio

from metering.capacity import LEAF_COLUMNS, ElementProof
from metering.units import Address, Hash32
from xnode.capacity.judging import make_tasks
from xnode.capacity.opened_row import prove_leaf
from xnode.capacity.products import DeviceTask, check_memory, open_worker
from xnode.capacity.worker_request import Multiplied, Multiply, OpenRow, RowOpened
from xnode.errors import Permanent, Retryable
from xnode.outage import Outage
from xnode.ports.capacity import CapacityChain
from xnode.ports.reveals import Demand, DemandedLeaf, RevealChain

LOOK_S = 30.0
"""Between looks for demands: there is a day to answer."""

RETRY_S = 300.0
"""After a demand could not be answered: a device that is at work may be free later."""

BATCH = 64
"""Demands read at once."""

MAX_PENDING = 256
"""Demands of us that are kept at once; what is left out is read again with the next look."""

NICENESS = 10
"""The products are computed again beside workloads, which go first."""

COMPUTE_S = 3_600.0
"""For one device: the largest product there is, on a slow core."""

log = structlog.get_logger()


class Revealer:
    """Runs until cancelled; one for a provider's daemon."""

    def __init__(self, me: Address, capacity: CapacityChain, chain: RevealChain) -> None:
        self._me, self._capacity, self._chain = me, capacity, chain
        self._last_read: int | None = None
        self._pending: dict[int, float] = {}
        """The demands of us that are open, and when each is to be tried (trio's clock)."""
        self._asked: dict[int, tuple[Hash32, tuple[DemandedLeaf, ...]]] = {}
        """What pending demands are about, as far as it was read."""
        self._proofs: dict[DemandedLeaf, ElementProof] = {}
        """Of leaves of pending demands: a product takes minutes, and is made once for all that is asked of it by then."""

    async def run(self) -> None:
        """Look and answer until cancelled."""
        outage = Outage("watching for demands to reveal answers")
        while True:
            try:
                await self.look()
                outage.over()
            except (Retryable, Permanent) as error:
                outage.failed(str(error))
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Find what is new, and try what waits."""
        await self._find_new()
        # The oldest first: their deadlines are the nearest.
        for number in sorted(number for number, due in self._pending.items() if due <= trio.current_time()):
            await self._try(number)
        wanted = {leaf for number in self._pending for leaf in self._asked.get(number, (None, ()))[1]}
        self._asked = {number: asked for number, asked in self._asked.items() if number in self._pending}
        self._proofs = {leaf: proof for leaf, proof in self._proofs.items() if leaf in wanted}

    async def _find_new(self) -> None:
        last, due = await self._chain.count_demands(), trio.current_time()
        found = dict(self._pending)
        async for demand in self._iter_unread(last):
            if demand.provider == self._me and demand.stage == "demanded":
                found.setdefault(demand.number, due)
        self._pending = {number: found[number] for number in sorted(found)[:MAX_PENDING]}
        if len(found) <= MAX_PENDING:
            self._last_read = last

    async def _iter_unread(self, last: int) -> AsyncIterator[Demand]:
        """From the newest down to what was read before, or at the start to what is over."""
        now = await self._chain.read_time()
        least = 1 if self._last_read is None else self._last_read + 1
        while last >= least:
            first = max(least, last - BATCH + 1)
            demands = await self._chain.read_demands(first, last)
            for demand in demands:
                yield demand
            if demands[0].deadline < now:
                return
            last = first - 1

    async def _try(self, number: int) -> None:
        (demand,) = await self._chain.read_demands(number, number)
        if demand.stage != "demanded" or demand.deadline < await self._chain.read_time():
            del self._pending[number]
            return
        try:
            await self._answer(demand)
            log.info("answer revealed", demand=number)
        except _NotOurs as error:
            log.error("a recorded answer is not what this host computes; it is not revealed", reason=str(error))
        except (Retryable, Permanent) as error:
            log.warning("a demand cannot be answered now", demand=number, reason=str(error))
            self._pending[number] = trio.current_time() + RETRY_S
            return
        del self._pending[number]

    async def _answer(self, demand: Demand) -> None:
        challenge_id, leaves = await self._read_asked(demand)
        challenge = await self._capacity.read_challenge(challenge_id)
        tasks = {task.device: task for task in make_tasks(challenge, challenge.seed)}
        for leaf in leaves:
            if leaf not in self._proofs:
                theirs = await self._list_beside(leaf, leaves)
                self._proofs |= zip(theirs, await _prove(tasks[leaf.device], theirs), strict=True)
        await self._chain.reveal(demand, leaves, tuple(self._proofs[leaf] for leaf in leaves))

    async def _read_asked(self, demand: Demand) -> tuple[Hash32, tuple[DemandedLeaf, ...]]:
        if demand.number not in self._asked:
            self._asked[demand.number] = await self._chain.read_leaves(demand)
        return self._asked[demand.number]

    async def _list_beside(self, one: DemandedLeaf, leaves: tuple[DemandedLeaf, ...]) -> list[DemandedLeaf]:
        """All leaves of one's product that are asked for: by its own demand, and by those that wait."""
        asked = list(leaves)
        for number in self._pending:
            try:
                if number not in self._asked:
                    (demand,) = await self._chain.read_demands(number, number)
                    await self._read_asked(demand)
                asked += self._asked[number][1]
            except (Retryable, Permanent):
                # It has a try of its own.
                continue
        place = (one.device, one.n, one.seed, one.root)
        return list(dict.fromkeys(leaf for leaf in asked if (leaf.device, leaf.n, leaf.seed, leaf.root) == place))


class _NotOurs(Exception):
    """The recorded root is another one than that of our product: showing a leaf under it could only be used against us."""


async def _prove(task: DeviceTask, leaves: list[DemandedLeaf]) -> list[ElementProof]:
    """The leaves of one device with their paths, computed anew. Raises _NotOurs, Permanent."""
    check_memory((task,))
    with trio.move_on_after(COMPUTE_S):
        async with open_worker(niceness=NICENESS) as worker:
            made = await worker.do(Multiply(task.kind, task.ordinal, task.seed, task.n))
            assert isinstance(made, Multiplied)
            _check_root(task, made.root, leaves)
            proofs = []
            for leaf in leaves:
                opened = await worker.do(OpenRow(leaf.index // (task.n // LEAF_COLUMNS)))
                assert isinstance(opened, RowOpened)
                proofs.append(prove_leaf(task.n, leaf.index, opened.opened))
            return proofs
    raise Permanent(f"device {task.device} did not compute its product again within {COMPUTE_S:g} s", code="worker")


def _check_root(task: DeviceTask, root: Hash32, leaves: list[DemandedLeaf]) -> None:
    for leaf in leaves:
        if (leaf.root, leaf.seed, leaf.n) != (root, task.seed, task.n):
            raise _NotOurs(f"device {leaf.device}: root {leaf.root.hex()} is recorded, {root.hex()} is computed")
