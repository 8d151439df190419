"""Capacity watch: sees challenges on chain and has each taken up, by the prover when it is ours, else by the verifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from metering.units import Address, Hash32
from xnode.backoff import Backoff, retry_forever
from xnode.challenge.prover import Prover
from xnode.challenge.revealer import Revealer
from xnode.challenge.verifier import Verifier
from xnode.errors import Permanent, Retryable
from xnode.logs import log_id_of
from xnode.node.changes import CapacityVerified
from xnode.outage import Outage
from xnode.ports.capacity import CapacityChain, Verified
from xnode.repeated_event import RepeatedEvent

LOOK_S = 2.0
"""Between looks for new challenges: the most that a node sees a spot check later than the verifiers. One request each."""

LEAST_LOOK_S = 0.5
"""However often others say that there is something to see."""

RETRY = Backoff(first_s=1.0, most_s=5.0)
"""After a fault: of the chain node, mostly."""

LOOK_BACK_BLOCKS = 400
"""At the start: how long ago a challenge may have been requested that still waits for its draw, with room."""

OVERLAP_BLOCKS = 16
"""Read again with each look: what a reorganisation put there. A deeper one is noticed when a verifier asks us."""

MAX_SPAN_BLOCKS = 400
"""Of one look; after a long absence the older blocks are left out: their challenges are over."""

COUNTS_S = 15.0
"""Between looks at what is in force for us; a verdict in force for less than this changes nothing worth knowing."""

MAX_REMEMBERED = 4096
"""Challenges that are over: more than there are in the blocks that overlap."""

MAX_UNDER_WAY = 256
"""Challenges taken up at once; more are left to other verifiers."""


class CapacityWatch:
    """Runs until cancelled; one for a provider's daemon."""

    def __init__(
        self,
        me: Address,
        chain: CapacityChain,
        prover: Prover,
        verifier: Verifier,
        on_verified: Callable[[CapacityVerified], Awaitable[None]],
        revealer: Revealer | None = None,
    ) -> None:
        """on_verified: takes what the verdict in force says we have, whenever it has changed; revealer: None for a node that
        has nothing verified."""
        self._me, self._chain, self._prover, self._verifier = me, chain, prover, verifier
        self._on_verified, self._revealer = on_verified, revealer
        self.reported: Verified | None = None
        """What the chain said the last time; None before it has."""
        self._next_block: int | None = None
        self._under_way: set[Hash32] = set()
        self._over: OrderedDict[Hash32, None] = OrderedDict()
        self._nudged = RepeatedEvent()
        self.documents, self.failures = verifier.documents, prover.failures
        prover.nudge = self.nudge

    def nudge(self) -> None:
        """Look now, or soon."""
        self._nudged.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        # Begun again after a fault, nothing that was taken up before is under way any more.
        self._under_way.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_counts)
            if self._revealer is not None:
                nursery.start_soon(self._revealer.run)
            pauses, outage = RETRY.pauses(), Outage("watching for challenges")
            while True:
                nudged = self._nudged.next()
                try:
                    for challenge_id in await self._look():
                        self._take_up(nursery, challenge_id)
                    pause_s, pauses = LOOK_S, RETRY.pauses()
                    outage.over()
                except (Retryable, Permanent) as error:
                    outage.failed(str(error))
                    pause_s = next(pauses)
                await trio.sleep(LEAST_LOOK_S)
                with trio.move_on_after(max(0.0, pause_s - LEAST_LOOK_S)):
                    await nudged.wait()

    async def _watch_counts(self) -> None:
        reported: Verified | None = None
        outage = Outage("reading the capacity in force")
        while True:
            try:
                seen = await self._chain.read_verified(self._me)
            except (Retryable, Permanent) as error:
                outage.failed(str(error))
            else:
                outage.over()
                if seen != reported:
                    change = CapacityVerified(seen.vcpus, seen.gpus, seen.term, seen.in_doubt_until_s)
                    await self._on_verified(change)
                self.reported = reported = seen
            await trio.sleep(COUNTS_S)

    async def _look(self) -> tuple[Hash32, ...]:
        head = (await self._chain.read_head()).number
        if self._next_block is None:
            mine = await self._chain.find_open(self._me)
            first, found = head - LOOK_BACK_BLOCKS, (mine,) if mine else ()
        else:
            first, found = min(self._next_block, head) - OVERLAP_BLOCKS, ()
        seen = await self._chain.list_challenges(max(0, first, head - MAX_SPAN_BLOCKS), head)
        self._next_block = head + 1
        return (*found, *seen)

    def _take_up(self, nursery: trio.Nursery, challenge_id: Hash32) -> None:
        if challenge_id in self._over or challenge_id in self._under_way or len(self._under_way) >= MAX_UNDER_WAY:
            return
        self._under_way.add(challenge_id)
        nursery.start_soon(self._follow, challenge_id)

    async def _follow(self, challenge_id: Hash32) -> None:
        # Also a Permanent may pass, and the challenge's own end ends this.
        follow = partial(self._follow_once, challenge_id)
        await retry_forever("following a challenge", follow, RETRY, challenge=log_id_of(challenge_id))
        self._under_way.discard(challenge_id)
        self._over[challenge_id] = None
        if len(self._over) > MAX_REMEMBERED:
            self._over.popitem(last=False)

    async def _follow_once(self, challenge_id: Hash32) -> None:
        challenge = await self._chain.read_challenge(challenge_id)
        if challenge.provider == self._me:
            await self._prover.take_up(challenge_id)
        elif self._me in challenge.panel or self._me in await self._chain.list_verifiers():
            await self._verifier.take_up(challenge_id)
