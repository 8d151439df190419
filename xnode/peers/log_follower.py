"""Log follower: copies the logs of running jobs from their providers."""

from __future__ import annotations

from pathlib import Path

import structlog
import trio

from metering.codec import encode
from metering.units import Hash32
from xnode.backoff import Backoff
from xnode.errors import Permanent, Retryable, describe_os_error
from xnode.logs import log_context
from xnode.loop import Loop
from xnode.node import message
from xnode.node.lease import OPEN
from xnode.node.records import SubmitterLease
from xnode.node.submitter.money import RETAIN_NS
from xnode.outage import Outage
from xnode.peers.call import read_answer
from xnode.peers.job_log import JobLog
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused

RETRY = Backoff(first_s=1.0, most_s=60.0)
"""Before a broken log stream is taken up again. While the lease is open it is always the first pause; afterwards the rest
of the log is still wanted, but its provider may never come back."""

log = structlog.get_logger()


class LogFollower:
    """Copies the log of every lease of ours as it grows, so that it outlives the provider's container."""

    def __init__(self, loop: Loop, net: Net, clock: Clock, folder: Path) -> None:
        self._loop, self._net, self._clock, self._folder = loop, net, clock, folder
        self._following: set[Hash32] = set()
        self._complete: set[Hash32] = set()

    async def run(self) -> None:
        """Follow forever."""
        async with trio.open_nursery() as nursery:
            while True:
                leases = tuple(self._loop.state.all(SubmitterLease))
                # What has left the state is not looked at again.
                self._complete &= {lease.lease_id for lease in leases}
                for lease in leases:
                    if self._is_due(lease):
                        self._following.add(lease.lease_id)
                        nursery.start_soon(self._follow, lease)
                await self._loop.wait_change()

    def _is_due(self, lease: SubmitterLease) -> bool:
        if lease.lease_id in self._complete or lease.lease_id in self._following:
            return False
        if lease.status in ("requested", "refused"):
            return False
        if JobLog(self._folder, lease.lease_id).has_ended():
            self._complete.add(lease.lease_id)
        return lease.lease_id not in self._complete

    async def _follow(self, lease: SubmitterLease) -> None:
        lease_id = lease.lease_id
        mine, pauses, outage = JobLog(self._folder, lease_id), RETRY.pauses(), Outage("log stream")
        try:
            while True:
                # The rest is still wanted when the lease has left the state meanwhile.
                lease = self._loop.state.get(SubmitterLease, lease_id) or lease
                if self._is_given_up(lease):
                    return
                begin = mine.read_offset()
                with log_context(job=lease.job_hash, lease=lease_id):
                    fault = await self._copy(lease, mine)
                    if not fault or mine.read_offset() > begin:
                        outage.over()
                    if not fault:
                        return
                    outage.failed(fault)
                if lease.status in OPEN:
                    pauses = RETRY.pauses()
                await trio.sleep(next(pauses))
        finally:
            self._following.discard(lease_id)

    def _is_given_up(self, lease: SubmitterLease) -> bool:
        return self._clock.now_ns() - lease.heard_at_ns > RETAIN_NS and lease.status not in OPEN

    async def _copy(self, lease: SubmitterLease, mine: JobLog) -> str:
        """Copy until the end (then ""), or until the stream breaks (then why)."""
        query = encode(message.LogQuery(lease.lease_id, mine.read_offset()))
        peer = Peer(lease.terms.node, lease.multiaddrs)
        try:
            async with self._net.stream(peer, message.LOGS_FOLLOW, query) as frames:
                async for frame in frames:
                    piece = read_answer(frame, message.LogPiece)
                    if self._is_given_up(self._loop.state.get(SubmitterLease, lease.lease_id) or lease):
                        return "it goes on long after the lease has ended"
                    await trio.to_thread.run_sync(mine.append, piece.offset, piece.data, piece.ended)
                    if piece.ended:
                        self._complete.add(lease.lease_id)
                        return ""
        except (Retryable, Permanent, RpcRefused) as error:
            return str(error) or "refused"
        except OSError as error:
            # Our own disk: what has come is kept, and the rest is taken when there is room.
            return describe_os_error(error)
        return "it ended before the log did"
