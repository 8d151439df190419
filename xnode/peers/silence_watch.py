"""Silence watch: what the chain holds of claims that we are silent about a lease, as changes."""

from __future__ import annotations

import structlog
import trio

from metering.receipt import Receipt
from metering.units import Address, Hash32
from xnode.errors import Permanent, Retryable
from xnode.logs import log_context
from xnode.loop import Loop
from xnode.node.changes import SilenceSeen
from xnode.node.records import ProviderLease, SilenceClaim
from xnode.outage import Outage
from xnode.ports.chain import Chain, Silence, SilenceNews
from xnode.ports.store import Records

LOOK_S = 30.0
"""Between looks: there is a day to answer."""

AT_ONCE = 100
"""Leases whose claims are read in one go."""

MAX_UNKNOWN = 1_000
"""Claims remembered that are about no lease of ours: our key signed their receipts, so another copy of this node served them."""

log = structlog.get_logger(__name__)


class SilenceWatcher:
    """Runs until cancelled; one for a provider's daemon. me: the owner that claims are made against."""

    def __init__(self, me: Address, loop: Loop, records: Records, chain: Chain, news: SilenceNews) -> None:
        self._me, self._loop, self._records = me, loop, records
        self._chain, self._news = chain, news
        self._claimed: set[Hash32] = set()
        """Named by an event, and not looked at since."""
        self._unknown: set[tuple[Hash32, int]] = set()
        """Claims that are about no lease of ours, and were logged."""

    async def run(self) -> None:
        """Look until cancelled."""
        outage = Outage("watching for claims of silence")
        while True:
            try:
                await self.look()
                outage.over()
            except (Retryable, Permanent) as error:
                outage.failed(str(error))
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """Read what is new, and what is known to stand, and tell what has changed."""
        self._claimed |= await self._news.read_claimed()
        known = {one.lease_id for one in self._loop.state.all(SilenceClaim)}
        wanted = sorted(self._claimed | known)
        for first in range(0, len(wanted), AT_ONCE):
            part = wanted[first : first + AT_ONCE]
            for lease_id, silence in zip(part, await self._chain.silences_of(part), strict=True):
                await self._compare(lease_id, silence)
                self._claimed.discard(lease_id)

    async def _compare(self, lease_id: Hash32, silence: Silence | None) -> None:
        if silence is not None and silence.provider != self._me:
            silence = None
        known = self._loop.state.get(SilenceClaim, lease_id)
        answer_until_s = silence.answer_until if silence is not None else 0
        stands = (answer_until_s, silence.number if silence is not None else 0)
        if stands == ((known.answer_until_s, known.number) if known is not None and not known.is_answered else (0, 0)):
            return
        lease = await self._records.read_record(ProviderLease, lease_id)
        if lease is None:
            self._note_unknown(lease_id, answer_until_s)
            return
        await self._loop.tell(make_seen(lease_id, silence, lease.last, lease.terms.node))

    def _note_unknown(self, lease_id: Hash32, answer_until_s: int) -> None:
        if (lease_id, answer_until_s) in self._unknown:
            return
        if len(self._unknown) >= MAX_UNKNOWN:
            self._unknown.clear()
        self._unknown.add((lease_id, answer_until_s))
        with log_context(lease=lease_id):
            log.error("a claim of silence is about a lease that this node does not know", until_s=answer_until_s)


def make_seen(lease_id: Hash32, silence: Silence | None, last: Receipt, node: Address) -> SilenceSeen:
    """What the chain holds of a claim, as a change. last, node: see SilenceSeen."""
    if silence is None:
        return SilenceSeen(lease_id, last, node)
    return SilenceSeen(lease_id, last, node, silence.number, silence.late_ns, silence.answer_until)
