"""The time at which receipts say more than verified devices could serve is found among idle ones."""

from __future__ import annotations

import pytest

from metering.eip712 import typed_digest
from metering.faults import Verified
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.signature import sign_digest
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, Amount, Hash32
from metering.usage import Counters, usage_of
from tests.make.values import SEPARATOR, address_of, make_key
from xnode.chain.overuse import MAX_EDGES, _find_edges, find_overuse

OWNERS = {address_of(1): address_of(1001)}
BEGAN_NS = 1_800_000_000 * NANOS_PER_SECOND
VERIFIED = Verified(gpus=0, vcpus=2, from_s=1_800_000_000, until_s=1_800_000_000 + 86_400)
LIMITS = Resources(64_000, 0, 0)


def sign(lease: int, number: int, at_hours: float, vcpu_hours: float) -> SignedReceipt:
    usage = usage_of(Counters(0, round(vcpu_hours * NANOS_PER_HOUR)), LIMITS)
    at_ns = BEGAN_NS + round(at_hours * NANOS_PER_HOUR)
    receipt = Receipt(Hash32(lease.to_bytes(32, "big")), number, at_ns, 0, usage, Amount(0), False)
    return SignedReceipt(receipt, sign_digest(make_key(1), typed_digest(SEPARATOR, "Receipt", receipt)))


def run_lease(lease: int, hours: range, vcpus: float) -> list[SignedReceipt]:
    """A receipt each hour."""
    return [sign(lease, number, hour, number * vcpus) for number, hour in enumerate(hours)]


@pytest.mark.parametrize(
    ("leases", "found"),
    [
        ([(1, range(5), 2.0)], False),
        ([(1, range(5), 2.5)], True),
        ([(1, range(5), 1.0), (2, range(5), 1.0)], False),
        ([(1, range(5), 1.0), (2, range(5), 1.0), (3, range(2, 4), 1.0)], True),
        # A busy hour in the middle of a lease that idles all day.
        ([(1, range(24), 0.5), (2, range(10, 12), 2.0)], True),
        ([(1, range(12), 2.0), (2, range(12, 24), 2.0)], False),
    ],
)
def test_usage_beyond_the_devices_is_found_at_whatever_time(
    leases: list[tuple[int, range, float]], found: bool
) -> None:
    receipts = [one for lease in leases for one in run_lease(*lease)]
    proof = find_overuse(receipts, VERIFIED, 3, SEPARATOR, OWNERS)
    assert (proof is not None) == found
    if proof is not None:
        assert (proof.provider, proof.history_index) == (address_of(1001), 3)


def test_what_is_outside_of_the_verdict_does_not_count() -> None:
    receipts = run_lease(1, range(20, 40), 2.5)
    proof = find_overuse(receipts, VERIFIED, 0, SEPARATOR, OWNERS)
    assert proof is not None
    assert max(pair.newer.receipt.at_ns for pair in proof.pairs) <= VERIFIED.until_s * NANOS_PER_SECOND
    assert find_overuse(run_lease(1, range(25, 40), 2.5), VERIFIED, 0, SEPARATOR, OWNERS) is None
    assert find_overuse([], VERIFIED, 0, SEPARATOR, OWNERS) is None


def test_of_many_leases_only_so_many_moments_are_looked_at() -> None:
    receipts = [one for lease in range(100) for one in run_lease(lease, range(lease % 20, lease % 20 + 3), 0.01)]
    shifted = [sign(200 + n, n, 0.01 * n, 0) for n in range(500)]
    assert len(_find_edges([*receipts, *shifted])) <= MAX_EDGES
    assert find_overuse([*receipts, *shifted], VERIFIED, 0, SEPARATOR, OWNERS) is None
