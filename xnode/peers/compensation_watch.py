"""Compensation watch: what the chain holds of what stake owes for leases of ours, as changes."""

from __future__ import annotations

import trio

from metering.units import Hash32
from xnode.errors import Permanent, Retryable
from xnode.loop import Loop
from xnode.node.changes import CompensationSeen
from xnode.node.records import Compensation, SubmitterLease
from xnode.outage import Outage
from xnode.ports.chain import Chain, Shortfall, ShortfallNews
from xnode.ports.store import Records

LOOK_S = 60.0
"""Between looks: there is a stake thaw, and a week more, to collect one."""

AT_ONCE = 100
"""Leases whose shortfalls are read in one go."""

MAX_PENDING = 10_000
"""Leases named by events and not looked at yet; more are of others, who prove many breaches while the chain node fails."""


class CompensationWatcher:
    """Runs until cancelled; one for a submitter's daemon. records: which leases are ours, also those that left memory."""

    def __init__(self, loop: Loop, records: Records, chain: Chain, news: ShortfallNews) -> None:
        self._loop, self._records, self._chain, self._news = loop, records, chain, news
        self._noted: set[Hash32] = set()
        """Of ours, named by an event, and not looked at since."""

    async def run(self) -> None:
        """Look until cancelled."""
        outage = Outage("watching for compensations")
        while True:
            try:
                await self.look()
                outage.over()
            except (Retryable, Permanent) as error:
                outage.failed(str(error))
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Read what is new, and what is known to be owed, and tell what has changed."""
        for lease_id in await self._news.read_noted():
            if len(self._noted) < MAX_PENDING and await self._is_ours(lease_id):
                self._noted.add(lease_id)
        known = {one.lease_id for one in self._loop.state.all(Compensation)}
        wanted = sorted(self._noted | known)
        for first in range(0, len(wanted), AT_ONCE):
            part = wanted[first : first + AT_ONCE]
            for lease_id, short in zip(part, await self._chain.shortfalls_of(part), strict=True):
                await self._compare(lease_id, short)
                self._noted.discard(lease_id)

    async def _is_ours(self, lease_id: Hash32) -> bool:
        return await self._records.read_record(SubmitterLease, lease_id) is not None

    async def _compare(self, lease_id: Hash32, short: Shortfall | None) -> None:
        seen, known = make_seen(lease_id, short), self._loop.state.get(Compensation, lease_id)
        stands = (known.amount, known.payable_until_s) if known is not None and not known.is_paid else (0, 0)
        if (seen.amount, seen.payable_until_s) != stands:
            await self._loop.tell(seen)


def make_seen(lease_id: Hash32, short: Shortfall | None) -> CompensationSeen:
    """What the chain holds of what a lease is owed out of stake, as a change."""
    if short is None:
        return CompensationSeen(lease_id)
    return CompensationSeen(lease_id, short.amount, short.payable_at, short.payable_until)
