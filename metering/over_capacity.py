"""Over capacity: receipts of leases that together hold more than was verified, exactly as OverCapacity judges it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metering.authors import Authors
from metering.eip712 import keccak
from metering.evidence import LeaseDocument
from metering.faults import Fault, Proof, is_signed_lease
from metering.receipt import SignedReceipt, receipt_digest_of
from metering.terms import lease_id_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Hash32

TOLERANCE_NS = 900 * NANOS_PER_SECOND
"""How much more than the time between the receipts each device is given (OverCapacity.TOLERANCE_NS)."""

LEAST_WINDOW_NS = NANOS_PER_HOUR
"""The shortest time over which usage is judged (OverCapacity.LEAST_WINDOW_NS)."""

START_NS = NANOS_PER_HOUR
"""How long before a lease is known to have begun a verdict may have ended and still count (OverCapacity.START_NS)."""

MAX_PAIRS = 32
"""Pairs of receipts in one transaction (OverCapacity.MAX_PAIRS)."""

MAX_CASE_PAIRS = 1024
"""Pairs in one case (OverCapacity.MAX_CASE_PAIRS)."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict of the registry's history, as it counts here. from_s, until_s: when it was in force."""

    gpus: int
    vcpus: int
    from_s: int
    until_s: int

    def is_in_force(self, at_ns: int) -> bool:
        """Then."""
        return self.from_s * NANOS_PER_SECOND <= at_ns < self.until_s * NANOS_PER_SECOND


History = Mapping[int, Verified]
"""Verdicts on one provider by their place in the registry's history."""


