"""Book: this node's replica of the market's signed offers, and the search in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metering.codec import encode
from metering.refusal import Refusal
from metering.units import NANOS_PER_HOUR, Address, Hash32
from scheduler.feasible import Misfit, check_offer_for_job
from scheduler.index import OfferIndex
from scheduler.job import Job
from scheduler.offer import Offer, SignedOffer, check_offer
from scheduler.preferences import Preferences
from scheduler.score import Scored, rank
from scheduler.threshold import ThresholdIndex

MAX_OFFERS = 200_000
"""Twice the market that one node is built for; at about 2 KiB an offer this bounds the book near 400 MiB."""

MAX_OFFER_BYTES = 8 * 1024
"""A host with 16 GPUs and 8 addresses takes 2 KiB."""

MAX_OFFER_LIFE_NS = 24 * NANOS_PER_HOUR
"""No offer may claim a place for longer than a day without being signed again."""

MAX_PROOFS = 64
"""Proofs of equivocation kept for a report; one is enough to slash."""

MAX_EXAMPLES = 3
"""Example nodes named for each reason: enough to look at, short enough to read."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """An offer that does not fit, and every reason why."""

    node: Address
    misfits: tuple[Misfit, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """candidates: best first; offers_seen: how many were in the book; unfit: filled only when fewer candidates were
    found than asked for, because only then does the submitter ask why."""

    candidates: tuple[Scored[Offer], ...]
    offers_seen: int
    unfit: tuple[Unfit, ...]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How many offers one constraint rules out; nearest: the detail of the one that comes closest; only: how many are
    ruled out by this constraint alone."""

    code: str
    count: int
    only: int
    nearest: str
    nodes: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two different offers that one node signed under one number."""

    first: SignedOffer
    second: SignedOffer


class Book:
    """The newest valid offer of each node. Every offer is checked on its way in."""

    def __init__(self, separator: Hash32, index: OfferIndex | None = None, max_offers: int = MAX_OFFERS) -> None:
        self._separator = separator
        self._index = index or ThresholdIndex()
        self._max_offers = max_offers
        self._offers: dict[Address, SignedOffer] = {}
        self._proofs: dict[Address, Equivocation] = {}

    def __len__(self) -> int:
        return len(self._offers)

    def __iter__(self) -> Iterator[SignedOffer]:
        return iter(self._offers.values())

    @property
    def proofs(self) -> tuple[Equivocation, ...]:
        """One proof for each node that signed two offers under one number."""
        return tuple(self._proofs.values())

    def get(self, node: Address) -> SignedOffer | None:
        """The node's newest offer."""
        return self._offers.get(node)

    def add(self, signed: SignedOffer, now_ns: int) -> Refusal | None:
        """Take an offer in, or say why not; taking one twice is fine. Cheap checks come before the signature."""
        last = self._offers.get(signed.offer.node)
        if last == signed:
            return None
        refusal = self._check_place(signed, last, now_ns) or check_offer(signed, self._separator, now_ns)
        if refusal:
            return refusal
        if last and last.offer.number == signed.offer.number:
            return self._on_same_number(last, signed)
        self._offers[signed.offer.node] = signed
        self._index.put(signed.offer)
        return None

    def drop(self, node: Address) -> None:
        """Forget the node's offer, if there is one."""
        if self._offers.pop(node, None):
            self._index.drop(node)

    def drop_expired(self, now_ns: int) -> int:
        """Forget every offer whose time is over; gives how many. Call it every minute; search() never gives one."""
        expired = [node for node, signed in self._offers.items() if signed.offer.expires_at_ns <= now_ns]
        for node in expired:
            self.drop(node)
        return len(expired)

    def search(self, job: Job, preferences: Preferences, now_ns: int, count: int, entropy: bytes) -> Search:
        """The best `count` offers for the job, or every reason why there are fewer."""
        found = self._index.find_best(job, preferences, now_ns, count)
        candidates = rank(found, entropy)[:count]
        if len(candidates) >= count:
            return Search(candidates, len(self), ())
        return Search(candidates, len(self), tuple(self._explain(job, preferences, now_ns)))

    def _explain(self, job: Job, preferences: Preferences, now_ns: int) -> Iterator[Unfit]:
        for node, signed in self._offers.items():
            misfits = check_offer_for_job(job, signed.offer, now_ns, preferences)
            if misfits:
                yield Unfit(node, misfits)

    def _check_place(self, signed: SignedOffer, last: SignedOffer | None, now_ns: int) -> Refusal | None:
        offer = signed.offer
        if last and offer.number < last.offer.number:
            return Refusal("offer_old", f"offer {offer.number} came after offer {last.offer.number} of the same node")
        if offer.expires_at_ns > now_ns + MAX_OFFER_LIFE_NS:
            return Refusal("offer_life", f"offer {offer.number} would stand for over 24 hours; sign it again daily")
        if last is None and len(self._offers) >= self._max_offers:
            return Refusal("book_full", f"the book holds {len(self._offers)} offers, its limit is {self._max_offers}")
        size_bytes = len(encode(signed))
        if size_bytes > MAX_OFFER_BYTES:
            return Refusal("offer_size", f"offer {offer.number} has {size_bytes} bytes, the limit is {MAX_OFFER_BYTES}")
        return None

    def _on_same_number(self, last: SignedOffer, signed: SignedOffer) -> Refusal | None:
        # A node's signature may be spelled differently over one content: that proves nothing.
        if last.offer == signed.offer:
            return None
        node = signed.offer.node
        if node in self._proofs or len(self._proofs) < MAX_PROOFS:
            self._proofs.setdefault(node, Equivocation(last, signed))
        return Refusal(
            "offer_equivocation", f"node 0x{node.hex()} signed two different offers under number {signed.offer.number}"
        )


def shortfalls_of(search: Search) -> tuple[Shortfall, ...]:
    """Why offers did not fit, by constraint, the one that rules out most first."""
    groups: dict[str, list[tuple[Misfit, Unfit]]] = {}
    for unfit in search.unfit:
        for misfit in unfit.misfits:
            groups.setdefault(misfit.code, []).append((misfit, unfit))
    shortfalls = (_make_one_shortfall(code, pairs) for code, pairs in groups.items())
    return tuple(sorted(shortfalls, key=lambda one: (-one.count, -one.only, one.code)))


def _make_one_shortfall(code: str, pairs: Iterable[tuple[Misfit, Unfit]]) -> Shortfall:
    # Of two as close, the offer with fewer other faults is the one worth a look.
    nearest_first = sorted(pairs, key=lambda pair: (pair[0].gap, len(pair[1].misfits), pair[1].node))
    return Shortfall(
        code=code,
        count=len(nearest_first),
        only=sum(1 for _, unfit in nearest_first if len(unfit.misfits) == 1),
        nearest=nearest_first[0][0].detail,
        nodes=tuple(unfit.node for _, unfit in nearest_first[:MAX_EXAMPLES]),
    )
