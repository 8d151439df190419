"""Preferences: what a submitter knows and prefers about providers, beside what their offers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from metering.units import Address, Amount
from scheduler.latency import Latency
from scheduler.reputation import NO_REPUTATION, Reputation

UNKNOWN_RTT_US = 200_000
"""A node never measured counts as far away: about the other side of the world."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What time is worth to the submitter, in base units of the job's asset: per millisecond of round trip to the
    provider, and per second of waiting before the job starts."""

    rtt_ms: int = 0
    wait_second: int = 0


@dataclass(frozen=True, slots=True)
class Preferences:
    """stakes by provider (absent: not known); refused: nodes not to ask now, with the reason in words; latencies and
    reputations by node; warm: nodes known to hold the job's image."""

    stakes: Mapping[Address, Amount] = field(default_factory=lambda: MappingProxyType({}))
    refused: Mapping[Address, str] = field(default_factory=lambda: MappingProxyType({}))
    latencies: Mapping[Address, Latency] = field(default_factory=lambda: MappingProxyType({}))
    reputations: Mapping[Address, Reputation] = field(default_factory=lambda: MappingProxyType({}))
    warm: frozenset[Address] = frozenset()
    weights: Weights = Weights()

    def rtt_us(self, node: Address) -> int:
        """The round trip to expect, in microseconds."""
        latency = self.latencies.get(node)
        return latency.smoothed_us if latency else UNKNOWN_RTT_US

    def reputation(self, node: Address) -> Reputation:
        """What we know of its past work."""
        return self.reputations.get(node, NO_REPUTATION)
