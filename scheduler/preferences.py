"""Preferences: what a submitter knows and prefers about providers, beside what their offers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND, Address, Amount
from scheduler.latency import Latency
from scheduler.reputation import NO_REPUTATION, Reputation

UNKNOWN_RTT_US = 200_000
"""A node never measured counts as far away: about the other side of the world."""

MAX_EXPOSURE_INTERVALS = 60
"""Intervals of a second and a minute in all; what a provider asks for, unless its operator decides otherwise, is twelve of five
seconds."""

MAX_EXPOSURE_NS = 60 * NANOS_PER_SECOND
"""A minute: a daemon that is restarted on a busy host is back by then."""


@dataclass(frozen=True, slots=True)
class ExposureBound:
    """How much work the terms of a lease may leave unpaid. intervals: of metering; time_ns: all of them together."""

    intervals: int = MAX_EXPOSURE_INTERVALS
    time_ns: int = MAX_EXPOSURE_NS

    def find_excess(self, interval_ns: int, intervals: int) -> str:
        """How a provider's conditions are outside of this bound, in a few words; empty when they are within."""
        asked_ns = interval_ns * intervals
        if not asked_ns:
            return "none, so a workload could be stopped before its first receipt is paid"
        if intervals > self.intervals:
            return f"{intervals} intervals, at most {self.intervals} are accepted"
        if asked_ns > self.time_ns:
            return f"{say_duration(asked_ns)}, at most {say_duration(self.time_ns)} are accepted"
        return ""


@dataclass(frozen=True, slots=True)
class Weights:
    """What time is worth to the submitter, in base units of the job's asset: per millisecond of round trip to the
    provider, and per second of waiting before the job starts."""

    rtt_ms: int = 0
    wait_second: int = 0


@dataclass(frozen=True, slots=True)
class Preferences:
    """stakes by provider (absent: not known); defaulted: providers whose stake belongs to holders of credits first; refused:
    nodes not to ask now, with the reason in words; latencies and reputations by node; warm: nodes known to hold the job's image;
    exposure_bound: on what terms may leave unpaid; load: what a node has to do for us already (leases and quotes)."""

    stakes: Mapping[Address, Amount] = field(default_factory=lambda: MappingProxyType({}))
    defaulted: frozenset[Address] = frozenset()
    refused: Mapping[Address, str] = field(default_factory=lambda: MappingProxyType({}))
    latencies: Mapping[Address, Latency] = field(default_factory=lambda: MappingProxyType({}))
    reputations: Mapping[Address, Reputation] = field(default_factory=lambda: MappingProxyType({}))
    warm: frozenset[Address] = frozenset()
    weights: Weights = Weights()
    exposure_bound: ExposureBound = ExposureBound()
    load: Mapping[Address, int] = field(default_factory=lambda: MappingProxyType({}))

    def rtt_us(self, node: Address) -> int:
        """The round trip to expect, in microseconds."""
        latency = self.latencies.get(node)
        return latency.smoothed_us if latency else UNKNOWN_RTT_US

    def reputation(self, node: Address) -> Reputation:
        """What we know of its past work."""
        return self.reputations.get(node, NO_REPUTATION)
