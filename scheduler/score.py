"""Score: what placing a job with a node is expected to cost its submitter, in base units; less is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeVar

from metering.eip712 import keccak
from metering.resources import Resources
from metering.tariff import Tariff, cost_of
from metering.units import NANOS_PER_SECOND, PPM, U128, Address, mul_div_down, mul_div_up
from metering.usage import Counters, Usage, usage_of
from scheduler.feasible import price_for, without_network
from scheduler.job import Job
from scheduler.offer import Offer
from scheduler.preferences import Preferences, Weights
from scheduler.reputation import success_ppm_of

T = TypeVar("T")

NEAR_BEST_PERCENT = 5
"""All within this of the best are as good: taking any of them keeps submitters from all asking one provider at once
(simulated: 0.26 refusals per lease instead of 1.0)."""

_UNKNOWN_MBPS = 100
"""The download rate of a node that does not say, or says more than it is likely to get from one registry."""

ROUND_TRIPS = 8
"""That a job waits for: quote, lease, countersignature, image, inputs, launch, end and outputs."""


NO_LOAD: Mapping[Address, int] = MappingProxyType({})


class Score(U128):
    """A score as records keep it: money, so no fewer bits than money has."""

    __slots__ = ()
    was_integer = True


@dataclass(frozen=True, slots=True)
class Parts:
    """Why a score is what it is, each in base units of the job's asset.

    compute: full use until the duration limit; network: all the job's bytes; retries: doing it again as often as the
    node is expected to fail; distance: round trips; image: waiting for it.
    """

    compute: int
    network: int
    retries: int
    distance: int
    image: int

    @property
    def total(self) -> int:
        """The score."""
        return self.compute + self.network + self.retries + self.distance + self.image

    def describe(self) -> str:
        """The parts that count with their shares, largest first: who shows the numbers knows the money's decimals."""
        named = sorted(((getattr(self, part.name), part.name) for part in fields(self)), reverse=True)
        shares = [(name, mul_div_down(value, 100, self.total)) for value, name in named if value]
        return ", ".join(f"{name} {share} %" if share else f"{name} under 1 %" for name, share in shares) or "free"


@dataclass(frozen=True, slots=True)
class Scored(Generic[T]):
    """An offer or a quote with its score."""

    subject: T
    node: Address
    score: int
    parts: Parts


def score_offer(job: Job, offer: Offer, preferences: Preferences, now_ns: int) -> Scored[Offer]:
    """The score of placing the job where the offer says."""
    mbps = min(offer.body.profile.network_mbps or _UNKNOWN_MBPS, 10 * _UNKNOWN_MBPS)
    parts = score_parts_of(job, offer.node, offer.body.tariff, preferences, now_ns, mbps)
    return Scored(offer, offer.node, parts.total, parts)


def score_parts_of(
    job: Job, node: Address, tariff: Tariff, preferences: Preferences, now_ns: int, network_mbps: int = _UNKNOWN_MBPS
) -> Parts:
    """The score's parts for this node at these prices."""
    compute, network = _costs_of(job, tariff)
    success_ppm = success_ppm_of(preferences.reputation(node), now_ns)
    # Mbit/s are bits per microsecond.
    pull_us = 0 if node in preferences.warm else job.image.size_bytes * 8 // network_mbps
    return Parts(
        compute=compute,
        network=network,
        retries=mul_div_up(compute + network, PPM - success_ppm, success_ppm),
        distance=mul_div_down(preferences.weights.rtt_ms, preferences.rtt_us(node), 1_000),
        image=mul_div_down(preferences.weights.wait_second, pull_us, 1_000_000),
    )


def weights_of(job: Job, tariffs: Iterable[Tariff]) -> Weights:
    """What the submitter's time is worth: a second of waiting costs what a second of the job does at the lowest of these
    prices. Without a price time is worth nothing."""
    compute = min((_costs_of(job, tariff)[0] for tariff in tariffs), default=0)
    second = mul_div_down(compute, NANOS_PER_SECOND, job.duration_limit_ns) if job.duration_limit_ns else 0
    return Weights(rtt_ms=mul_div_down(second, ROUND_TRIPS, 1_000), wait_second=second)


def near_limit_of(best: int) -> int:
    """The highest score that is still near the best one."""
    return mul_div_down(best, 100 + NEAR_BEST_PERCENT, 100)


def rank(scored: Iterable[Scored[T]], entropy: bytes, load: Mapping[Address, int] = NO_LOAD) -> tuple[Scored[T], ...]:
    """Best first; of those near the best, the ones with the least to do for us come first, and of them in an order that only
    the entropy knows."""
    ordered = sorted(scored, key=lambda one: (one.score, one.node))
    if not ordered:
        return ()
    limit = near_limit_of(ordered[0].score)
    near = [one for one in ordered if one.score <= limit]
    near.sort(key=lambda one: (load.get(one.node, 0), keccak(entropy + one.node)))
    return (*near, *ordered[len(near) :])


def full_usage_of(job: Job) -> Usage:
    """What the job uses when it takes all it asks for until its duration limit."""
    return _full_usage_of(job.resources, job.duration_limit_ns, job.network_bytes)


@lru_cache(maxsize=8)
def _full_usage_of(resources: Resources, duration_ns: int, network_bytes: int) -> Usage:
    """Kept for a moment: it is the same for every offer that one search scores."""
    full = Counters(duration_ns, resources.vcpu_milli * duration_ns // 1_000, network_bytes, network_bytes)
    return usage_of(full, resources)


def _costs_of(job: Job, tariff: Tariff) -> tuple[int, int]:
    usage = full_usage_of(job)
    compute = cost_of(usage, without_network(tariff))
    return compute, cost_of(usage, price_for(job, tariff)) - compute
