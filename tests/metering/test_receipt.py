"""Receipts: honest ones always pass; each dishonest change is refused under its own name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.checks import CLOCK_SKEW_NS, check_receipt, check_receipt_time, check_receipts, exposure_of
from metering.receipt import Receipt, SignedReceipt, make_first, next_receipt, receipt_digest_of
from metering.signature import sign_digest
from metering.tariff import cost_of
from metering.terms import LeaseTerms, lease_id_of
from metering.units import NANOS_PER_SECOND, U64_MAX, U128, U128_MAX, Amount, Hash32
from metering.usage import CLOCK_SLACK_NS, USAGE_FIELDS, Counters, Usage, usage_ceiling_of
from tests.make.values import NOW_NS, SEPARATOR, make_key, make_resources, make_tariff, make_terms
from tests.metering.strategies import readings, tariffs
from tests.metering.test_signature import malleate

SECOND = NANOS_PER_SECOND
NETWORK = 10**9
TERMS = make_terms(resources=make_resources(gpus=1), tariff=make_tariff(ingress_gb=10**15))
LEASE_ID = lease_id_of(SEPARATOR, TERMS)
SPENT = Counters(10 * SECOND, 4 * SECOND, 3_000_000, 2_000_000)
LAST = next_receipt(make_first(LEASE_ID, NOW_NS), TERMS, SPENT, NOW_NS + 10 * SECOND, False, NETWORK)
GROWN = Counters(20 * SECOND, 8 * SECOND, 6_000_000, 4_000_000)
NEXT = next_receipt(LAST, TERMS, GROWN, NOW_NS + 20 * SECOND, False, NETWORK)


def sign(receipt: Receipt, node: int = 1) -> SignedReceipt:
    """Signed by node key `node`."""
    return SignedReceipt(receipt, sign_digest(make_key(node), receipt_digest_of(SEPARATOR, receipt)))


def code_of(
    signed: SignedReceipt, last: Receipt = LAST, terms: LeaseTerms = TERMS, elapsed_ns: int = 20 * SECOND
) -> Any:
    """The refusal's code, or None."""
    refusal = check_receipt(last, signed, terms, SEPARATOR, elapsed_ns, NETWORK)
    return refusal and refusal.code


def priced(receipt: Receipt, terms: LeaseTerms = TERMS, **changes: Any) -> Receipt:
    """Changed, and with the cost that the changed usage comes to: a careful cheat."""
    usage = msgspec.structs.replace(receipt.usage, **{key: U128(value) for key, value in changes.items()})
    cost = min(cost_of(usage, terms.tariff), terms.cost_limit)
    return msgspec.structs.replace(receipt, usage=usage, cost=Amount(cost))


@st.composite
def _leases(draw: st.DrawFn) -> tuple[LeaseTerms, list[Counters], int]:
    resources = make_resources(vcpu_milli=draw(st.integers(1, 64_000)), gpus=draw(st.integers(0, 8)))
    terms = make_terms(
        resources=resources,
        tariff=draw(tariffs),
        cost_limit=Amount(draw(st.integers(0, 10**27))),
        duration_limit_ns=draw(st.integers(1, 100 * SECOND)),
    )
    return terms, draw(readings(resources.vcpu_milli)), draw(st.integers(0, 2 * 10**9))


@given(_leases(), st.integers(0, CLOCK_SLACK_NS))
@settings(max_examples=60)
def test_an_honest_receipt_always_passes(case: tuple[LeaseTerms, list[Counters], int], behind_ns: int) -> None:
    terms, counted, network_bytes = case
    last = make_first(lease_id_of(SEPARATOR, terms), NOW_NS)
    for place, counters in enumerate(counted):
        final = place == len(counted) - 1
        receipt = next_receipt(last, terms, counters, NOW_NS + counters.running_ns, final, network_bytes)
        # The submitter's clock may run a little behind: two readings are never taken at one instant.
        elapsed_ns = max(0, counters.running_ns - behind_ns)
        assert check_receipt(last, sign(receipt), terms, SEPARATOR, elapsed_ns, network_bytes) is None
        assert last.cost <= receipt.cost <= terms.cost_limit
        last = receipt


def test_overrun_is_never_billed() -> None:
    """A workload takes a moment to stop: that is the provider's own, and the last receipt passes."""
    late = Counters(TERMS.duration_limit_ns + 5 * SECOND, 10**15, 10**12, 10**12)
    receipt = next_receipt(LAST, TERMS, late, NOW_NS + 605 * SECOND, True, NETWORK)
    assert receipt.running_ns == TERMS.duration_limit_ns
    assert receipt.usage.vcpu_ns == usage_ceiling_of(TERMS.resources, TERMS.duration_limit_ns).vcpu_ns
    assert (receipt.usage.ingress_bytes, receipt.usage.egress_bytes) == (NETWORK, NETWORK)
    assert code_of(sign(receipt), elapsed_ns=605 * SECOND) is None


