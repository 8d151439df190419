"""Progress: how far a provider is with what our lease needs before it can start, for who follows the job."""

from __future__ import annotations

from metering.codec import encode
from xnode.errors import Permanent, Retryable
from xnode.node import message
from xnode.node.records import SubmitterLease
from xnode.peers.call import call, read_answer
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer

MAX_WHAT_CHARS = 64


class ProgressReader:
    """Asks providers."""

    def __init__(self, net: Net, clock: Clock) -> None:
        self._net, self._clock = net, clock

    async def ask(self, lease: SubmitterLease) -> message.Progress | None:
        """What its provider does for the lease now; None when it does nothing, or cannot say."""
        peer, query = Peer(lease.terms.node, lease.multiaddrs), encode(message.LeaseQuery(lease.lease_id))
        try:
            body = await call(self._net, self._clock, peer, message.LEASE_PROGRESS, query)
            found = read_answer(body, message.Progress)
        except (Retryable, Permanent):
            return None
        return (
            message.Progress(found.what[:MAX_WHAT_CHARS], found.done_bytes, found.total_bytes) if found.what else None
        )