@dataclass(frozen=True, slots=True)
class ReceiptPair:
    """Two receipts of one lease between which usage is counted. begun_under: which verdict was in force when it began."""

    lease: LeaseDocument
    older: SignedReceipt
    newer: SignedReceipt
    begun_under: int

    @property
    def served(self) -> tuple[int, int]:
        """GPU and vCPU time that counts: what usage grew by, and no more than the lease reserved meanwhile."""
        older, newer, reserved = self.older.receipt, self.newer.receipt, self.lease.terms.resources
        passed_ns = newer.at_ns - older.at_ns
        return (
            min(newer.usage.gpu_ns - older.usage.gpu_ns, reserved.gpus * passed_ns),
            min(newer.usage.vcpu_ns - older.usage.vcpu_ns, reserved.vcpu_milli * passed_ns // 1000),
        )

    @property
    def begun_ns(self) -> int:
        """When the lease began at the latest: by its terms, or by when the older receipt says that it ran."""
        older = self.older.receipt
        return min(self.lease.terms.open_until_ns, max(0, older.at_ns - older.running_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class OverCapacity(Proof):
    """Usage that no hardware of the verdicts could have served. pairs: by ascending lease id."""

    pairs: tuple[ReceiptPair, ...]
    history_index: int


def make_pairs(
    receipts: Iterable[SignedReceipt],
    leases: Mapping[Hash32, LeaseDocument],
    history: History,
    oldest_ns: int,
    newest_ns: int,
) -> tuple[ReceiptPair, ...]:
    """The outermost two receipts of each lease that lie within the time, by ascending lease id; without leases whose terms
    are not known, or that began when nothing was verified."""
    by_lease: dict[Hash32, list[SignedReceipt]] = {}
    for signed in receipts:
        if signed.receipt.lease_id in leases and oldest_ns <= signed.receipt.at_ns <= newest_ns:
            by_lease.setdefault(signed.receipt.lease_id, []).append(signed)
    pairs = []
    for lease_id in sorted(by_lease):
        found = sorted(by_lease[lease_id], key=lambda one: one.receipt.number)
        pair = ReceiptPair(leases[lease_id], found[0], found[-1], -1)
        begun_under = find_begun(history, pair.begun_ns)
        if len(found) > 1 and begun_under is not None:
            pairs.append(ReceiptPair(pair.lease, pair.older, pair.newer, begun_under))
    return tuple(pairs)


def find_begun(history: History, begun_ns: int) -> int | None:
    """The place of the verdict that was in force then."""
    return next((place for place, verified in history.items() if verified.is_in_force(begun_ns)), None)


def find_limits(history: History, pair: ReceiptPair) -> tuple[int, int] | None:
    """GPUs and vCPUs that were verified when the lease began, or up to START_NS before; None when none were then."""
    verified, begun_ns = history.get(pair.begun_under), pair.begun_ns
    if verified is None or not verified.is_in_force(begun_ns):
        return None
    before = history.get(pair.begun_under - 1)
    if before is None or begun_ns >= verified.from_s * NANOS_PER_SECOND + START_NS:
        return verified.gpus, verified.vcpus
    if before.until_s * NANOS_PER_SECOND + START_NS <= begun_ns:
        return verified.gpus, verified.vcpus
    return max(verified.gpus, before.gpus), max(verified.vcpus, before.vcpus)


def find_over_capacity(
    pairs: Sequence[ReceiptPair], history: History, history_index: int, escrow: Hash32, authors: Authors
) -> OverCapacity | None:
    """The proof, when the devices of the verdicts cannot have served all this in the time from the first receipt to the last.

    A kind of device of which they know none is not judged.
    """
    provider = _find_pairs_provider(pairs, escrow, authors)
    limits = [find_limits(history, pair) for pair in pairs]
    verified = history.get(history_index)
    if provider is None or verified is None or None in limits:
        return None
    oldest_ns, newest_ns = find_window(pairs)
    if oldest_ns < verified.from_s * NANOS_PER_SECOND or newest_ns > verified.until_s * NANOS_PER_SECOND:
        return None
    if newest_ns - oldest_ns < LEAST_WINDOW_NS or not is_above(pairs, verified, history):
        return None
    return OverCapacity(
        fault=Fault.OVER_CAPACITY, provider=provider, first=Hash32(_word(history_index)),
        second=chain_of(pairs, escrow), dated_s=newest_ns // NANOS_PER_SECOND, pairs=tuple(pairs),
        history_index=history_index,
    )  # fmt: skip


def is_above(pairs: Sequence[ReceiptPair], verified: Verified, history: History) -> bool:
    """Whether the pairs together count more than the most of the verdicts' devices serve, without a look at signatures."""
    oldest_ns, newest_ns = find_window(pairs)
    limits = [(verified.gpus, verified.vcpus), *(found for pair in pairs if (found := find_limits(history, pair)))]
    served = [pair.served for pair in pairs]
    for kind in (0, 1):
        devices = max(limit[kind] for limit in limits)
        if devices and sum(one[kind] for one in served) > devices * (newest_ns - oldest_ns + TOLERANCE_NS):
            return True
    return False


def find_window(pairs: Sequence[ReceiptPair]) -> tuple[int, int]:
    """When the oldest and the newest receipt are dated."""
    return min(pair.older.receipt.at_ns for pair in pairs), max(pair.newer.receipt.at_ns for pair in pairs)


def chain_of(pairs: Iterable[ReceiptPair], escrow: Hash32) -> Hash32:
    """The hash over the pairs in order that is in the evidence's id (IOverCapacity.Case)."""
    chain = ZERO_HASH
    for pair in pairs:
        digests = b"".join(receipt_digest_of(escrow, signed.receipt) for signed in (pair.older, pair.newer))
        chain = keccak(chain + pair.older.receipt.lease_id + digests)
    return chain


def _find_pairs_provider(pairs: Sequence[ReceiptPair], escrow: Hash32, authors: Authors) -> Address | None:
    """The one provider whose word all of them are, when they are in the order that the contract asks for."""
    if not 0 < len(pairs) <= MAX_CASE_PAIRS:
        return None
    provider, before = pairs[0].lease.terms.provider, ZERO_HASH
    for pair in pairs:
        lease_id = lease_id_of(escrow, pair.lease.terms)
        if lease_id <= before or pair.lease.terms.provider != provider:
            return None
        if not is_signed_lease(pair.lease, escrow, authors) or not _is_pair_of(
            pair, lease_id, provider, escrow, authors
        ):
            return None
        before = lease_id
    return provider


def _is_pair_of(pair: ReceiptPair, lease_id: Hash32, provider: Address, escrow: Hash32, authors: Authors) -> bool:
    older, newer = pair.older.receipt, pair.newer.receipt
    if newer.number <= older.number or newer.at_ns < older.at_ns:
        return False
    if newer.usage.gpu_ns < older.usage.gpu_ns or newer.usage.vcpu_ns < older.usage.vcpu_ns:
        return False
    for signed in (pair.older, pair.newer):
        digest, at_s = receipt_digest_of(escrow, signed.receipt), signed.receipt.at_ns // NANOS_PER_SECOND
        is_theirs = authors.find_signer(digest, signed.signature, at_s) == provider
        if signed.receipt.lease_id != lease_id or not is_theirs:
            return False
    return True


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
