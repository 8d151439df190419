"""The time at which receipts say more than verified devices could serve is found among idle ones."""

from __future__ import annotations

import pytest

from metering.evidence import LeaseDocument
from metering.over_capacity import Verified
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.resources import Resources
from metering.signature import sign_digest
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, Amount
from metering.usage import Counters, usage_of
from tests.make.leases import make_authors, make_lease
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_key
from xnode.chain.overuse import MAX_EDGES, _find_edges, find_overuse

AUTHORS = make_authors({address_of(1): address_of(1001)})
NOW_S = NOW_NS // NANOS_PER_SECOND
HISTORY = {3: Verified(gpus=0, vcpus=2, from_s=NOW_S, until_s=NOW_S + 86_400)}
LIMITS = Resources(64_000, 0, 0)


def lease_of(number: int, vcpu_milli: int = 2500, at_hours: float = 0) -> LeaseDocument:
    open_until_ns = NOW_NS + round(at_hours * NANOS_PER_HOUR)
    return make_lease(lease_number=number, resources=Resources(vcpu_milli, 0, 0), open_until_ns=open_until_ns)


def sign(lease: LeaseDocument, number: int, at_hours: float, vcpu_hours: float) -> SignedReceipt:
    usage = usage_of(Counters(0, round(vcpu_hours * NANOS_PER_HOUR)), LIMITS)
    at_ns = NOW_NS + round(at_hours * NANOS_PER_HOUR)
    receipt = Receipt(lease.lease_id, number, at_ns, 0, usage, Amount(0), False)
    return SignedReceipt(receipt, sign_digest(make_key(1), receipt_digest_of(SEPARATOR, receipt)))


def run_lease(lease: LeaseDocument, hours: range, vcpus: float) -> list[SignedReceipt]:
    """A receipt each hour."""
    return [sign(lease, number, hour, number * vcpus) for number, hour in enumerate(hours)]


def find(receipts: list[SignedReceipt], leases: list[LeaseDocument], history: dict[int, Verified], index: int):  # type: ignore[no-untyped-def]
    known = {lease.lease_id: lease for lease in leases}
    return find_overuse(receipts, known, history, index, SEPARATOR, AUTHORS)


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([(1, range(5), 2.0)], False),
        ([(1, range(5), 2.5)], True),
        ([(1, range(5), 1.0), (2, range(5), 1.0)], False),
        ([(1, range(5), 1.0), (2, range(5), 1.0), (3, range(1, 5), 1.0)], True),
        # Two busy hours in the middle of a lease that idles all day.
        ([(1, range(24), 0.5), (2, range(10, 13), 2.0)], True),
        ([(1, range(12), 2.0), (2, range(12, 24), 2.0)], False),
    ],
)
def test_usage_beyond_the_devices_is_found_at_whatever_time(runs: list[tuple[int, range, float]], found: bool) -> None:
    leases = [lease_of(number) for number, _, _ in runs]
    receipts = [
        one for lease, (_, hours, vcpus) in zip(leases, runs, strict=True) for one in run_lease(lease, hours, vcpus)
    ]
    proof = find(receipts, leases, HISTORY, 3)
    assert (proof is not None) == found
    if proof is not None:
        assert (proof.provider, proof.history_index) == (address_of(1001), 3)
    assert find(receipts, [], HISTORY, 3) is None, "without terms receipts prove nothing"


def test_what_is_outside_of_the_verdict_does_not_count() -> None:
    lease = lease_of(1)
    proof = find(run_lease(lease, range(20, 40), 2.5), [lease], HISTORY, 3)
    assert proof is not None
    assert max(pair.newer.receipt.at_ns for pair in proof.pairs) <= HISTORY[3].until_s * NANOS_PER_SECOND
    assert find(run_lease(lease, range(25, 40), 2.5), [lease], HISTORY, 3) is None
    assert find([], [lease], HISTORY, 3) is None


def test_an_honest_provider_that_verified_less_than_it_runs_is_not_found() -> None:
    """16 vCPUs run for one submitter; after half an hour of it 8 are verified, for the next mint."""
    lease = make_lease(resources=Resources(16_000, 0, 0), open_until_ns=NOW_NS)
    receipts = [sign(lease, minute, minute / 60, 16 * minute / 60) for minute in range(1, 300)]
    history = {
        0: Verified(gpus=0, vcpus=16, from_s=NOW_S, until_s=NOW_S + 1800),
        1: Verified(gpus=0, vcpus=8, from_s=NOW_S + 1800, until_s=NOW_S + 86_400),
    }
    assert find(receipts, [lease], history, 0) is None
    assert find(receipts, [lease], history, 1) is None
    # What it sells of more than that later is found, though the first lease alone would raise the limit.
    later = lease_of(2, vcpu_milli=12_000, at_hours=2)
    sold = [sign(later, number, 2 + number, 12 * number) for number in range(4)]
    proof = find([*receipts, *sold], [lease, later], history, 1)
    assert proof is not None


def test_of_many_leases_only_so_many_moments_are_looked_at() -> None:
    leases = [lease_of(number) for number in range(700)]
    receipts = [
        one for place in range(100) for one in run_lease(leases[place], range(place % 20, place % 20 + 3), 0.01)
    ]
    shifted = [sign(leases[200 + n], n, 0.01 * n, 0) for n in range(500)]
    assert len(_find_edges([*receipts, *shifted])) <= MAX_EDGES
    assert find([*receipts, *shifted], leases, HISTORY, 3) is None
