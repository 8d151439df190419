"""Late start: an honest provider never signs a receipt that proves a breach by a wait before the launch, whoever made it wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from metering.sla import NO_PROMISE, Promise, find_breach
from metering.units import NANOS_PER_SECOND
from metering.usage import Counters
from scheduler.job import Blob, InputFile
from tests.make.records import (
    JOB,
    LEASE_ID,
    SECOND,
    TERMS,
    Node,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
)
from tests.make.values import NOW_NS, make_job
from tests.xnode.node.test_provider_lease import make_funding, make_request
from tests.xnode.node.test_submitter_job import ended, job_of, make_quoting, quoted
from xnode.node import changes, effects
from xnode.node.late_start import (
    LATE_START,
    LAUNCH_NS,
    MAX_LATE,
    MOST_LEAD_NS,
    MOVE_BYTES,
    SOON_START,
    START_LEAST_NS,
    choose_lead_ns,
)
from xnode.node.records import ProviderLease
from xnode.node.submitter.job import LEASE_WAIT_NS

WHOLE = Promise(1_000_000, 1_000_000)
"""All of the time, or all of the cost back: what the least wait breaks."""


def make_promised(open_s: int = 20, **fields: Any) -> ProviderLease:
    """A lease under the whole promise, which counts so long from now."""
    terms = replace(
        TERMS,
        availability_ppm=WHOLE.availability_ppm,
        refund_ppm=WHOLE.refund_ppm,
        open_until_ns=NOW_NS + open_s * SECOND,
    )
    return make_provider_lease(terms=terms, funded=True, opening=None, **fields)


def make_promised_request(node: Node, promise: Promise = WHOLE, **changed: Any) -> changes.LeaseRequested:
    parts = {"availability_ppm": promise.availability_ppm, "refund_ppm": promise.refund_ppm}
    return make_request(node, **(parts | changed))


def is_asked(found: list[effects.Effect], kind: type) -> bool:
    return any(isinstance(one, kind) for one in found)


def exited(ran_ns: int) -> changes.WorkloadExited:
    return changes.WorkloadExited(LEASE_ID, Counters(ran_ns, ran_ns // 4), 0, False, False)


# ------------------------------------------------------------------------------------------------------------ provider


def test_a_promise_that_would_count_sooner_than_a_workload_can_run_is_not_signed() -> None:
    for left_ns, code in ((START_LEAST_NS - 1, SOON_START), (SECOND, SOON_START), (START_LEAST_NS, "")):
        node = make_provider(promise=WHOLE)
        found = node.tell(make_promised_request(node, open_until_ns=node.now_ns + left_ns))
        refused = [one.refusal for one in found if isinstance(one, effects.ReplyRefusal)]
        assert [one.code for one in refused] == [code] * bool(code)
        assert is_asked(found, effects.ReadFunding) is not bool(code)
        assert all("hint: sign terms with a later open_until" in one.detail for one in refused)


def test_a_provider_that_promises_nothing_signs_as_before() -> None:
    node = make_provider()
    assert is_asked(node.tell(make_request(node, open_until_ns=node.now_ns + SECOND)), effects.ReadFunding)


def test_image_and_inputs_are_waited_for_no_longer_than_the_promise_can_be_kept() -> None:
    for promise, wait_ns in ((WHOLE, 20 * SECOND), (NO_PROMISE, 1800 * SECOND)):
        node = make_provider(promise=promise)
        request = make_promised_request(node, promise)
        node.tell(request)
        (fetch,) = (
            one
            for one in node.tell(make_funding(request, request.terms.cost_limit))
            if isinstance(one, effects.FetchInputs)
        )
        assert fetch.deadline_ns == node.now_ns + wait_ns
        (start,) = node.tell(changes.InputsReady(fetch.lease_id), after_s=5)
        assert isinstance(start, effects.StartWorkload)
        assert start.deadline_ns == node.now_ns + (15 if promise.worth_ppm else 120) * SECOND


@pytest.mark.parametrize("inputs", [(), (InputFile("a", Blob(bytes(32), 200_000_000)),)])  # type: ignore[arg-type]
def test_what_arrives_too_late_is_not_started_and_both_sides_are_told_why(inputs: tuple[InputFile, ...]) -> None:
    lease = make_promised(status="preparing", job=make_job(inputs=inputs))
    fetch = effects.FetchInputs(LEASE_ID, TERMS.submitter, (), lease.job, "id", "lane", 0)
    for arrives in (True, False):
        node = make_provider(lease, make_provider_escrow())
        found = node.tell(changes.InputsReady(LEASE_ID), 21) if arrives else node.fail(fetch, after_s=20)
        after = node.get(lease)
        assert not is_asked(found, effects.StartWorkload)
        assert (after.end_reason, after.end_code) == ("input_failed" if inputs else "image_failed", LATE_START)
        assert (after.last.final, after.last.cost) == (True, 0) and find_breach(lease.terms, after.last) is None
        (news,) = (one for one in found if isinstance(one, effects.PushNews))
        assert news.report.end_code == LATE_START and news.report.left is not None
        assert "100 % cannot be kept; nothing is charged; hint: " in news.report.end_detail


def test_a_launch_that_outlasts_the_promise_ends_unpaid_also_when_the_container_came_up_after_all() -> None:
    lease = make_promised(status="launching")
    node = make_provider(lease, make_provider_escrow())
    found = node.tell(changes.WorkloadStarted(LEASE_ID, NOW_NS + 22 * SECOND), 23)
    assert is_asked(found, effects.StopWorkload) and not is_asked(found, effects.WatchWorkload)
    node.tell(exited(3 * SECOND), 2)
    after = node.get(lease)
    assert (after.end_reason, after.end_code, after.last.cost) == ("launch_failed", LATE_START, 0)


def test_a_start_in_time_counts_however_late_it_is_told() -> None:
    lease = make_promised(status="launching")
    node = make_provider(lease, make_provider_escrow())
    node.tell(changes.WorkloadStarted(LEASE_ID, NOW_NS + 19 * SECOND), 80)
    assert node.get(lease).status == "running"
    node.tell(exited(60 * SECOND))
    after = node.get(lease)
    assert after.last.cost > 0 and find_breach(lease.terms, after.last) is None


@given(
    open_s=st.integers(15, 60),
    fetched_s=st.integers(0, 90),
    launched_s=st.integers(0, 90),
    told_s=st.integers(0, 30),
    away_s=st.integers(0, 60),
    ran_s=st.integers(1, 120),
    stops=st.booleans(),
    kept=st.integers(0, 1),
)
def test_no_stall_of_either_side_before_the_launch_proves_a_breach(
    open_s: int, fetched_s: int, launched_s: int, told_s: int, away_s: int, ran_s: int, stops: bool, kept: int
) -> None:
    lease = make_promised(open_s, status="preparing")
    node = make_provider(lease, make_provider_escrow())
    found = node.tell(changes.InputsReady(LEASE_ID), fetched_s)
    if is_asked(found, effects.StartWorkload):
        started_ns = node.now_ns + launched_s * SECOND
        node.tell(changes.NodeResumed(away_s * SECOND), launched_s + away_s)
        if stops:
            node.tell(changes.LeaseStopRequested("stop", TERMS.submitter, LEASE_ID))
        if kept:
            node.tell(changes.WorkloadStarted(LEASE_ID, started_ns), told_s)
        else:
            start = effects.StartWorkload(LEASE_ID, JOB, SECOND, "id", "lane", 0)
            node.fail(start, after_s=told_s)
        ended_ns = max(node.now_ns, started_ns + ran_s * SECOND)
        node.tell(exited(ended_ns - started_ns), (ended_ns - node.now_ns) / NANOS_PER_SECOND)
    after = node.get(lease)
    assert after.last.final and find_breach(lease.terms, after.last) is None
    assert after.last.cost == 0 or (
        after.started_at_ns is not None and after.started_at_ns <= lease.terms.open_until_ns
    )


# ----------------------------------------------------------------------------------------------------------- submitter


def test_the_larger_what_is_to_be_fetched_the_later_a_promise_counts() -> None:
    inputs = (InputFile("a", Blob(bytes(32), 20 * MOVE_BYTES)),)  # type: ignore[arg-type]
    job = make_job(inputs=inputs, image=replace(make_job().image, size_bytes=10 * MOVE_BYTES))
    base_ns = LEASE_WAIT_NS + LAUNCH_NS
    assert choose_lead_ns(job, NO_PROMISE, False, 3, LEASE_WAIT_NS) == LEASE_WAIT_NS, (
        "as before where nothing is promised"
    )
    assert choose_lead_ns(job, WHOLE, False, 0, LEASE_WAIT_NS) == base_ns + 30 * SECOND
    assert choose_lead_ns(job, WHOLE, True, 0, LEASE_WAIT_NS) == base_ns + 20 * SECOND, "the image is there already"
    assert choose_lead_ns(job, WHOLE, True, 2, LEASE_WAIT_NS) == 4 * (base_ns + 20 * SECOND)
    huge = make_job(image=replace(make_job().image, size_bytes=2**63))
    assert choose_lead_ns(huge, WHOLE, False, MAX_LATE, LEASE_WAIT_NS) == MOST_LEAD_NS, (
        "as long as a provider would wait"
    )


def test_the_terms_of_a_promise_leave_the_time_that_the_provider_asks_for() -> None:
    node = make_quoting(1)
    (request,) = node.tell(quoted(1, promise=WHOLE))
    assert isinstance(request, effects.RequestLease)
    assert request.terms.open_until_ns - node.now_ns >= START_LEAST_NS + LAUNCH_NS


@pytest.mark.parametrize("reason", ["input_failed", "image_failed", "launch_failed"])
def test_a_job_that_came_too_late_is_tried_again_by_the_same_provider_too_with_more_time(reason: str) -> None:
    job = make_submitter_job()
    node = make_submitter(job, make_submitter_lease(), make_submitter_escrow())
    (search,) = node.tell(ended(reason, LATE_START))
    assert isinstance(search, effects.SearchOffers) and search.tried == ()
    assert job_of(node).late == 1 and job_of(node).status == "searching"


def test_a_provider_that_is_late_again_and_again_is_passed_over() -> None:
    node = make_submitter(make_submitter_job(late=MAX_LATE), make_submitter_lease(), make_submitter_escrow())
    (search,) = node.tell(ended("input_failed", LATE_START))
    assert isinstance(search, effects.SearchOffers) and search.tried == (TERMS.node,)


def test_a_request_refused_for_too_little_time_is_made_anew_with_more() -> None:
    node: Node = make_quoting(1)
    (request,) = node.tell(quoted(1, promise=WHOLE))
    found = node.fail(request, SOON_START, "availability would count in 3.0 s")
    assert is_asked(found, effects.SearchOffers) and (job_of(node).late, job_of(node).tried) == (1, ())
