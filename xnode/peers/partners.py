"""Partners: the nodes that we have leases with, for the net: when there is not enough for all, strangers give way to them."""

from __future__ import annotations

from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, Address
from xnode.loop import Loop
from xnode.net.standing import Standing
from xnode.node.records import ProviderLease, SubmitterLease
from xnode.peers.registrations import Registrations
from xnode.ports.clock import Clock

FRESH_NS = NANOS_PER_SECOND // 2
"""How long a reading of our leases is good: it is asked for at every request."""

AFTER_NS = NANOS_PER_HOUR
"""How long after its end a lease still counts: outputs are fetched, and the last receipt is paid."""


class Partners:
    """Reads our leases now and then."""

    def __init__(self, loop: Loop, clock: Clock, registrations: Registrations) -> None:
        self._loop, self._clock, self._registrations = loop, clock, registrations
        self._read_at_ns: int | None = None
        self._partners: frozenset[Address] = frozenset()

    def standing_of(self, node: Address) -> Standing:
        """What a node is to us; nothing is waited for."""
        now_ns = self._clock.now_ns()
        if self._read_at_ns is None or not 0 <= now_ns - self._read_at_ns < FRESH_NS:
            self._read_at_ns, self._partners = now_ns, self._read(now_ns)
        if node in self._partners:
            return Standing.PARTNER
        return Standing.REGISTERED if self._registrations.owner_of(node) is not None else Standing.STRANGER

    def _read(self, now_ns: int) -> frozenset[Address]:
        state = self._loop.state
        sold = (
            lease.terms.submitter
            for lease in state.all(ProviderLease)
            if lease.status not in ("requested", "refused")
            and (lease.ended_at_ns is None or now_ns < lease.ended_at_ns + AFTER_NS)
        )
        bought = (
            lease.terms.node
            for lease in state.all(SubmitterLease)
            if lease.status not in ("refused", "settled") or not lease.outputs_fetched
        )
        return frozenset((*sold, *bought))
