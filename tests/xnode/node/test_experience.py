"""What a lease says of the node that served it."""

from __future__ import annotations

import typing

import pytest
from msgspec.structs import replace

from metering.receipt import make_first
from metering.refusal import Refusal
from metering.units import NANOS_PER_HOUR, ZERO_HASH, Hash32
from scheduler.reputation import NO_REPUTATION, next_reputation
from tests.make.records import make_submitter_job
from tests.make.values import NOW_NS, address_of, make_terms
from xnode.node.experience import BROKEN, KEPT, LOAD, fold_outcomes, has_launched, load_of, outcome_of
from xnode.node.lease import EndReason, LeaseStatus
from xnode.node.records import Asked, SubmitterLease
from xnode.node.state import make_state

OUR_OWN = {"unpaid", "escrow_unconfirmed", "thaw_started", "image_failed", "input_failed"}
"""Ends that may be our own fault: a payment, an image or an input that was not there."""


def make_lease(reason: EndReason | None, status: LeaseStatus = "settled", **changes: object) -> SubmitterLease:
    first = make_first(Hash32(b"\1" * 32), NOW_NS)
    lease = SubmitterLease(
        Hash32(b"\1" * 32), ZERO_HASH, make_terms(), (), None, NOW_NS, first, ZERO_HASH, status, NOW_NS, reason
    )
    return replace(lease, **changes)


@pytest.mark.parametrize("reason", typing.get_args(EndReason))
def test_every_end_speaks_for_the_node_against_it_or_says_nothing_of_it(reason: EndReason) -> None:
    expected = {True} if reason in KEPT else {False} if reason in BROKEN else {None}
    assert {outcome_of(make_lease(reason))} == expected
    assert (reason in KEPT) + (reason in BROKEN) + (reason in OUR_OWN) == 1


def test_nothing_is_said_before_the_end() -> None:
    assert outcome_of(make_lease("completed", "running")) is None
    assert outcome_of(make_lease(None, "settled")) is None


def test_a_node_that_quoted_and_did_not_answer_to_the_lease_did_not_do_what_it_quoted() -> None:
    for code, outcome in (("deadline", False), ("capacity", None), ("provider_chain", None)):
        assert outcome_of(make_lease(None, "refused", refusal=Refusal(code, "why"))) is outcome


def test_a_lease_is_a_load_and_a_quote_asked_of_three_a_third_of_one() -> None:
    asked = tuple(Asked(address_of(number), (), 0) for number in (1, 2, 3))
    refused = Asked(address_of(4), (), 0, refusal=Refusal("capacity", "full"))
    job = make_submitter_job(status="quoting", asked=(*asked, refused), lease_id=None)
    load = load_of(make_state((job, make_lease(None, "running"))))
    assert load == {address_of(1): LOAD + LOAD // 3, address_of(2): LOAD // 3, address_of(3): LOAD // 3}


def test_outcomes_are_folded_by_node_oldest_first() -> None:
    late, other = NOW_NS + NANOS_PER_HOUR, make_terms(node=address_of(9))
    leases = [
        make_lease("provider_lost", heard_at_ns=late),
        make_lease("completed"),
        make_lease("unpaid"),
        make_lease("completed", terms=other),
    ]
    folded = fold_outcomes({}, leases)
    good = next_reputation(NO_REPUTATION, True, NOW_NS)
    assert folded == {address_of(9): good, address_of(1): next_reputation(good, False, late)}


def test_a_workload_that_ran_has_left_its_image_there() -> None:
    assert not has_launched(make_lease(None, "preparing"))
    assert has_launched(make_lease(None, "running"))
    assert has_launched(make_lease("exit_code", "settled", exit_code=0))
    assert not has_launched(make_lease("image_failed", "settled"))
