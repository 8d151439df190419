"""Receipts of leases that together hold more than was verified, and everything that only looks like it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.evidence import LeaseDocument
from metering.faults import Fault
from metering.over_capacity import (
    LEAST_WINDOW_NS,
    START_NS,
    TOLERANCE_NS,
    History,
    OverCapacity,
    ReceiptPair,
    Verified,
    chain_of,
    find_over_capacity,
    make_pairs,
)
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.resources import Resources
from metering.signature import sign_digest
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, U128, Amount, Hash32
from metering.usage import NO_USAGE
from tests.make.leases import make_authors, make_lease
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_key

NODE, STRANGER = 1, 3
PROVIDER = address_of(1001)
AUTHORS = make_authors({address_of(NODE): PROVIDER, address_of(STRANGER): address_of(1003)})
HOUR = NANOS_PER_HOUR
NOW_S = NOW_NS // NANOS_PER_SECOND
DAY_S = 86_400
HISTORY: History = {3: Verified(gpus=2, vcpus=8, from_s=NOW_S, until_s=NOW_S + DAY_S)}


def lease_of(number: int, gpus: int = 2, vcpu_milli: int = 8000, **changes: Any) -> LeaseDocument:
    """A lease that began when the verdict came."""
    resources = Resources(vcpu_milli, 1 << 30, 1 << 30, gpus)
    open_until_ns = changes.pop("open_until_ns", NOW_NS)
    return make_lease(lease_number=number, resources=resources, open_until_ns=open_until_ns, **changes)


def sign(lease: LeaseDocument, number: int, at_ns: int, key: int = NODE, **usage: int) -> SignedReceipt:
    used = replace(NO_USAGE, **{name: U128(value) for name, value in usage.items() if name != "running_ns"})
    receipt = Receipt(lease.lease_id, number, at_ns, usage.get("running_ns", 0), used, Amount(0), False)
    return SignedReceipt(receipt, sign_digest(make_key(key), receipt_digest_of(SEPARATOR, receipt)))


def pair_of(
    lease: LeaseDocument, hours: float = 2, begin_ns: int = NOW_NS, under: int = 3, **usage: int
) -> ReceiptPair:
    newer = sign(lease, 9, begin_ns + round(hours * HOUR), **usage)
    return ReceiptPair(lease, sign(lease, 1, begin_ns), newer, under)


def over(*pairs: ReceiptPair, history: History = HISTORY, index: int = 3) -> OverCapacity | None:
    ordered = sorted(pairs, key=lambda pair: pair.lease.lease_id)
    return find_over_capacity(ordered, history, index, SEPARATOR, AUTHORS)


def test_more_than_all_devices_can_serve_is_a_proof_and_one_nanosecond_decides() -> None:
    most = 2 * (2 * HOUR + TOLERANCE_NS)
    one, two = pair_of(lease_of(1), gpu_ns=most // 2), pair_of(lease_of(2), gpu_ns=most // 2)
    assert over(one, two) is None
    proof = over(one, pair_of(lease_of(2), gpu_ns=most // 2 + 1))
    assert proof is not None and (proof.fault, proof.provider) == (Fault.OVER_CAPACITY, PROVIDER)
    assert int.from_bytes(proof.first, "big") == 3 and proof.second == chain_of(proof.pairs, SEPARATOR)
    assert proof.dated_s == NOW_S + 7200
    vcpus = [pair_of(lease_of(number), vcpu_ns=4 * (2 * HOUR + TOLERANCE_NS) + 1) for number in (1, 2)]
    assert over(*vcpus) is not None


def test_a_lease_counts_no_more_than_it_reserved_for_its_own_time() -> None:
    assert over(pair_of(lease_of(1), gpu_ns=100 * HOUR, vcpu_ns=1000 * HOUR)) is None
    halves = [
        pair_of(lease_of(number, gpus=1, vcpu_milli=4000), gpu_ns=9 * HOUR, vcpu_ns=99 * HOUR) for number in (1, 2)
    ]
    assert over(*halves) is None
    third = pair_of(lease_of(3, gpus=1, vcpu_milli=0), gpu_ns=9 * HOUR)
    assert over(*halves, third) is not None


def test_less_than_an_hour_judges_nobody() -> None:
    hour = LEAST_WINDOW_NS / HOUR
    short = [pair_of(lease_of(number), hours=hour - 0.01, gpu_ns=9 * HOUR) for number in range(4)]
    assert over(*short) is None
    assert over(*(pair_of(lease_of(number), hours=hour, gpu_ns=9 * HOUR) for number in range(4))) is not None


def test_a_kind_of_which_the_verdicts_know_none_is_not_judged() -> None:
    no_gpus = {3: Verified(0, 8, NOW_S, NOW_S + DAY_S)}
    assert over(*(pair_of(lease_of(number), gpu_ns=9 * HOUR) for number in range(4)), history=no_gpus) is None


# ------------------------------------------------------------------------------------------------------- what was promised

LESS: History = {0: Verified(2, 16, NOW_S, NOW_S + DAY_S), 1: Verified(2, 8, NOW_S + DAY_S, NOW_S + 8 * DAY_S)}
LATER_NS = NOW_NS + DAY_S * NANOS_PER_SECOND + 2 * HOUR


def test_a_smaller_verdict_makes_nobody_guilty_of_leases_that_began_before_it() -> None:
    before = pair_of(lease_of(1, vcpu_milli=16_000), begin_ns=LATER_NS, under=0, vcpu_ns=32 * HOUR)
    assert over(before, history=LESS, index=1) is None
    after = lease_of(2, vcpu_milli=16_000, open_until_ns=LATER_NS)
    assert over(pair_of(after, begin_ns=LATER_NS, under=1, vcpu_ns=32 * HOUR), history=LESS, index=1) is not None
    more = pair_of(lease_of(3, vcpu_milli=8000, open_until_ns=LATER_NS), begin_ns=LATER_NS, under=1, vcpu_ns=16 * HOUR)
    assert over(before, more, history=LESS, index=1) is not None, "24 of the 16 that were ever verified"


def test_terms_signed_up_to_an_hour_before_a_verdict_are_judged_by_the_one_before_too() -> None:
    changed_ns = LESS[1].from_s * NANOS_PER_SECOND
    for begun_ns, is_guilty in ((changed_ns + START_NS - 1, False), (changed_ns + START_NS, True)):
        lease = lease_of(1, vcpu_milli=16_000, open_until_ns=begun_ns)
        proof = over(pair_of(lease, begin_ns=LATER_NS, under=1, vcpu_ns=32 * HOUR), history=LESS, index=1)
        assert (proof is not None) == is_guilty


def test_a_lease_begins_where_its_older_receipt_says_that_it_ran() -> None:
    lease = lease_of(1, vcpu_milli=16_000, open_until_ns=LATER_NS + 9 * HOUR)
    older = sign(lease, 1, LATER_NS, running_ns=5 * HOUR)
    newer = sign(lease, 2, LATER_NS + 2 * HOUR, vcpu_ns=32 * HOUR)
    assert over(ReceiptPair(lease, older, newer, 1), history=LESS, index=1) is None
    assert over(ReceiptPair(lease, older, newer, 0), history=LESS, index=1) is None


def test_pairs_are_made_of_leases_whose_terms_are_known_and_that_began_while_something_was_verified() -> None:
    good, early, unknown = lease_of(1), lease_of(2, open_until_ns=NOW_NS - 1), lease_of(3)
    times = (NOW_NS - 1, NOW_NS, NOW_NS + 5, NOW_NS + 9, NOW_NS + 10)
    shown = [sign(lease, place, at) for lease in (good, early, unknown) for place, at in enumerate(times)]
    leases = {lease.lease_id: lease for lease in (good, early)}
    (pair,) = make_pairs(shown, leases, HISTORY, NOW_NS, NOW_NS + 9)
    assert (pair.older.receipt.number, pair.newer.receipt.number, pair.begun_under) == (1, 3, 3)
    assert pair.lease == good


# -------------------------------------------------------------------------------------------------------------- near misses

TOO_MUCH = {"gpu_ns": 9 * HOUR}


def make_guilty(number: int, key: int = NODE) -> ReceiptPair:
    lease = lease_of(number)
    return ReceiptPair(lease, sign(lease, 1, NOW_NS), sign(lease, 9, NOW_NS + 2 * HOUR, key, **TOO_MUCH), 3)


def swap(pair: ReceiptPair, **changes: Any) -> ReceiptPair:
    given: dict[str, Any] = {
        "lease": pair.lease,
        "older": pair.older,
        "newer": pair.newer,
        "begun_under": pair.begun_under,
    } | changes
    return ReceiptPair(**given)


def test_four_leases_that_hold_both_gpus_are_a_proof() -> None:
    assert over(*(make_guilty(number) for number in range(4))) is not None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pair: swap(pair, newer=sign(pair.lease, 9, NOW_NS - 1, **TOO_MUCH)),
        lambda pair: swap(pair, newer=sign(pair.lease, 1, NOW_NS + 2 * HOUR, **TOO_MUCH)),
        lambda pair: swap(pair, newer=sign(pair.lease, 9, NOW_NS + (DAY_S + 1) * NANOS_PER_SECOND, **TOO_MUCH)),
        lambda pair: swap(pair, newer=sign(lease_of(99), 9, NOW_NS + 2 * HOUR, **TOO_MUCH)),
        lambda pair: swap(pair, older=sign(pair.lease, 1, NOW_NS, vcpu_ns=1)),
        lambda pair: swap(pair, newer=sign(pair.lease, 9, NOW_NS + 2 * HOUR, STRANGER, **TOO_MUCH)),
        lambda pair: swap(pair, lease=replace(pair.lease, node_signature=b"")),
        lambda pair: swap(pair, begun_under=2),
    ],
    ids=["out of order", "one number", "after the verdict", "two leases", "usage falls", "another provider",
         "terms that one side signed", "a verdict that is not there"],
)  # fmt: skip
def test_one_pair_that_the_contract_would_not_take_spoils_the_case(spoil: Any) -> None:
    good = [make_guilty(number) for number in range(4)]
    assert over(*good[:3], spoil(good[3])) is None


def test_a_lease_counts_once_and_in_its_place() -> None:
    good = sorted((make_guilty(number) for number in range(4)), key=lambda pair: pair.lease.lease_id)
    for wrong in ([], [*good, good[3]], good[::-1]):
        assert find_over_capacity(wrong, HISTORY, 3, SEPARATOR, AUTHORS) is None
    assert find_over_capacity(good, HISTORY, 4, SEPARATOR, AUTHORS) is None, "no such verdict"


def test_the_chain_is_over_every_receipt_in_order() -> None:
    a, b = make_guilty(1), make_guilty(2)
    chains = {chain_of(pairs, SEPARATOR) for pairs in ((a,), (b,), (a, b), (b, a), ())}
    assert len(chains) == 5 and Hash32(bytes(32)) in chains
