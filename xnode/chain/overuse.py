"""Overuse: the time and the receipts that show best that a provider served more than its verified devices can."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from metering.authors import Authors
from metering.evidence import LeaseDocument
from metering.over_capacity import (
    LEAST_WINDOW_NS,
    MAX_CASE_PAIRS,
    History,
    OverCapacity,
    ReceiptPair,
    Verified,
    find_limits,
    find_over_capacity,
    is_above,
    make_pairs,
)
from metering.receipt import SignedReceipt
from metering.units import NANOS_PER_SECOND, Hash32

MAX_EDGES = 64
"""Moments at which a time that is looked at may begin or end: two thousand times take about a second."""


def find_overuse(
    receipts: Sequence[SignedReceipt],
    leases: Mapping[Hash32, LeaseDocument],
    history: History,
    history_index: int,
    escrow: Hash32,
    authors: Authors,
) -> OverCapacity | None:
    """The proof, when at some time within the verdict the receipts say more than the verified devices could serve.

    receipts: of one provider. Over a long time idle hours hide busy ones, so every time between the first and the last
    receipts of any two leases is looked at; and a lease that began under a larger verdict raises the limit for all, so
    those under smaller ones are looked at without it too.
    """
    verified = history[history_index]
    oldest_ns, newest_ns = verified.from_s * NANOS_PER_SECOND, verified.until_s * NANOS_PER_SECOND
    within = [one for one in receipts if oldest_ns <= one.receipt.at_ns <= newest_ns]
    edges = _find_edges(within)
    within = _keep_outermost(within, edges)
    for first in edges:
        for last in edges:
            if last - first >= LEAST_WINDOW_NS:
                for pairs in _list_choices(make_pairs(within, leases, history, first, last), verified, history):
                    if is_above(pairs, verified, history):
                        proof = find_over_capacity(pairs, history, history_index, escrow, authors)
                        if proof is not None:
                            return proof
    return None


def _list_choices(
    pairs: Sequence[ReceiptPair], verified: Verified, history: History
) -> Iterator[tuple[ReceiptPair, ...]]:
    """Pairs that may prove something together: those up to each limit under which some of them began."""
    limits = {(verified.gpus, verified.vcpus)} | {found for pair in pairs if (found := find_limits(history, pair))}
    for gpus, vcpus in sorted(limits):
        chosen = [
            pair for pair in pairs if (found := find_limits(history, pair)) and found[0] <= gpus and found[1] <= vcpus
        ]
        if chosen:
            yield _choose(chosen)


def _find_edges(receipts: Sequence[SignedReceipt]) -> list[int]:
    """The first and the last moment of every lease."""
    times: dict[Hash32, list[int]] = {}
    for one in receipts:
        times.setdefault(one.receipt.lease_id, []).append(one.receipt.at_ns)
    edges = sorted({edge for found in times.values() for edge in (min(found), max(found))})
    if len(edges) <= MAX_EDGES:
        return edges
    return edges[:: -(-len(edges) // MAX_EDGES)]


def _keep_outermost(receipts: Sequence[SignedReceipt], edges: Sequence[int]) -> list[SignedReceipt]:
    """Of each lease the receipts that can be first or last of a time between two edges: all others change nothing."""
    by_lease: dict[Hash32, list[SignedReceipt]] = {}
    for one in receipts:
        by_lease.setdefault(one.receipt.lease_id, []).append(one)
    kept: list[SignedReceipt] = []
    for found in by_lease.values():
        found.sort(key=lambda one: one.receipt.at_ns)
        times = [one.receipt.at_ns for one in found]
        places = {bisect_left(times, edge) for edge in edges} | {bisect_right(times, edge) - 1 for edge in edges}
        kept += [found[place] for place in sorted(places) if 0 <= place < len(found)]
    return kept


def _choose(pairs: Sequence[ReceiptPair]) -> tuple[ReceiptPair, ...]:
    """As many as one case takes, those that say most."""
    if len(pairs) <= MAX_CASE_PAIRS:
        return tuple(pairs)
    most = sorted(pairs, key=lambda pair: -sum(pair.served))[:MAX_CASE_PAIRS]
    return tuple(sorted(most, key=lambda pair: pair.newer.receipt.lease_id))
