"""Threshold index: finds the best offers without looking at most of them, by Fagin's threshold algorithm.

Offers lie in buckets by what a job cannot bargain over; within a bucket there is a list for each price, cheapest first. A
search goes down the lists of a bucket together: whatever lies below costs at least as much as the prices where it stands
come to, so it can stop when that is more than the worst score still wanted. (R. Fagin, A. Lotem, M. Naor: Optimal
Aggregation Algorithms for Middleware, 2003.)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heapreplace

from metering.tariff import COST_DIVISOR, Tariff, weights_of
from metering.units import PPM, U128_MAX, Address, mul_div_down
from scheduler.feasible import fits_job, has_gpu_model
from scheduler.index import MAX_NEAR_BEST, select_best
from scheduler.job import Job
from scheduler.offer import Offer
from scheduler.preferences import Preferences
from scheduler.reputation import NO_REPUTATION, success_ppm_of
from scheduler.score import Scored, full_usage_of, near_limit_of, score_offer

_PRICES = Tariff.__struct_fields__
_NETWORK_PRICES = frozenset({"ingress_gb", "egress_gb"})

_WITHOUT_END = 1 << 512
"""More than anything weighs: six weights of at most 158 bits times prices of 128."""

_Kind = tuple[Address, str, str]
"""Asset, region and GPU model."""


class ThresholdIndex:
    """Gives what ScanIndex gives; at worst, when hardly any offer fits, it looks at as many."""

    def __init__(self) -> None:
        self._buckets: dict[_Kind, _Bucket] = {}
        self._kinds: dict[Address, _Kind] = {}

    def put(self, offer: Offer) -> None:
        """See OfferIndex."""
        self.drop(offer.node)
        kind = _kind_of(offer)
        self._kinds[offer.node] = kind
        self._buckets.setdefault(kind, _Bucket()).put(offer)

    def drop(self, node: Address) -> None:
        """See OfferIndex."""
        kind = self._kinds.pop(node, None)
        if kind is not None:
            self._buckets[kind].drop(node)
            if not self._buckets[kind].offers:
                del self._buckets[kind]

    def find_best(self, job: Job, preferences: Preferences, now_ns: int, count: int) -> tuple[Scored[Offer], ...]:
        """See OfferIndex."""
        walk = _Walk(job, preferences, now_ns, count)
        # The number between is only there because equal bounds would else compare buckets.
        heap = [
            (walk.weigh_place(bucket, 0), number, 0, bucket)
            for number, (kind, bucket) in enumerate(self._buckets.items())
            if _may_fit(job, kind)
        ]
        heapify(heap)
        while heap and heap[0][0] < walk.least_too_much:
            _, number, place, bucket = heap[0]
            walk.look(bucket, place)
            place += 1
            if place < len(bucket.offers):
                heapreplace(heap, (walk.weigh_place(bucket, place), number, place, bucket))
            else:
                heappop(heap)
        return select_best(walk.found, count)


class _Bucket:
    """Offers of one kind, with (price, node) of each in a list for every price."""

    __slots__ = ("lists", "offers")

    def __init__(self) -> None:
        self.offers: dict[Address, Offer] = {}
        self.lists: tuple[list[tuple[int, Address]], ...] = tuple([] for _ in _PRICES)

    def put(self, offer: Offer) -> None:
        self.offers[offer.node] = offer
        for prices, name in zip(self.lists, _PRICES, strict=True):
            insort(prices, (getattr(offer.body.tariff, name), offer.node))

    def drop(self, node: Address) -> None:
        offer = self.offers.pop(node)
        for prices, name in zip(self.lists, _PRICES, strict=True):
            del prices[bisect_left(prices, (getattr(offer.body.tariff, name), node))]


class _Walk:
    """One search. Costs are compared as sums of weight x price, before the division.

    least_too_much: whatever weighs so much, or more, cannot be among the best any more.
    """

    def __init__(self, job: Job, preferences: Preferences, now_ns: int, count: int) -> None:
        self._job, self._preferences, self._now_ns, self._count = job, preferences, now_ns, count
        weights = zip(_PRICES, weights_of(full_usage_of(job)), strict=True)
        counts = [weight if job.network or name not in _NETWORK_PRICES else 0 for name, weight in weights]
        # Prices that do not count need not be walked; but something must be, to come past every offer.
        self._axes = [(at, _PRICES[at], weight) for at, weight in enumerate(counts) if weight] or [(0, _PRICES[0], 0)]
        known = (success_ppm_of(one, now_ns) for one in preferences.reputations.values())
        self._best_success_ppm = max(known, default=0)
        self._best_success_ppm = max(self._best_success_ppm, success_ppm_of(NO_REPUTATION, now_ns))
        self._seen: set[Address] = set()
        self._scores: list[int] = []
        self.found: list[Scored[Offer]] = []
        self.least_too_much = _WITHOUT_END

    def weigh_place(self, bucket: _Bucket, place: int) -> int:
        """The least that any offer from this place of the lists on can weigh."""
        return sum([weight * bucket.lists[at][place][0] for at, _, weight in self._axes])

    def look(self, bucket: _Bucket, place: int) -> None:
        """At the offers in this place of the lists."""
        for at, _, _ in self._axes:
            node = bucket.lists[at][place][1]
            if node not in self._seen:
                self._seen.add(node)
                self._look_at(bucket.offers[node])

    def _look_at(self, offer: Offer) -> None:
        tariff = offer.body.tariff
        weight = sum([weight * getattr(tariff, name) for _, name, weight in self._axes])
        if weight < self.least_too_much and fits_job(self._job, offer, self._now_ns, self._preferences):
            scored = score_offer(self._job, offer, self._preferences, self._now_ns)
            self.found.append(scored)
            insort(self._scores, scored.score)
            if len(self._scores) >= self._count:
                self.least_too_much = self._least_that_is_too_much()

    def _least_that_is_too_much(self) -> int:
        wanted = max(self._scores[self._count - 1], near_limit_of(self._scores[0]))
        most = max(self._count, MAX_NEAR_BEST)
        if len(self._scores) >= most:
            wanted = min(wanted, self._scores[most - 1])
        # A score is at least the cost with its retries: ceil(cost x PPM / success). Distance and image only add to it.
        cost = mul_div_down(wanted, self._best_success_ppm, PPM)
        return (cost + 1) * COST_DIVISOR if cost < U128_MAX else _WITHOUT_END


def _kind_of(offer: Offer) -> _Kind:
    body = offer.body
    return body.asset, body.region, body.free.gpu_model or body.capacity.gpu_model


def _may_fit(job: Job, kind: _Kind) -> bool:
    asset, region, model = kind
    return (
        asset == job.asset
        and (not job.regions or region in job.regions)
        and (not job.resources.gpus or has_gpu_model(job.resources.gpu_model, model))
    )