def test_the_charge_is_zero_while_nothing_runs() -> None:
    still = next_receipt(LAST, TERMS, SPENT, NOW_NS + 500 * SECOND, False, NETWORK)
    assert (still.cost, still.usage) == (LAST.cost, LAST.usage)
    assert exposure_of(still.cost, LAST.cost) == 0


def test_the_honest_next_receipt_passes() -> None:
    assert code_of(sign(NEXT)) is None


@pytest.mark.parametrize("name", USAGE_FIELDS)
def test_over_billing_any_line_is_refused(name: str) -> None:
    most = getattr(usage_ceiling_of(TERMS.resources, NEXT.running_ns, NETWORK), name)
    assert code_of(sign(priced(NEXT, TERMS, **{name: most}))) is None
    assert code_of(sign(priced(NEXT, TERMS, **{name: most + 1}))) == "receipt_usage_above_limit"
    assert code_of(sign(priced(NEXT, TERMS, **{name: U128_MAX}))) == "receipt_usage_above_limit"


@pytest.mark.parametrize("name", USAGE_FIELDS)
def test_usage_that_goes_backwards_is_refused(name: str) -> None:
    before = getattr(LAST.usage, name)
    assert before > 0
    assert code_of(sign(priced(NEXT, **{name: before}))) is None
    assert code_of(sign(priced(NEXT, **{name: before - 1}))) == "receipt_usage_fell"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("receipt_wrong_lease", {"lease_id": Hash32(bytes(32))}),
        ("receipt_number", {"number": LAST.number}),
        ("receipt_number", {"number": 0}),
        ("receipt_time_fell", {"at_ns": LAST.at_ns - 1}),
        ("receipt_time_fell", {"running_ns": LAST.running_ns - 1}),
        ("receipt_running_ns", {"running_ns": 20 * SECOND + CLOCK_SLACK_NS + 1}),
        ("receipt_running_ns", {"running_ns": U64_MAX}),
        ("receipt_cost_fell", {"cost": Amount(LAST.cost - 1)}),
        ("receipt_cost", {"cost": Amount(NEXT.cost + 1)}),
        ("receipt_cost", {"cost": Amount(NEXT.cost - 1)}),
        ("receipt_cost", {"cost": Amount(U128_MAX)}),
    ],
)
def test_each_single_lie_has_its_own_name(code: str, change: dict[str, Any]) -> None:
    assert code_of(sign(msgspec.structs.replace(NEXT, **change))) == code


@pytest.mark.parametrize(
    ("at_ns", "is_refused"),
    [
        (NOW_NS + 20 * SECOND, False),
        (NOW_NS + 100 * SECOND + CLOCK_SKEW_NS, False),
        (NOW_NS + 100 * SECOND + CLOCK_SKEW_NS + 1, True),
        (NOW_NS + NEXT.running_ns - CLOCK_SKEW_NS, False),
        (NOW_NS + NEXT.running_ns - CLOCK_SKEW_NS - 1, True),
        (0, True),
        (U64_MAX, True),
    ],
)
def test_a_receipt_is_dated_neither_ahead_nor_before_it_can_have_run(at_ns: int, is_refused: bool) -> None:
    receipt = msgspec.structs.replace(NEXT, at_ns=at_ns)
    refusal = check_receipt_time(receipt, known_at_ns=NOW_NS, now_ns=NOW_NS + 100 * SECOND)
    assert (refusal is not None) == is_refused
    assert refusal is None or refusal.code == "receipt_time"


def test_nothing_follows_a_final_receipt() -> None:
    assert code_of(sign(NEXT), last=msgspec.structs.replace(LAST, final=True)) == "receipt_after_final"


def test_time_beyond_the_lease_is_refused_however_long_the_submitter_waited() -> None:
    most_ns = TERMS.duration_limit_ns + CLOCK_SLACK_NS
    fits = msgspec.structs.replace(NEXT, running_ns=most_ns)
    assert code_of(sign(fits), elapsed_ns=U64_MAX) is None
    assert (
        code_of(sign(msgspec.structs.replace(NEXT, running_ns=most_ns + 1)), elapsed_ns=U64_MAX) == "receipt_running_ns"
    )


def test_a_receipt_from_before_the_lease_was_known_is_refused() -> None:
    assert code_of(sign(NEXT), elapsed_ns=0) == "receipt_running_ns"


def test_network_that_the_job_did_not_ask_for_is_refused() -> None:
    refusal = check_receipt(LAST, sign(NEXT), TERMS, SEPARATOR, 20 * SECOND)
    assert refusal is not None and refusal.code == "receipt_usage_above_limit" and "ingress" in refusal.detail


def test_the_cost_stops_at_the_leases_limit() -> None:
    terms = make_terms(cost_limit=Amount(LAST.cost + 5), tariff=TERMS.tariff, resources=TERMS.resources)
    last = msgspec.structs.replace(LAST, lease_id=lease_id_of(SEPARATOR, terms))
    capped = next_receipt(last, terms, GROWN, NOW_NS + 20 * SECOND, False, NETWORK)
    assert capped.cost == terms.cost_limit
    assert code_of(sign(capped), last, terms) is None
    whole = msgspec.structs.replace(capped, cost=cost_of(capped.usage, terms.tariff))
    assert code_of(sign(whole), last, terms) == "receipt_cost"


