"""Overuse: the time and the receipts that show best that a provider served more than its verified devices can."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from metering.faults import MAX_PAIRS, OverCapacity, Owners, ReceiptPair, Verified, find_over_capacity, make_pairs
from metering.receipt import SignedReceipt
from metering.units import NANOS_PER_SECOND, Hash32

MAX_EDGES = 64
"""Moments at which a time that is looked at may begin or end: two thousand times take about a second."""


def find_overuse(
    receipts: Sequence[SignedReceipt], verified: Verified, history_index: int, escrow: Hash32, owners: Owners
) -> OverCapacity | None:
    """The proof, when at some time within the verdict the receipts say more than its devices could serve.

    receipts: of one provider. Over a long time idle hours hide busy ones, so every time between the first and the last
    receipts of any two leases is looked at.
    """
    oldest_ns, newest_ns = verified.from_s * NANOS_PER_SECOND, verified.until_s * NANOS_PER_SECOND
    within = [one for one in receipts if oldest_ns <= one.receipt.at_ns <= newest_ns]
    edges = _find_edges(within)
    within = _keep_outermost(within, edges)
    for first in edges:
        for last in edges:
            if last > first:
                pairs = _choose(make_pairs(within, first, last))
                if pairs and _is_above(pairs, verified):
                    proof = find_over_capacity(pairs, verified, history_index, escrow, owners)
                    if proof is not None:
                        return proof
    return None


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
    """As many as one proof takes, those that say most."""
    if len(pairs) <= MAX_PAIRS:
        return tuple(pairs)
    most = sorted(pairs, key=lambda pair: -sum(_served(pair)))[:MAX_PAIRS]
    return tuple(sorted(most, key=lambda pair: pair.newer.receipt.lease_id))


def _is_above(pairs: Sequence[ReceiptPair], verified: Verified) -> bool:
    """Cheaply, without a look at signatures or tolerance: most times end here."""
    window_ns = max(pair.newer.receipt.at_ns for pair in pairs) - min(pair.older.receipt.at_ns for pair in pairs)
    gpu_ns, vcpu_ns = (int(sum(column)) for column in zip(*(_served(pair) for pair in pairs), strict=True))
    return gpu_ns > verified.gpus * window_ns or vcpu_ns > verified.vcpus * window_ns


def _served(pair: ReceiptPair) -> Iterator[int]:
    older, newer = pair.older.receipt.usage, pair.newer.receipt.usage
    yield newer.gpu_ns - older.gpu_ns
    yield newer.vcpu_ns - older.vcpu_ns
