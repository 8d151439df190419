"""A job before its lease, one step at a time: search, quotes, the choice, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.signature import sign_digest
from metering.units import Amount
from scheduler.feasible import cost_limit_of
from scheduler.job import job_hash_of
from scheduler.quote import SignedQuote
from scheduler.score import Score
from tests.make.records import (
    JOB,
    LEASE_ID,
    SECOND,
    Node,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
)
from tests.make.values import NOW_NS, TOKEN, address_of, make_key, make_offer_body, make_signed_offer, make_signed_quote
from xnode.node import changes, effects
from xnode.node.blame import FINAL, JOBS_OWN, NEVER_RAN, UNFUNDED
from xnode.node.records import Candidate, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.submitter.job import ANSWER_NS, HASTY_WAIT_NS, LEASE_WAIT_NS
from xnode.node.submitter.seek import CHAIN_PATIENCE_NS, FIRST_LOOK_NS, LOOK_AGAIN_NS, MAX_ROUNDS, MAX_TRIES

JOB_HASH = job_hash_of(JOB)
SUBMITTED = changes.JobSubmitted("submit", JOB)
FUNDS = changes.FundsRead(JOB_HASH, Amount(100 * TOKEN), Amount(100 * TOKEN))


def kinds(found: list[effects.Effect]) -> list[str]:
    return [type(one).__name__ for one in found]


def ranked(*nodes: int) -> changes.OffersRanked:
    candidates = tuple(Candidate(make_signed_offer(node), 0, Score(0), "") for node in nodes)
    return changes.OffersRanked(JOB_HASH, len(nodes), candidates, ())


def quoted(node: int, **body: Any) -> changes.QuoteReceived:
    signed: SignedQuote = make_signed_quote(JOB, node, **body)
    return changes.QuoteReceived(JOB_HASH, address_of(node), signed)


def make_quoting(*nodes: int, funds: changes.FundsRead = FUNDS) -> Node:
    """A submitter whose job waits for quotes of these nodes, and knows its funds."""
    node = make_submitter()
    node.tell(SUBMITTED)
    node.tell(ranked(*nodes))
    node.tell(funds)
    return node


def job_of(node: Node) -> SubmitterJob:
    return node.get(make_submitter_job())


def test_submitting_a_job_twice_is_submitting_it_once() -> None:
    node = make_submitter()
    search, reply = node.tell(SUBMITTED)
    assert isinstance(search, effects.SearchOffers) and search.tried == ()
    assert reply == effects.ReplyOk("submit", JOB_HASH)
    assert node.tell(SUBMITTED) == [reply]


def test_a_node_without_a_payer_takes_no_job() -> None:
    (reply,) = Node(number=0).tell(SUBMITTED)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "not_a_submitter"


def test_the_best_few_are_asked_and_the_funds_read() -> None:
    node = make_submitter(quotes=2)
    node.tell(SUBMITTED)
    funds, *asked = node.tell(ranked(1, 2, 3))
    assert isinstance(funds, effects.ReadFunds)
    assert [one.node for one in asked if isinstance(one, effects.RequestQuote)] == [address_of(1), address_of(2)]


def test_a_job_that_fits_no_offer_fails_with_every_reason() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    shortfalls = (("offer_vcpus", 3, "4 vCPU free"), ("offer_region", 1, "us-east"))
    node.tell(changes.OffersRanked(JOB_HASH, 4, (), shortfalls))
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "no_match")
    assert "offer_vcpus (3): 4 vCPU free" in job.end_detail and "offer_region (1)" in job.end_detail


def ask_of(node: int) -> effects.RequestQuote:
    return effects.RequestQuote(
        job_hash=JOB_HASH, job=JOB, node=address_of(node), multiaddrs=(), id="id", lane="lane", deadline_ns=0
    )


def test_the_last_answer_makes_the_choice() -> None:
    node = make_quoting(1, 2)
    assert node.tell(quoted(1)) == []
    (request,) = node.fail(ask_of(2))
    assert isinstance(request, effects.RequestLease) and request.terms.node == address_of(1)
    job = job_of(node)
    assert (job.status, job.lease_id) == ("leasing", request.lease_id)
    lease = node.get(make_submitter_lease(lease_id=request.lease_id))
    assert lease.opening == request.opening is not None


def test_the_choice_waits_no_longer_than_agreed() -> None:
    node = make_quoting(1, 2)
    node.tell(quoted(1))
    (request,) = node.wake(job_of(node), after_s=3)
    assert isinstance(request, effects.RequestLease)


def test_no_choice_is_made_before_the_funds_are_known() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    node.tell(ranked(1))
    assert node.tell(quoted(1)) == []
    assert kinds(node.tell(FUNDS)) == ["RequestLease"]


def test_a_job_beyond_the_funds_fails_before_any_lease_and_names_the_missing_sum() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    node.tell(ranked(1))
    node.tell(quoted(1))
    node.tell(changes.FundsRead(JOB_HASH, Amount(100 * TOKEN), Amount(5 * TOKEN - 3)))
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "escrow_too_small")
    assert ("missing", "3") in job.timeline[-1].facts
    assert list(node.state.all(SubmitterLease)) == []


@pytest.mark.parametrize("body, code", [({"thaw": 8 * 86_400}, "quote_thaw"), ({"cost_limit": 1}, "quote_cost_limit")])
def test_a_quote_that_does_not_hold_is_passed_over(body: dict[str, Any], code: str) -> None:
    node = make_quoting(1)
    drop, search = node.tell(quoted(1, **{name: Amount(value) for name, value in body.items()}))
    assert isinstance(drop, effects.DropQuote), "what we do not take holds nothing"
    assert isinstance(search, effects.SearchOffers) and search.tried == (address_of(1),)
    assert code in job_of(node).no_quote


def wake_now(node: Node) -> list[effects.Effect]:
    """What the job does at its next alarm, and when it comes."""
    after_ns = (job_of(node).wake_at_ns or 0) - node.now_ns
    assert 0 < after_ns <= 15 * SECOND
    return node.wake(job_of(node), after_s=after_ns / SECOND)


def test_a_provider_that_does_not_answer_is_waited_for_like_a_busy_one_and_no_longer() -> None:
    node = make_submitter(capacity_wait_ns=60 * SECOND)
    node.tell(SUBMITTED)
    tries = 0
    while job_of(node).status != "failed":
        node.tell(ranked(1))
        node.tell(FUNDS)
        tries += 1
        node.fail(ask_of(1), "unreachable", "no way to it")
        node.tell(ranked())
        if job_of(node).status != "failed":
            (search,) = wake_now(node)
            assert isinstance(search, effects.SearchOffers) and search.tried == (), "it is asked anew"
    assert 60 * SECOND <= node.now_ns - NOW_NS <= 75 * SECOND and tries > 4
    assert job_of(node).end_reason == "no_quote" and "no way to it" in job_of(node).end_detail
    said = [one.detail for one in job_of(node).timeline if one.what == "waiting"]
    assert said == ["waiting for capacity: 1 provider fits, and does not answer"]


def test_one_whose_offer_is_forgotten_meanwhile_is_waited_for_too() -> None:
    node = make_quoting(1)
    node.fail(ask_of(1), "unreachable")
    node.tell(ranked())
    for _ in range(20):
        assert kinds(wake_now(node)) == ["SearchOffers"]
        node.tell(changes.OffersRanked(JOB_HASH, 0, (), ()))
        assert job_of(node).status == "searching"
    node.tell(ranked(1))
    assert job_of(node).status == "quoting"


def test_of_busy_and_silent_ones_both_are_said() -> None:
    node = make_quoting(1, 2)
    node.fail(ask_of(1), "unreachable")
    node.fail(ask_of(2), "capacity")
    node.tell(ranked())
    assert "waiting for capacity: 2 providers fit, all busy or not answering" in [
        one.detail for one in job_of(node).timeline
    ]


SEARCH = effects.SearchOffers(JOB_HASH, JOB, (), "id", "lane", 0)
READ = effects.ReadFunds(JOB_HASH, address_of(0), JOB.asset, "id", "lane", 0)


def test_a_search_cut_short_is_begun_anew_a_few_times() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    for _ in range(MAX_ROUNDS):
        assert kinds(node.fail(SEARCH)) == ["SearchOffers"]
    assert node.fail(SEARCH) == []
    assert (job_of(node).status, job_of(node).end_reason) == ("failed", "deadline")


AWAY = "chain node http://a cannot be reached"


def lines_of(node: Node, *kinds: str) -> list[str]:
    return [entry.detail for entry in job_of(node).timeline if entry.what in kinds]


def test_a_job_whose_funds_the_chain_does_not_tell_waits_says_so_and_goes_on() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    read, *_ = node.tell(ranked(1))
    node.tell(quoted(1))
    for _ in range(12):
        (read,) = node.fail(read, "deadline", AWAY, after_s=15)
        assert isinstance(read, effects.ReadFunds)
    waiting = lines_of(node, "waiting")
    assert waiting[0] == f"waiting for our chain node: {AWAY}"
    assert waiting[-1] == f"waiting for our chain node, for 120 s now: {AWAY}" and len(waiting) == 3
    # The quotes that came meanwhile are old: offers are searched anew.
    (search,) = node.tell(FUNDS, after_s=5)
    assert isinstance(search, effects.SearchOffers) and search.tried == ()
    assert lines_of(node, "chain") == ["our chain node is back after 170 s"]
    assert kinds(node.tell(ranked(1))) == ["ReadFunds", "RequestQuote"]
    assert node.tell(FUNDS) == [] and job_of(node).funds == Amount(100 * TOKEN)


def test_a_job_waits_for_the_chain_for_ten_minutes_and_then_fails_by_that_name() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    read, *_ = node.tell(ranked(1))
    for _ in range(CHAIN_PATIENCE_NS // (15 * SECOND)):
        (read,) = node.fail(read, "deadline", AWAY, after_s=15)
    assert node.fail(read, "deadline", AWAY, after_s=15) == []
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "chain_away") and AWAY in job.end_detail
    assert "for 600 s" in job.end_detail


def test_offers_whose_owners_the_chain_does_not_tell_are_searched_again() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    unread = changes.OffersRanked(JOB_HASH, 3, (), (("offer_refused_before", 3, "ask again"),), AWAY)
    assert node.tell(unread) == []
    assert lines_of(node, "waiting") == [f"waiting for our chain node: {AWAY}"]
    assert kinds(node.wake(job_of(node), after_s=5)) == ["SearchOffers"]
    assert kinds(node.tell(ranked(1)))[0] == "ReadFunds"
    assert lines_of(node, "chain") == ["our chain node is back after 5 s"]


def test_a_job_that_waits_for_the_chain_can_be_stopped() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    read, *_ = node.tell(ranked(1))
    (read,) = node.fail(read, "deadline", AWAY)
    node.tell(changes.JobStopRequested("stop", JOB_HASH))
    assert job_of(node).status == "stopped"
    assert node.fail(read, "deadline", AWAY) == []


def test_a_search_that_was_refused_fails_the_job_by_that_code() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    node.fail(SEARCH, "no_offers", "no offers at all")
    assert (job_of(node).end_reason, job_of(node).end_detail) == ("no_offers", "no offers at all")


@pytest.mark.parametrize("status", ["running", "done", "failed"])
def test_a_late_failure_of_the_search_changes_nothing(status: str) -> None:
    node = make_submitter(make_submitter_job(status=status))
    before = node.state
    assert node.fail(SEARCH) == [] and node.fail(READ) == [] and node.state is before


def test_the_next_quote_is_taken_when_a_provider_refuses_the_lease() -> None:
    node = make_quoting(1, 2)
    node.tell(quoted(1))
    (first,) = node.tell(quoted(2))
    assert isinstance(first, effects.RequestLease)
    (second,) = node.fail(first, "quote_expired", "too late")
    assert isinstance(second, effects.RequestLease)
    assert {first.terms.node, second.terms.node} == {address_of(1), address_of(2)}
    (search,) = node.fail(second, "quote_expired", "too late")
    assert isinstance(search, effects.SearchOffers) and set(search.tried) == {address_of(1), address_of(2)}


def test_a_job_is_given_up_after_so_many_providers() -> None:
    tried = tuple(address_of(number) for number in range(10, 10 + MAX_TRIES))
    lease = make_submitter_lease(status="requested")
    node = make_submitter(make_submitter_job(status="leasing", tried=tried), lease, make_submitter_escrow())
    request = effects.RequestLease(LEASE_ID, (), lease.terms, make_submitter_escrow().escrow, None, "id", "lane", 0)
    node.fail(request, "draining", "no new jobs")
    assert (job_of(node).status, job_of(node).end_reason) == ("failed", "no_provider")


def test_a_job_is_not_given_up_because_of_those_who_stall() -> None:
    tried = tuple(address_of(number) for number in range(10, 10 + MAX_TRIES))
    lease = make_submitter_lease(status="requested")
    node = make_submitter(make_submitter_job(status="leasing", tried=tried), lease, make_submitter_escrow())
    request = effects.RequestLease(LEASE_ID, (), lease.terms, make_submitter_escrow().escrow, None, "id", "lane", 0)
    stop, search = node.fail(request)
    assert isinstance(stop, effects.AskLease) and stop.stop, "what it signs all the same is not wanted any more"
    assert isinstance(search, effects.SearchOffers) and set(tried) < set(search.tried) | {lease.terms.node}
    assert job_of(node).stalled == (lease.terms.node,)


def test_a_provider_that_gave_its_room_to_another_is_waited_for_like_a_busy_one() -> None:
    node = make_quoting(1)
    (request,) = node.tell(quoted(1))
    (search,) = node.fail(request, "capacity", "another submitter signed first")
    assert isinstance(search, effects.SearchOffers)
    job = job_of(node)
    assert (job.tried, job.busy, job.passed) == ((), (address_of(1),), (address_of(1),))


def test_a_signature_is_waited_for_some_seconds_only_where_another_quote_is_at_hand() -> None:
    for numbers, wait_ns in (((1,), LEASE_WAIT_NS + ANSWER_NS), ((1, 2), HASTY_WAIT_NS)):
        node = make_quoting(*numbers)
        for number in numbers:
            found = node.tell(quoted(number))
        (request,) = found
        assert isinstance(request, effects.RequestLease)
        assert request.terms.open_until_ns == node.now_ns + LEASE_WAIT_NS
        assert request.deadline_ns == node.now_ns + wait_ns


def test_what_is_missing_is_named_when_providers_see_too_small_a_deposit() -> None:
    node = make_quoting(1, funds=changes.FundsRead(JOB_HASH, Amount(7), Amount(7)))
    node.fail(ask_of(1), "quote_funds", "the deposit lets 7 be reserved")
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "escrow_too_small")
    limit = cost_limit_of(JOB, make_offer_body().tariff)
    assert dict(job.timeline[-1].facts) == {"cost_limit": str(limit), "missing": str(limit - 7)}


def test_leases_with_one_provider_share_an_escrow_until_it_thaws() -> None:
    for thaw_asked, count in ((False, 1), (True, 2)):
        node = make_quoting(1)
        (request,) = node.tell(quoted(1))
        assert isinstance(request, effects.RequestLease)
        (escrow,) = node.state.all(SubmitterEscrow)
        if thaw_asked:
            node.state = node.state.put(make_submitter_escrow(
                escrow_id=escrow.escrow_id, escrow=escrow.escrow, lines=escrow.lines, thaw_asked=True
            ))  # fmt: skip
        node.fail(request, "busy", "ask later")
        node.tell(ranked(1))
        node.tell(FUNDS)
        node.tell(quoted(1, duration_limit_ns=JOB.duration_limit_ns + SECOND))
        assert len(list(node.state.all(SubmitterEscrow))) == count


def test_a_job_is_stopped_wherever_it_is() -> None:
    stop = changes.JobStopRequested("stop", JOB_HASH)
    searching = make_submitter()
    (unknown,) = searching.tell(stop)
    assert isinstance(unknown, effects.ReplyRefusal) and unknown.refusal.code == "job_unknown"
    searching.tell(SUBMITTED)
    assert searching.tell(stop) == [effects.ReplyOk("stop")]
    assert (job_of(searching).status, job_of(searching).end_reason) == ("stopped", "stopped_by_submitter")
    running = make_submitter(make_submitter_job(), make_submitter_lease(), make_submitter_escrow())
    ask, _ = running.tell(stop)
    assert isinstance(ask, effects.AskLease) and ask.stop
    assert job_of(running).status == "running", "what ran is still to be paid"


def test_other_quotes_are_dropped_once_a_lease_is_signed() -> None:
    node = make_quoting(1, 2)
    node.tell(quoted(1))
    (request,) = node.tell(quoted(2))
    assert isinstance(request, effects.RequestLease)
    chosen = 1 if request.terms.node == address_of(1) else 2
    signature = sign_digest(make_key(chosen), request.lease_id)
    (drop,) = node.tell(changes.LeaseAccepted(request.lease_id, signature))
    assert isinstance(drop, effects.DropQuote) and drop.node == address_of(3 - chosen)


def test_after_a_restart_a_search_begins_anew() -> None:
    node = make_quoting(1)
    settings = node.state.settings
    (search,) = node.tell(changes.NodeStarted(settings.node, settings.separator, "", (), None, settings.submitter))
    assert isinstance(search, effects.SearchOffers)


# ------------------------------------------------------------------------------------------------- elsewhere, and waiting


def ended(reason: str, code: str = "", detail: str = "no space left", outputs: Any = ()) -> changes.LeaseNews:
    return changes.LeaseNews("", address_of(1), LEASE_ID, "ending", reason, detail, None, outputs, code)  # type: ignore[arg-type]


def make_placed(**lease: Any) -> Node:
    """A submitter whose job has a lease at node 1 that has not run yet."""
    return make_submitter(make_submitter_job(), make_submitter_lease(**lease), make_submitter_escrow())


@pytest.mark.parametrize("reason", sorted(NEVER_RAN | UNFUNDED))
def test_a_lease_that_ended_before_its_workload_ran_is_placed_elsewhere(reason: str) -> None:
    node = make_placed()
    (search,) = node.tell(ended(reason))
    assert isinstance(search, effects.SearchOffers) and search.tried == (address_of(1),)
    assert (job_of(node).status, job_of(node).lease_id) == ("searching", None)
    assert any(reason in entry.detail for entry in job_of(node).timeline), "the reason is told"


@pytest.mark.parametrize(
    ("reason", "twice"), [("image_failed", False), ("provider_lost", True), ("provider_late", True)]
)
def test_that_a_job_may_run_twice_is_told_with_what_was_signed_for_the_first(reason: str, twice: bool) -> None:
    node = make_placed()
    node.tell(ended(reason))
    (entry,) = (one for one in job_of(node).timeline if one.what == "elsewhere")
    assert ("it may run there too" in entry.detail) is twice and dict(entry.facts)["cost"] == "0"


@pytest.mark.parametrize("reason", sorted(FINAL | NEVER_RAN))
def test_a_workload_that_has_run_is_not_run_again_elsewhere(reason: str) -> None:
    node = make_placed(status="running")
    node.tell(ended(reason, outputs=None))
    assert job_of(node).status != "searching"


@pytest.mark.parametrize("code", sorted(JOBS_OWN))
def test_a_fault_of_the_job_itself_ends_it_at_once_with_the_true_reason(code: str) -> None:
    node = make_placed()
    assert node.tell(ended("launch_failed", code, "sh: not found")) == []
    job = job_of(node)
    assert (job.status, job.end_reason, job.end_detail) == ("failed", "launch_failed", "sh: not found")


def test_two_hosts_that_say_the_same_mean_the_job() -> None:
    words = ((address_of(2), "launch_failed: sh: not found"),)
    node = make_submitter(make_submitter_job(words=words), make_submitter_lease(), make_submitter_escrow())
    assert node.tell(ended("launch_failed", detail="sh: not found")) == []
    assert job_of(node).end_reason == "launch_failed"


def test_when_no_provider_is_left_the_job_ends_with_each_ones_reason() -> None:
    node = make_placed()
    node.tell(ended("image_failed", detail="no space left"))
    node.tell(ranked(2))
    node.tell(FUNDS)
    (request,) = node.tell(quoted(2))
    assert isinstance(request, effects.RequestLease)
    node.fail(request, "escrow_thaw", "the escrow thaws too soon")
    node.tell(ranked())
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "image_failed")
    assert "no space left" in job.end_detail and "escrow_thaw" in job.end_detail


def test_news_of_a_lease_that_was_left_does_not_end_the_job() -> None:
    node = make_placed()
    node.tell(ended("image_failed"))
    node.tell(replace(ended("image_failed"), status="settled"))
    assert job_of(node).status == "searching"


BUSY = changes.OffersRanked(JOB_HASH, 12, (), (("offer_vcpus", 12, "0 vCPU free"),), busy=12)


def test_a_job_that_fits_but_finds_no_room_waits_and_says_so_once() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    for _ in range(5):
        assert node.tell(BUSY) == []
        assert job_of(node).status == "searching"
        assert kinds(node.wake(job_of(node), after_s=15)) == ["SearchOffers"]
    waiting = [entry.detail for entry in job_of(node).timeline if entry.what == "waiting"]
    assert waiting == ["waiting for capacity: 12 providers fit, all busy"]
    node.tell(ranked(1))
    assert job_of(node).status == "quoting"


def test_room_is_waited_for_no_longer_than_agreed() -> None:
    node = make_submitter(capacity_wait_ns=60 * SECOND)
    node.tell(SUBMITTED)
    for _ in range(6):
        if job_of(node).status == "searching":
            node.tell(BUSY)
            node.wake(job_of(node), after_s=15)
    node.tell(BUSY)
    job = job_of(node)
    assert (job.status, job.end_reason) == ("failed", "no_match") and "0 vCPU free" in job.end_detail


def test_providers_whose_room_was_taken_meanwhile_are_waited_for_too() -> None:
    node = make_quoting(1)
    request = ask_of(1)
    for _ in range(MAX_ROUNDS + 3):
        (search,) = node.fail(request, "capacity", "free is nothing")
        assert isinstance(search, effects.SearchOffers) and search.tried == (address_of(1),)
        node.tell(ranked())
        assert "waiting for capacity: 1 provider fits, and is busy" in [one.detail for one in job_of(node).timeline]
        (again,) = node.wake(job_of(node), after_s=15)
        assert isinstance(again, effects.SearchOffers) and again.tried == ()
        node.tell(ranked(1))
        node.tell(FUNDS)
    assert job_of(node).status == "quoting"


def test_an_empty_market_that_is_still_looked_at_is_looked_at_again() -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    for _ in range(FIRST_LOOK_NS // LOOK_AGAIN_NS):
        node.tell(changes.OffersRanked(JOB_HASH, 0, (), (), waiting=1, may_grow=True))
        assert kinds(node.wake(job_of(node), after_s=1)) == ["SearchOffers"]
    node.tell(changes.OffersRanked(JOB_HASH, 0, (), (), waiting=1, may_grow=True))
    assert job_of(node).end_reason == "no_match"
    assert [entry.detail for entry in job_of(node).timeline if entry.what == "offers"] == [
        "0 seen, 0 fit; 1 still being asked"
    ]


def test_a_node_that_knows_no_offers_yet_looks_on_between_its_looks_too() -> None:
    """As one that was started again with the job in hand: until others are found, nothing is known of the market."""
    node = make_submitter()
    node.tell(SUBMITTED)
    for _ in range(FIRST_LOOK_NS // LOOK_AGAIN_NS):
        node.tell(changes.OffersRanked(JOB_HASH, 0, (), ()))
        assert kinds(node.wake(job_of(node), after_s=1)) == ["SearchOffers"]
    node.tell(ranked(1))
    assert job_of(node).status == "quoting"


NOBODY = changes.OffersRanked(JOB_HASH, 0, (), ())


def restart(node: Node, away_s: int) -> None:
    settings = node.state.settings
    node.tell(
        changes.NodeStarted(
            settings.node, settings.separator, "", (), None, settings.submitter, away_ns=away_s * SECOND
        ),
        after_s=away_s,
    )


def test_a_job_that_waits_for_room_waits_on_over_a_restart_for_its_whole_time() -> None:
    node = make_submitter(capacity_wait_ns=600 * SECOND)
    node.tell(SUBMITTED)
    node.tell(BUSY)
    node.tell(BUSY, after_s=90)
    restart(node, away_s=900)
    for _ in range(500):
        node.tell(NOBODY)
        assert job_of(node).status == "searching", job_of(node).end_detail
        node.wake(job_of(node), after_s=1)
    node.tell(NOBODY, after_s=30)
    assert job_of(node).end_reason == "no_match"


def test_what_a_provider_said_before_a_restart_ends_no_job_that_waits() -> None:
    node = make_quoting(1)
    node.fail(ask_of(1), "capacity", "free is nothing")
    node.tell(ranked())
    restart(node, away_s=5)
    node.tell(NOBODY)
    assert job_of(node).status == "searching", job_of(node).end_detail
    node.wake(job_of(node), after_s=1)
    node.tell(ranked(1))
    assert job_of(node).status == "quoting"


@pytest.mark.parametrize("starts", [True, False])
def test_after_an_absence_nobody_found_says_nothing_until_the_market_was_looked_for(starts: bool) -> None:
    node = make_submitter()
    node.tell(SUBMITTED)
    node.tell(replace(NOBODY, seen=3))
    assert job_of(node).end_reason == "no_match"
    node = make_submitter()
    node.tell(SUBMITTED)
    if starts:
        restart(node, away_s=5)
    else:
        node.tell(changes.NodeResumed(5 * SECOND), after_s=5)
    for _ in range(FIRST_LOOK_NS // LOOK_AGAIN_NS):
        node.tell(replace(NOBODY, seen=3))
        assert job_of(node).status == "searching"
        node.wake(job_of(node), after_s=1)
    node.tell(replace(NOBODY, seen=3))
    assert job_of(node).end_reason == "no_match"


def test_quotes_are_let_go_when_the_job_is_stopped_or_fails_or_they_come_late() -> None:
    stopped = make_quoting(1, 2)
    stopped.tell(quoted(1))
    drop, _ = stopped.tell(changes.JobStopRequested("stop", JOB_HASH))
    assert isinstance(drop, effects.DropQuote) and drop.node == address_of(1)
    (late,) = stopped.tell(quoted(2))
    assert isinstance(late, effects.DropQuote) and late.node == address_of(2)
    poor = make_submitter()
    poor.tell(SUBMITTED)
    poor.tell(ranked(1))
    poor.tell(quoted(1))
    (drop,) = poor.tell(changes.FundsRead(JOB_HASH, Amount(0), Amount(0)))
    assert isinstance(drop, effects.DropQuote)


def test_those_with_less_to_do_for_us_are_asked_first_and_the_silent_last() -> None:
    busy = make_submitter_lease(status="running", terms=replace(make_submitter_lease().terms, node=address_of(2)))
    node = make_submitter(busy, make_submitter_escrow(), quotes=3)
    node.tell(SUBMITTED)
    candidates = [Candidate(make_signed_offer(number), 0, Score(0), "", silent=number == 1) for number in (1, 2, 3, 4)]
    node.tell(changes.OffersRanked(JOB_HASH, 4, tuple(candidates), ()))
    assert [one.node for one in job_of(node).asked] == [address_of(number) for number in (3, 4, 2)]
