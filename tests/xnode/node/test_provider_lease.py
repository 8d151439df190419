"""The provider's side of a lease, one step at a time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.codec import decode, encode
from metering.eip712 import typed_digest
from metering.signature import sign_digest
from metering.terms import LeaseTerms, escrow_id_of, lease_id_of
from metering.units import Amount
from metering.usage import Counters
from scheduler.job import Blob
from scheduler.outputs import NOTHING, OutputSummary
from tests.make.nodes import PAYER
from tests.make.records import (
    ESCROW,
    ESCROW_ID,
    LEASE_ID,
    OPENING,
    SECOND,
    TERMS,
    Node,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_receipt,
    make_running_lease,
    make_seen,
)
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_job, make_key
from xnode.node import changes, effects
from xnode.node.opening import OPENING_SLACK_NS
from xnode.node.records import ProviderLease

SLOT = effects.Slot("id", "lane", 0)
SUBMITTER, STRANGER = address_of(0), address_of(77)
LEFT = OutputSummary(Blob(bytes(32), 60), 1, 100)  # type: ignore[arg-type]
EXITED = changes.WorkloadExited(LEASE_ID, Counters(30 * SECOND, 10 * SECOND), 0, False, False)


def kinds(found: list[effects.Effect]) -> list[str]:
    return [type(one).__name__ for one in found]


# ------------------------------------------------------------------------------------------------------------- request


def make_request(node: Node, /, **changed: Any) -> changes.LeaseRequested:
    """A request made of a fresh quote of the node. changed: fields of the terms."""
    (answer,) = (
        one
        for one in node.tell(changes.QuoteRequested("ask", SUBMITTER, make_job()))
        if isinstance(one, effects.ReplyQuote)
    )
    quote = answer.quote
    body = {name: getattr(quote.body, name) for name in quote.body.__struct_fields__ if hasattr(TERMS, name)}
    (held,) = (one for one in node.state.records() if type(one).__name__ == "HeldQuote")
    escrow = replace(ESCROW, provider=quote.provider, thaw=quote.body.thaw)
    terms = LeaseTerms(
        **body, quote_hash=held.key, provider=quote.provider, node=quote.node,  # type: ignore[arg-type]
        escrow_id=escrow_id_of(SEPARATOR, escrow), lease_number=0, open_until_ns=node.now_ns + 20 * SECOND,
    )  # fmt: skip
    terms = replace(terms, **changed)
    signature = sign_digest(make_key(0), lease_id_of(SEPARATOR, terms))
    opening = replace(OPENING, escrow_id=terms.escrow_id, amount=terms.cost_limit)
    signed = sign_digest(make_key(0), typed_digest(SEPARATOR, "Opening", opening))
    return changes.LeaseRequested("lease", SUBMITTER, ("/memory/0",), terms, signature, escrow, opening, signed)


def make_funding(request: changes.LeaseRequested, free: int) -> changes.FundingRead:
    lease_id = lease_id_of(SEPARATOR, request.terms)
    return changes.FundingRead(lease_id, Amount(free), Amount(free), Amount(0), Amount(0), 0)


def test_a_lease_is_countersigned_only_after_the_chain_was_asked() -> None:
    node = make_provider()
    request = make_request(node)
    assert kinds(node.tell(request)) == ["ReadFunding"]
    reply, opening, fetch = node.tell(make_funding(request, request.terms.cost_limit))
    assert reply == effects.ReplyLease("lease", request.terms)
    assert isinstance(opening, effects.OpenEscrow) and isinstance(fetch, effects.FetchInputs)
    assert opening.lane == opening.id, "openings into one escrow do not wait for each other"
    assert opening.deadline_ns == OPENING.deadline * SECOND + OPENING_SLACK_NS


def test_an_opening_of_the_last_second_there_is_can_be_kept() -> None:
    node = make_provider()
    request = make_request(node)
    assert request.opening is not None
    latest_s = (2**63 - 1) // SECOND
    opening = replace(request.opening, deadline=latest_s)
    signed = sign_digest(make_key(0), typed_digest(SEPARATOR, "Opening", opening))
    node.tell(replace(request, opening=opening, opening_signature=signed))
    found = node.tell(changes.FundingRead(lease_id_of(SEPARATOR, request.terms), 10**30, 10**30, 0, 0, 0))  # type: ignore[arg-type]
    (effect,) = (one for one in found if isinstance(one, effects.OpenEscrow))
    assert decode(encode(effect), effects.OpenEscrow) == effect


def test_an_opening_does_not_overtake_a_claim_whose_release_would_take_what_it_brings() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(request)
    node.state = node.state.put(
        make_provider_escrow(escrow_id=request.terms.escrow_id, escrow=request.escrow, lines=(), claiming=True)
    )
    _, opening, _ = node.tell(make_funding(request, request.terms.cost_limit))
    assert isinstance(opening, effects.OpenEscrow)
    assert opening.lane == f"chain:{request.terms.escrow_id.hex()}"


def test_a_provider_whose_chain_node_is_away_refuses_by_a_name_that_sends_the_job_elsewhere() -> None:
    node = make_provider()
    request = make_request(node)
    (read,) = node.tell(request)
    reply, *_ = node.fail(read, "deadline", "chain node http://a cannot be reached")
    assert isinstance(reply, effects.ReplyRefusal)
    # Where our chain node is, and what it said, is nobody else's business.
    assert reply.refusal.code == "provider_chain" and "http" not in reply.refusal.detail


def test_a_payer_that_cannot_fund_the_lease_is_refused_by_the_missing_sum() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(request)
    (reply, *_) = node.tell(make_funding(request, request.terms.cost_limit - 7))
    assert isinstance(reply, effects.ReplyRefusal)
    assert reply.refusal.code == "escrow_too_small" and " 7 base units" in reply.refusal.detail


def test_the_chain_answering_after_the_terms_have_expired_comes_too_late() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(request)
    (reply, *_) = node.tell(make_funding(request, request.terms.cost_limit), after_s=21)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "terms_expired"


def test_a_lease_that_is_stopped_before_the_chain_has_answered_is_never_signed() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(request)
    lease_id = lease_id_of(SEPARATOR, request.terms)
    found = kinds(node.tell(changes.LeaseStopRequested("stop", SUBMITTER, lease_id)))
    assert {"ReplyRefusal", "ReplyReport"} <= set(found)
    assert node.tell(make_funding(request, request.terms.cost_limit)) == []
    (again,) = node.tell(request)
    assert isinstance(again, effects.ReplyRefusal) and again.refusal.code == "stopped_by_submitter"


def test_the_same_request_gets_the_same_answer_again() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(request)
    node.tell(make_funding(request, request.terms.cost_limit))
    again = replace(request, reply_to="again")
    assert node.tell(again) == [effects.ReplyLease("again", request.terms)]
    (reply,) = node.tell(replace(again, caller=STRANGER))
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "lease_wrong_submitter"


@pytest.mark.parametrize(
    "name, value",
    [("cost_limit", Amount(1)), ("interval_ns", 1), ("duration_limit_ns", 1), ("node", STRANGER), ("refund_ppm", 1)],
)
def test_terms_that_differ_from_the_quote_are_refused_by_name(name: str, value: Any) -> None:
    node = make_provider()
    (reply,) = node.tell(make_request(node, **{name: value}))
    assert isinstance(reply, effects.ReplyRefusal)
    assert reply.refusal.code == "terms_differ" and reply.refusal.detail.startswith(name)


# ------------------------------------------------------------------------------------------------- effects that failed


READ = effects.ReadFunding(LEASE_ID, ESCROW_ID, ESCROW, *SLOT)
OPEN = effects.OpenEscrow(LEASE_ID, ESCROW, OPENING, bytes(65), *SLOT)
FETCH = effects.FetchInputs(LEASE_ID, SUBMITTER, (), make_job(), *SLOT)
START = effects.StartWorkload(LEASE_ID, make_job(), SECOND, *SLOT)
PUSH = effects.PushReceipts(LEASE_ID, SUBMITTER, (), (), *SLOT)
COLLECT = effects.CollectOutputs(LEASE_ID, *SLOT)


@pytest.mark.parametrize(
    "lease, effect, code, status, reason",
    [
        (make_provider_lease(), READ, "deadline", "refused", None),
        (make_provider_lease(status="preparing"), READ, "deadline", "preparing", None),
        (make_provider_lease(status="preparing"), OPEN, "opening_reverted", "ending", "escrow_unconfirmed"),
        (make_running_lease(funded=False), OPEN, "deadline", "stopping", None),
        (make_running_lease(), OPEN, "deadline", "running", None),
        (make_provider_lease(status="preparing"), FETCH, "image", "ending", "image_failed"),
        (make_provider_lease(status="preparing"), FETCH, "deadline", "ending", "input_failed"),
        (make_running_lease(), FETCH, "deadline", "running", None),
        (make_provider_lease(status="launching"), START, "launch", "ending", "launch_failed"),
        (make_running_lease(), PUSH, "deadline", "running", None),
        (make_running_lease(), PUSH, "receipt_cost", "stopping", None),
        (make_running_lease(status="ending"), PUSH, "receipt_cost", "settling", None),
        (make_running_lease(status="settled"), PUSH, "receipt_cost", "settled", None),
        (make_running_lease(status="ending"), COLLECT, "failed", "ending", None),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "status", type(value).__name__),
)  # fmt: skip
def test_what_follows_when_an_effect_of_a_lease_fails(
    lease: ProviderLease, effect: effects.Effect, code: str, status: str, reason: str | None
) -> None:
    node = make_provider(lease, make_provider_escrow())
    node.fail(effect, code)
    after = node.get(lease)
    assert (after.status, after.end_reason) == (status, reason)


def test_a_failure_for_a_lease_that_is_gone_changes_nothing() -> None:
    node = make_provider()
    for effect in (READ, OPEN, FETCH, START, PUSH, COLLECT, effects.StopWorkload(LEASE_ID, *SLOT)):
        before = node.state
        assert node.fail(effect, "failed") == [] and node.state is before


def test_a_receipt_refused_after_the_submitters_stop_is_why_it_stopped() -> None:
    lease = make_running_lease(status="stopping", stop_reason="stopped_by_submitter")
    node = make_provider(lease, make_provider_escrow())
    node.fail(PUSH, "receipt_cost", "cost 5 is not the 4 due")
    after = node.get(lease)
    assert (after.stop_reason, after.end_detail) == ("receipt_refused", "receipt_cost: cost 5 is not the 4 due")


def test_a_workload_that_cannot_be_stopped_is_stopped_again() -> None:
    lease = make_running_lease(status="stopping")
    node = make_provider(lease, make_provider_escrow())
    node.fail(effects.StopWorkload(LEASE_ID, *SLOT), "failed")
    assert kinds(node.wake(lease, after_s=9)) == []
    assert kinds(node.wake(lease, after_s=1)) == ["StopWorkload"]


def test_outputs_that_cannot_be_collected_are_all_left_out_and_empty_the_host() -> None:
    lease = make_running_lease(status="ending")
    node = make_provider(lease, make_provider_escrow())
    assert kinds(node.fail(COLLECT, "failed", "disk error")) == ["RemoveWorkload", "PushNews"]
    left = node.get(lease).left
    assert left is not None and (left.entries, left.left_out) == (0, 1) and "disk error" in left.first[0].reason
    assert node.get(lease).end_detail == "outputs: disk error"
    assert node.fail(COLLECT, "failed") == [], "a second failure says nothing new"


# ------------------------------------------------------------------------------------------------------------- running


def test_each_interval_reads_the_usage() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    assert kinds(node.wake(lease, after_s=10)) == ["ReadUsage"]
    assert node.get(lease).wake_at_ns == NOW_NS + 20 * SECOND


def test_a_late_look_at_the_usage_does_not_move_those_after_it() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    node.wake(lease, after_s=13)
    assert node.get(lease).wake_at_ns == NOW_NS + 20 * SECOND


def test_where_one_interval_may_go_unpaid_half_of_it_is_left_to_pay() -> None:
    lease = make_running_lease(terms=replace(TERMS, exposure_intervals=1))
    node = make_provider(lease, make_provider_escrow())
    node.wake(lease, after_s=5)
    node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND)))
    node.wake(node.get(lease), after_s=4.9)
    assert node.get(lease).status == "running"
    node.wake(node.get(lease), after_s=0.1)
    assert node.get(lease).status == "stopping"


def test_unpaid_work_ends_at_the_agreed_number_of_intervals() -> None:
    # Two intervals of ten seconds in these terms and settings.
    for after_s, status in ((9.9, "running"), (10, "stopping")):
        lease = make_running_lease()
        node = make_provider(lease, make_provider_escrow())
        node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, SECOND)), after_s=10)
        node.wake(node.get(lease), after_s)
        assert node.get(lease).status == status


def test_work_that_no_receipt_has_stated_yet_is_not_unpaid() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    assert kinds(node.wake(lease, after_s=60)) == ["ReadUsage"], "our own look at the usage came late"
    assert node.get(lease).status == "running"


def test_a_receipt_that_came_late_has_its_time_to_be_paid() -> None:
    for after_s, status in ((9.9, "running"), (10, "stopping")):
        lease = make_running_lease()
        node = make_provider(lease, make_provider_escrow())
        node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, SECOND)), after_s=60)
        node.wake(node.get(lease), after_s)
        assert node.get(lease).status == status


@pytest.mark.parametrize("away_s, unpaid_s", [(3, 13), (60, 80)])
def test_the_time_we_were_away_ourselves_is_not_unpaid_time(away_s: int, unpaid_s: int) -> None:
    # A short absence shifts the limit of twenty seconds; after a long one it begins anew.
    for after_s, status in ((unpaid_s - away_s - 0.1, "running"), (0.1, "stopping")):
        if status == "running":
            lease = make_running_lease()
            node = make_provider(lease, make_provider_escrow())
            node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, SECOND)), after_s=10)
            node.tell(changes.NodeResumed(away_s * SECOND), after_s=away_s)
        node.wake(node.get(lease), after_s)
        assert node.get(lease).status == status


def test_an_opening_has_the_time_that_the_chains_blocks_take() -> None:
    for after_s, status in ((79.9, "running"), (80, "stopping")):
        lease = make_running_lease(funded=False)
        node = make_provider(lease, make_provider_escrow(), opening_ns=80 * SECOND)
        node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, SECOND)), after_s=10)
        node.wake(node.get(lease), after_s - 10)
        assert node.get(lease).status == status


def test_a_clock_set_back_while_we_were_down_delays_no_receipt() -> None:
    lease = make_running_lease(wake_at_ns=NOW_NS + 3600 * SECOND)
    node = make_provider(lease, make_provider_escrow())
    node.tell(changes.NodeResumed(-3600 * SECOND))
    wake_at_ns = node.get(lease).wake_at_ns
    assert wake_at_ns is not None and wake_at_ns - NOW_NS <= SECOND


def test_a_receipt_never_states_more_running_time_than_passed_since_the_one_before() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, SECOND)), after_s=10)
    node.tell(changes.UsageRead(LEASE_ID, Counters(3610 * SECOND, SECOND)), after_s=10)
    assert node.get(lease).last.running_ns == 20 * SECOND, "the engine's clock was set forward by an hour"
    node.tell(changes.WorkloadExited(LEASE_ID, Counters(3615 * SECOND, SECOND), 0, False, False), after_s=5)
    assert (node.get(lease).last.running_ns, node.get(lease).last.final) == (25 * SECOND, True)


def test_usage_becomes_a_receipt_that_is_pushed_with_those_before_it() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND)), after_s=5)
    (push,) = node.tell(changes.UsageRead(LEASE_ID, Counters(10 * SECOND, 2 * SECOND)), after_s=5)
    assert isinstance(push, effects.PushReceipts)
    assert [one.running_ns for one in push.receipts] == [5 * SECOND, 10 * SECOND]
    assert push.receipts[1].cost > push.receipts[0].cost > 0


def test_a_receipt_is_dated_when_its_counters_were_read_and_not_when_a_busy_host_came_to_it() -> None:
    node = make_provider(make_running_lease(), make_provider_escrow())
    read_at_ns = node.now_ns + 5 * SECOND
    node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND), read_at_ns), after_s=9)
    last = node.get(make_running_lease()).last
    assert (last.at_ns, last.running_ns) == (read_at_ns, 5 * SECOND)


def test_of_a_workload_that_ended_unseen_the_final_receipt_tells_and_calls_nothing_an_outage() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    assert lease.started_at_ns is not None
    ended_at_ns = lease.started_at_ns + 30 * SECOND
    absent_s = 60 + (ended_at_ns - node.now_ns) // SECOND
    over = changes.UsageRead(LEASE_ID, EXITED.counters, node.now_ns + absent_s * SECOND, is_over=True)
    assert node.tell(over, after_s=absent_s) == []
    node.tell(EXITED)
    last = node.get(lease).last
    assert (last.final, last.running_ns, last.at_ns) == (True, 30 * SECOND, ended_at_ns)


@pytest.mark.parametrize("limit, reason", [("cost_limit", "cost_limit"), ("exposure_limit", "unpaid")])
def test_a_lease_stops_at_its_limits_of_cost(limit: str, reason: str) -> None:
    lease = make_running_lease(terms=replace(TERMS, **{limit: Amount(1)}))
    node = make_provider(lease, make_provider_escrow())
    for _ in range(2):
        node.tell(changes.UsageRead(LEASE_ID, Counters(5 * SECOND, SECOND)), after_s=10)
    assert (node.get(lease).status, node.get(lease).stop_reason) == ("stopping", reason)


@pytest.mark.parametrize("ask", [changes.LeaseAsked, changes.LeaseStopRequested])
def test_only_the_leases_submitter_is_answered(ask: type[changes.LeaseAsked | changes.LeaseStopRequested]) -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow())
    (refused,) = node.tell(ask("r", STRANGER, LEASE_ID))
    assert isinstance(refused, effects.ReplyRefusal) and refused.refusal.code == "lease_unknown"
    assert node.get(lease) == lease
    *stops, answered = node.tell(ask("r", SUBMITTER, LEASE_ID))
    assert isinstance(answered, effects.ReplyReport) and answered.report.lease_id == LEASE_ID
    assert kinds(stops) == (["StopWorkload"] if ask is changes.LeaseStopRequested else [])


# -------------------------------------------------------------------------------------------------------------- ending


@pytest.mark.parametrize(
    "fields, stop_reason, reason",
    [
        ({}, None, "completed"),
        ({"exit_code": 3}, None, "exit_code"),
        ({"out_of_memory": True, "exit_code": 137}, "unpaid", "out_of_memory"),
        ({"timed_out": True, "exit_code": None}, None, "time_limit"),
        ({"exit_code": 137}, "unpaid", "unpaid"),
        ({"vanished": True, "exit_code": None}, None, "workload_vanished"),
        ({"exit_code": 1, "fault": "exec `/x`: Exec format error"}, None, "launch_failed"),
    ],
)
def test_the_end_has_its_reason(fields: dict[str, Any], stop_reason: Any, reason: str) -> None:
    lease = make_running_lease(stop_reason=stop_reason, status="stopping" if stop_reason else "running")
    node = make_provider(lease, make_provider_escrow())
    found = node.tell(replace(EXITED, **fields), after_s=30)
    after = node.get(lease)
    assert (after.status, after.end_reason, after.last.final) == ("ending", reason, True)
    if reason == "out_of_memory":
        assert after.end_detail == "the workload used more than its 512 MiB of memory"
    # The final receipt comes first: what was served is stated before anything else can go wrong.
    assert kinds(found)[:3] == ["PushReceipts", "CollectOutputs", "PushNews"]


@pytest.mark.parametrize("exit_code, reason", [(0, "completed"), (3, "exit_code")])
def test_a_limit_of_the_network_that_was_reached_is_told_with_the_end(exit_code: int, reason: str) -> None:
    lease = make_running_lease(job=make_job(network=True, network_bytes=1_000))
    node = make_provider(lease, make_provider_escrow())
    found = node.tell(replace(EXITED, exit_code=exit_code, network_spent=True), after_s=30)
    (news,) = (one for one in found if isinstance(one, effects.PushNews))
    assert news.report.end_reason == reason
    assert news.report.end_detail.endswith("all of its 1000 bytes of network, and what came after was dropped")


def test_a_vanished_workload_is_charged_no_more_than_the_last_receipt_said() -> None:
    last = make_receipt(10)
    lease = make_running_lease(last=last)
    node = make_provider(lease, make_provider_escrow())
    node.tell(replace(EXITED, vanished=True, counters=Counters(0, 0)), after_s=30)
    assert node.get(lease).last.cost == last.cost
    assert node.get(lease).last.at_ns == node.now_ns, "a promise of availability counts until its end was noticed"


def test_the_host_is_emptied_once_the_outputs_are_safe() -> None:
    lease = make_running_lease(status="ending")
    node = make_provider(lease, make_provider_escrow())
    collected = changes.OutputsCollected(LEASE_ID, left=LEFT)
    assert kinds(node.tell(collected)) == ["RemoveWorkload", "PushNews"]
    assert node.tell(collected) == [], "the same news twice changes nothing"
    node.tell(changes.WorkloadRemoved(LEASE_ID))
    assert (node.get(lease).left, node.get(lease).removed) == (LEFT, True)


# ---------------------------------------------------------------------------------------------------- chain and restart


def test_a_thaw_stops_the_work_and_claims_what_is_vouchered() -> None:
    lease, escrow = make_running_lease(), make_provider_escrow()
    node = make_provider(lease, escrow)
    assert kinds(node.tell(make_seen(thaw_end=NOW_NS // SECOND + 60))) == ["StopWorkload", "Claim"]
    assert node.get(lease).stop_reason == "thaw_started"
    assert node.tell(make_seen(thaw_end=NOW_NS // SECOND + 60)) == [], "the thaw is known"


def test_after_a_restart_unpaid_time_begins_anew() -> None:
    lease = make_running_lease()
    node = make_provider(lease, make_provider_escrow(), interval_ns=SECOND)
    settings = node.state.settings
    started = changes.NodeStarted(settings.node, SEPARATOR, "test", (), settings.provider, None)
    node.tell(started, after_s=600)
    assert kinds(node.wake(lease)) == ["ReadUsage"]
    assert node.get(lease).status == "running"


def test_a_settled_lease_is_archived_when_its_time_has_come() -> None:
    lease = make_running_lease(status="settled", removed=True)
    node = make_provider(lease)
    node.wake(lease, after_s=5)
    assert node.state.get(ProviderLease, LEASE_ID) is None


@pytest.mark.parametrize(("left", "kinds_of"), [(None, []), (NOTHING, ["RemoveWorkload"])])
def test_a_settled_lease_whose_workload_is_on_the_host_stays_and_is_taken_off(
    left: OutputSummary | None, kinds_of: list[str]
) -> None:
    lease = make_running_lease(status="settled", left=left)
    node = make_provider(lease)
    assert kinds(node.wake(lease, after_s=86_400)) == kinds_of
    assert node.get(lease).wake_at_ns is not None, "it is looked at again"


def test_the_payer_of_the_fixtures_is_not_their_signer() -> None:
    # Else an opener's cap would never be looked at in these tests.
    assert ESCROW.payer == address_of(PAYER) != ESCROW.signer


@pytest.mark.parametrize("code", ["deadline", "image_room", "failed"])
def test_what_a_last_try_met_before_its_deadline_is_not_told(code: str) -> None:
    """A fault's text is in words for others when it is final; what may pass is the host's own affair."""
    node = make_provider()
    lease = make_provider_lease(status="preparing")
    node.state = node.state.put(lease)
    told = "this provider's disk has no room for the image"
    inside = told if code != "deadline" else "podman: /var/lib/xnode: I/O error"
    emitted = node.fail(replace(FETCH, lease_id=lease.lease_id), code, inside)
    (news,) = (one for one in emitted if isinstance(one, effects.PushNews))
    assert ("/var" in news.report.end_detail, told in news.report.end_detail) == (False, code != "deadline")
    assert news.report.end_reason == ("image_failed" if code == "image_room" else "input_failed")
