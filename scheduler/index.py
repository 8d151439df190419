"""Index: where a book's offers lie for searching, and the plain one that looks at each."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Protocol

from metering.units import Address
from scheduler.feasible import fits_job
from scheduler.job import Job
from scheduler.offer import Offer
from scheduler.preferences import Preferences
from scheduler.score import Scored, near_limit_of, score_offer


class OfferIndex(Protocol):
    """Where the book's offers lie for searching: a scan, or something faster with the same answers."""

    def put(self, offer: Offer) -> None:
        """Take an offer in, in place of its node's last one."""
        ...

    def drop(self, node: Address) -> None:
        """Forget the node's offer, if there is one."""
        ...

    def find_best(self, job: Job, preferences: Preferences, now_ns: int, count: int) -> tuple[Scored[Offer], ...]:
        """The `count` offers with the least score that fit the job, and all that are within NEAR_BEST_PERCENT of the
        best (at most MAX_NEAR_BEST of them), in any order."""
        ...


MAX_NEAR_BEST = 256
"""In a large market of equal prices thousands are near the best; these are enough for the entropy to spread."""


def select_best(scored: Iterable[Scored[Offer]], count: int) -> tuple[Scored[Offer], ...]:
    """Of these, what find_best gives."""
    best = nsmallest(max(count, MAX_NEAR_BEST), scored, key=lambda one: (one.score, one.node))
    if len(best) <= count:
        return tuple(best)
    limit = near_limit_of(best[0].score)
    return tuple(one for place, one in enumerate(best) if place < count or one.score <= limit)


class ScanIndex:
    """Looks at every offer: simple, and the answer that any faster index must give too."""

    def __init__(self) -> None:
        self._offers: dict[Address, Offer] = {}

    def put(self, offer: Offer) -> None:
        """See OfferIndex."""
        self._offers[offer.node] = offer

    def drop(self, node: Address) -> None:
        """See OfferIndex."""
        self._offers.pop(node, None)

    def find_best(self, job: Job, preferences: Preferences, now_ns: int, count: int) -> tuple[Scored[Offer], ...]:
        """See OfferIndex."""
        fitting = (offer for offer in self._offers.values() if fits_job(job, offer, now_ns, preferences))
        scored = (score_offer(job, offer, preferences, now_ns) for offer in fitting)
        return select_best(scored, count)