def _queue() -> tuple[SignedReceipt, ...]:
    receipts, last = [], LAST
    for place in range(1, 5):
        spent = Counters(10 * SECOND + place * SECOND, 4 * SECOND + place, 3_000_000 + place, 2_000_000 + place)
        last = next_receipt(last, TERMS, spent, LAST.at_ns + place * SECOND, place == 4, NETWORK)
        receipts.append(sign(last))
    return tuple(receipts)


def _queue_code(queue: tuple[SignedReceipt, ...]) -> Any:
    refusal = check_receipts(LAST, queue, TERMS, SEPARATOR, 20 * SECOND, NETWORK)
    return refusal and refusal.code


def test_receipts_that_waited_together_pass_together() -> None:
    queue = _queue()
    assert _queue_code(queue) is None
    assert [_queue_code(queue[:size]) for size in (1, 2, 3)] == [None, None, None]


def test_a_gap_in_the_numbers_is_no_fault() -> None:
    queue = _queue()
    assert _queue_code(queue[1:]) is None
    assert _queue_code((queue[0], queue[2])) is None
    assert code_of(sign(msgspec.structs.replace(NEXT, number=U64_MAX))) is None


def test_numbers_grow_at_least_as_the_clock_so_that_no_restored_backup_gives_one_twice() -> None:
    receipts = [next_receipt(LAST, TERMS, GROWN, LAST.at_ns, False, NETWORK, age) for age in (0, 5 * SECOND, U64_MAX)]
    assert [one.number for one in receipts] == [LAST.number + 1, 5_000, U64_MAX // 10**6]
    assert next_receipt(receipts[-1], TERMS, GROWN, LAST.at_ns, False, NETWORK).number == receipts[-1].number + 1


def test_a_queue_with_a_fall_or_a_lie_is_refused() -> None:
    queue = _queue()
    assert _queue_code((queue[1], queue[0])) == "receipt_number"
    assert _queue_code((queue[0], queue[0])) == "receipt_number"
    assert _queue_code((*queue, queue[3])) == "receipt_after_final"
    raised = msgspec.structs.replace(queue[1].receipt, cost=Amount(queue[1].receipt.cost + 1))
    assert _queue_code((queue[0], sign(raised), *queue[2:])) == "receipt_cost"
    assert _queue_code((*queue[:3], sign(queue[3].receipt, node=2))) == "receipt_signature"


def test_the_last_of_a_queue_must_be_signed_and_within_the_limits() -> None:
    queue = _queue()
    most = usage_ceiling_of(TERMS.resources, queue[3].receipt.running_ns, NETWORK).gpu_ns
    greedy = priced(queue[3].receipt, gpu_ns=most + 1)
    assert _queue_code((*queue[:3], sign(greedy))) == "receipt_usage_above_limit"


def _bad_signatures() -> dict[str, bytes]:
    good = sign(NEXT).signature
    return {
        "another node": sign(NEXT, node=2).signature,
        "another receipt": sign(LAST).signature,
        "high s": malleate(good),
        "v 0 or 1": good[:64] + bytes((good[64] - 27,)),
        "64 bytes": good[:64],
        "empty": b"",
    }


@pytest.mark.parametrize("name", _bad_signatures())
def test_a_wrong_signature_is_refused(name: str) -> None:
    assert code_of(SignedReceipt(NEXT, _bad_signatures()[name])) == "receipt_signature"


def test_another_chains_signature_is_refused() -> None:
    signature = sign_digest(make_key(1), receipt_digest_of(Hash32(bytes(32)), NEXT))
    assert code_of(SignedReceipt(NEXT, signature)) == "receipt_signature"


receipts = st.builds(
    Receipt,
    st.sampled_from([LEASE_ID, Hash32(bytes(32))]),
    st.integers(0, U64_MAX) | st.just(LAST.number + 1),
    st.integers(0, U64_MAX),
    st.integers(0, U64_MAX) | st.integers(10 * SECOND, 20 * SECOND),
    st.builds(Usage, *([st.integers(0, U128_MAX).map(U128)] * 6)),
    st.integers(0, U128_MAX).map(Amount),
    st.booleans(),
)


@given(receipts, st.binary(max_size=66))
def test_no_receipt_makes_the_check_raise_and_no_stranger_passes(receipt: Receipt, signature: bytes) -> None:
    terms = msgspec.structs.replace(TERMS, tariff=make_tariff(U128_MAX, ingress_gb=U128_MAX, gpu_hour=U128_MAX))
    assert check_receipt(LAST, SignedReceipt(receipt, signature), terms, SEPARATOR, U64_MAX, U64_MAX) is not None


@given(st.integers(0, U128_MAX).map(Amount), st.integers(0, U128_MAX).map(Amount))
def test_exposure_is_what_no_voucher_covers(cost: Amount, vouchered: Amount) -> None:
    assert exposure_of(cost, vouchered) == max(0, cost - vouchered)
