"""The submitter's side of a lease and its money, one step at a time: receipts, news, outputs, silence, withdrawal."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.checks import SPARE_RECEIPTS, check_receipt_count
from metering.codec import decode, encode
from metering.eip712 import keccak
from metering.receipt import Receipt, receipt_digest_of
from metering.signature import sign_digest
from metering.units import Amount, Hash32
from scheduler.job import DEFAULT_GRACE_NS, Blob, OutputFile, job_hash_of
from scheduler.outputs import NOTHING, LeftOut, OutputSummary
from tests.make.records import (
    ESCROW,
    ESCROW_ID,
    JOB,
    LEASE_ID,
    SECOND,
    TERMS,
    Node,
    make_receipt,
    make_seen,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
    sign_receipt,
)
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_key
from xnode.node import changes, effects
from xnode.node.records import OutputsHere, PaidLine, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.submitter.lease import STOP_GRACE_NS
from xnode.node.submitter.money import RETAIN_NS, SETTLE_WAIT_NS, WITHDRAW_AGAIN_NS
from xnode.node.submitter.outputs import SLOWEST_BYTES

PROVIDER, STRANGER = address_of(1), address_of(77)
RESULT = OutputFile("result.txt", Blob(keccak(b"result"), 100))
LIST = Blob(keccak(b"list"), 60)
LEFT = OutputSummary(LIST, 1, 100)
HERE = OutputsHere(LIST, 1, 100)
JOB_HASH = job_hash_of(JOB)
ASK = effects.AskLease(LEASE_ID, PROVIDER, (), False, "id", "lane", 0)
STOP = replace(ASK, stop=True)
FETCH = effects.FetchOutputs(
    lease_id=LEASE_ID, node=PROVIDER, multiaddrs=(), left=LEFT, id="id", lane="lane", deadline_ns=0
)
FINAL = make_receipt(10, final=True)


def kinds(found: list[effects.Effect]) -> list[str]:
    return [type(one).__name__ for one in found]


def make_leased(lease: dict[str, Any] | None = None, **job: Any) -> Node:
    """A submitter with one lease."""
    return make_submitter(make_submitter_job(**job), make_submitter_lease(**lease or {}), make_submitter_escrow())


def lease_of(node: Node) -> SubmitterLease:
    return node.get(make_submitter_lease())


def job_of(node: Node) -> SubmitterJob:
    return node.get(make_submitter_job())


def escrow_of(node: Node) -> SubmitterEscrow:
    return node.get(make_submitter_escrow())


def push(node: Node, *receipts: Receipt, after_s: float = 0, caller: Any = PROVIDER) -> list[effects.Effect]:
    return node.tell(changes.ReceiptsReceived("push", caller, tuple(map(sign_receipt, receipts))), after_s)


def make_news(status: str = "ending", **fields: Any) -> changes.LeaseNews:
    news = changes.LeaseNews("news", PROVIDER, LEASE_ID, status, "completed", "", 0, None, "", LEFT)  # type: ignore[arg-type]
    return replace(news, **fields)


# ------------------------------------------------------------------------------------------------------------- request


def test_a_lease_begins_with_the_providers_own_signature() -> None:
    for key, status, then in ((1, "preparing", "running"), (7, "refused", "searching")):
        node = make_leased({"status": "requested"}, status="leasing")
        node.tell(changes.LeaseAccepted(LEASE_ID, sign_digest(make_key(key), LEASE_ID)))
        assert (lease_of(node).status, job_of(node).status) == (status, then)


def test_a_receipt_stands_for_a_countersignature_that_got_lost() -> None:
    node = make_leased({"status": "requested"}, status="leasing")
    assert kinds(push(node, make_receipt(5), after_s=6)) == ["ReplyVoucher"]
    assert (lease_of(node).status, job_of(node).status) == ("preparing", "running")


def test_a_stop_that_came_before_the_lease_follows_it() -> None:
    node = make_leased({"status": "requested", "stop_asked_at_ns": NOW_NS}, status="leasing")
    (ask,) = node.tell(changes.LeaseAccepted(LEASE_ID, sign_digest(make_key(1), LEASE_ID)))
    assert isinstance(ask, effects.AskLease) and ask.stop


# ------------------------------------------------------------------------------------------------------------ receipts


def test_receipts_are_answered_by_one_voucher_over_the_last() -> None:
    node = make_leased()
    first, second = make_receipt(5), make_receipt(10, make_receipt(5))
    (reply,) = push(node, first, second, after_s=11)
    assert isinstance(reply, effects.ReplyVoucher)
    assert reply.voucher.cumulative == second.cost
    assert reply.coverage.digests == (receipt_digest_of(SEPARATOR, second),)
    assert (lease_of(node).receipts, lease_of(node).last) == (2, second)
    (again,) = push(node, first, second)
    assert again == reply, "what came twice is answered as before and counted once"
    assert lease_of(node).receipts == 2


@pytest.mark.parametrize(
    "receipt, after_s, code",
    [
        (make_receipt(60), 6, "receipt_running_ns"),
        (replace(make_receipt(5), cost=Amount(10**18)), 6, "receipt_cost"),
        (replace(make_receipt(5), at_ns=NOW_NS + 600 * SECOND), 6, "receipt_time"),
    ],
    ids=["time", "cost", "date"],
)
def test_a_receipt_beyond_the_lease_gets_no_voucher_and_stops_it(receipt: Receipt, after_s: float, code: str) -> None:
    node = make_leased()
    reply, stop = push(node, receipt, after_s=after_s)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == code
    assert isinstance(stop, effects.AskLease) and stop.stop
    assert (lease_of(node).end_reason, lease_of(node).receipts) == ("receipt_refused", 0)
    (later,) = push(node, make_receipt(5))
    assert isinstance(later, effects.ReplyRefusal) and later.refusal == reply.refusal, "nothing more is signed"


def test_a_provider_does_not_choose_how_many_receipts_are_kept() -> None:
    node, last = make_leased(), make_receipt(1)
    for number in range(10, 10 + SPARE_RECEIPTS // 32 + 2):
        pushed = tuple(replace(last, number=number * 1000 + one) for one in range(32))
        (reply, *_) = push(node, *pushed, after_s=2)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code in ("receipt_count", "lease_closed")
    assert lease_of(node).end_reason == "receipt_refused"
    assert lease_of(node).receipts <= SPARE_RECEIPTS + 2 * 32


def test_two_receipts_in_each_interval_are_never_too_many() -> None:
    for intervals in (0, 1, 10, 10_000):
        count, elapsed_ns = 2 * intervals + SPARE_RECEIPTS // 2, intervals * TERMS.interval_ns
        assert check_receipt_count(count, TERMS, elapsed_ns) is None


def test_news_that_say_nothing_new_are_not_written_down() -> None:
    node = make_leased({"status": "running"})
    news = make_news("running", end_reason=None, left=None)
    node.tell(news, 2.0)
    before = lease_of(node)
    node.tell(news, 0.1)
    assert lease_of(node) == before
    node.tell(news, 2.0)
    assert lease_of(node).heard_at_ns == before.heard_at_ns + 2.1 * SECOND


def test_receipts_from_another_node_than_the_leases_are_refused() -> None:
    node = make_leased()
    (reply,) = push(node, make_receipt(5), after_s=6, caller=STRANGER)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "lease_unknown"
    assert lease_of(node).receipts == 0


def test_a_provider_that_will_not_stop_is_not_paid_for_going_on() -> None:
    grace_s = (STOP_GRACE_NS + DEFAULT_GRACE_NS) // SECOND
    for running_s, kind in ((grace_s, "ReplyVoucher"), (grace_s + 1, "ReplyRefusal")):
        node = make_leased({"stop_asked_at_ns": NOW_NS})
        assert kinds(push(node, make_receipt(running_s), after_s=running_s))[0] == kind


@pytest.mark.parametrize(
    "reason, kind",
    [
        ("completed", "ReplyVoucher"),
        (None, "ReplyVoucher"),
        ("provider_lost", "ReplyRefusal"),
        ("provider_late", "ReplyRefusal"),
    ],
)
def test_a_last_receipt_after_the_wait_is_paid_unless_we_gave_the_provider_up(reason: Any, kind: str) -> None:
    lease = make_submitter_lease(status="settling", end_reason=reason)
    node = make_submitter(make_submitter_job(), lease, make_submitter_escrow())
    receipt = sign_receipt(make_receipt(30, final=True))
    (reply, *_) = node.tell(changes.ReceiptsReceived("push", lease.terms.node, (receipt,)), after_s=300)
    assert type(reply).__name__ == kind
    paid = node.get(make_submitter_escrow()).cumulative
    assert paid == (receipt.receipt.cost if kind == "ReplyVoucher" else 0)
    open_one = sign_receipt(make_receipt(60, receipt.receipt))
    (reply, *_) = node.tell(changes.ReceiptsReceived("push", lease.terms.node, (open_one,)), after_s=60)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "lease_closed"


def test_the_final_receipt_leaves_the_lease_to_be_settled() -> None:
    node = make_leased()
    push(node, FINAL, after_s=11)
    assert lease_of(node).status == "settling"
    node.tell(make_seen(claimed=FINAL.cost))
    assert lease_of(node).status == "settled"
    assert (escrow_of(node).lines, escrow_of(node).closed_cost) == ((), FINAL.cost)


# ------------------------------------------------------------------------------------------------------------ outcome


def test_the_end_brings_the_outputs_and_the_outputs_end_the_job() -> None:
    node = make_leased(into="/results", only=("*.txt",))
    reply, fetch = node.tell(make_news())
    assert reply == effects.ReplyOk("news")
    assert isinstance(fetch, effects.FetchOutputs) and fetch.left == LEFT
    assert (fetch.into, fetch.only, fetch.limit_bytes) == ("/results", ("*.txt",), TERMS.resources.disk_bytes)
    assert job_of(node).status == "fetching"
    node.tell(changes.OutputsFetched(LEASE_ID, HERE))
    assert (job_of(node).status, job_of(node).end_reason, job_of(node).here) == ("done", "completed", HERE)


def test_a_slow_line_gets_as_long_as_the_size_takes() -> None:
    large = replace(LEFT, size_bytes=TERMS.resources.disk_bytes)
    _, fetch = make_leased().tell(make_news(left=large))
    _, small = make_leased().tell(make_news())
    assert isinstance(fetch, effects.FetchOutputs) and isinstance(small, effects.FetchOutputs)
    assert fetch.deadline_ns - small.deadline_ns > TERMS.resources.disk_bytes // SLOWEST_BYTES * SECOND - SECOND


def test_no_number_and_no_text_of_a_provider_is_too_large_for_us() -> None:
    much = LeftOut(b"x" * 10_000, "y" * 10_000)
    node = make_leased()
    _, fetch = node.tell(make_news(left=OutputSummary(LIST, 2**64 - 1, 2**64 - 1, 2**64 - 1, (much,) * 50)))
    assert isinstance(fetch, effects.FetchOutputs) and fetch.left is not None and fetch.deadline_ns < 2**63
    assert (len(fetch.left.first), len(fetch.left.first[0].path), len(fetch.left.first[0].reason)) == (5, 4_096, 200)
    node.fail(fetch, "deadline", "why")
    assert decode(encode(job_of(node)), SubmitterJob) == job_of(node)


def test_outputs_that_a_version_up_to_0_2_collected_are_fetched_too() -> None:
    node = make_leased()
    _, fetch = node.tell(make_news(left=None, outputs=(RESULT,)))
    assert isinstance(fetch, effects.FetchOutputs) and fetch.outputs == (RESULT,)


def test_a_workload_without_outputs_ends_its_job_at_once() -> None:
    node = make_leased()
    node.tell(make_news(left=NOTHING, end_reason="exit_code", exit_code=3))
    assert (job_of(node).status, job_of(node).end_reason, job_of(node).exit_code) == ("failed", "exit_code", 3)


@pytest.mark.parametrize(
    "here, status, reason, detail",
    [
        ({"left_out": 3}, "done", "completed", "1 output, 100 bytes, 3 left out"),
        ({"missing": 2, "fault": "gone"}, "half-fetched", "half_fetched", "1 output, 100 bytes, 2 not fetched: gone"),
        ({"fault": "/results: denied"}, "half-fetched", "half_fetched", "1 output, 100 bytes: /results: denied"),
        ({"left_out": 1, "lacking": 1}, "half-fetched", "half_fetched",
         "1 output, 100 bytes, 1 left out, 1 of those left out are wanted by the job"),
    ],
    ids=["left out", "missing", "folder", "wanted"],
)  # fmt: skip
def test_a_job_says_what_did_not_arrive(here: dict[str, Any], status: str, reason: str, detail: str) -> None:
    node = make_leased()
    node.tell(make_news())
    node.tell(changes.OutputsFetched(LEASE_ID, replace(HERE, **here)))
    assert (job_of(node).status, job_of(node).end_reason, job_of(node).end_detail) == (status, reason, detail)


def test_a_failed_job_stays_failed_whatever_arrived() -> None:
    node = make_leased()
    node.tell(make_news(end_reason="exit_code", end_detail="status 3", exit_code=3))
    node.tell(changes.OutputsFetched(LEASE_ID, replace(HERE, missing=1, fault="gone")))
    assert (job_of(node).status, job_of(node).end_reason) == ("failed", "exit_code")
    assert job_of(node).end_detail == "status 3; 1 output, 100 bytes, 1 not fetched: gone"


def test_a_later_copy_makes_a_half_fetched_job_whole() -> None:
    node = make_leased()
    node.tell(make_news())
    node.fail(FETCH, "deadline", "cannot be reached")
    assert job_of(node).status == "half-fetched"
    node.tell(changes.OutputsRefetched(JOB_HASH, replace(HERE, missing=1)))
    assert job_of(node).status == "half-fetched", "not all of it came"
    node.tell(changes.OutputsRefetched(JOB_HASH, HERE))
    assert (job_of(node).status, job_of(node).end_reason, job_of(node).here) == ("done", "completed", HERE)
    before = job_of(node)
    node.tell(changes.OutputsRefetched(JOB_HASH, HERE))
    assert job_of(node) == before, "another copy is no news"


def test_a_provider_lost_while_we_fetch_leaves_the_job_half_fetched_until_the_rest_comes() -> None:
    node = make_leased()
    node.tell(make_news())
    node.wake(lease_of(node), after_s=20)
    node.wake(lease_of(node), after_s=20)
    assert job_of(node).status == "half-fetched" and "no word from" in job_of(node).end_detail
    node.tell(changes.OutputsFetched(LEASE_ID, HERE))
    assert (job_of(node).status, job_of(node).end_reason) == ("done", "completed")


def test_news_from_another_node_than_the_leases_is_refused() -> None:
    node = make_leased()
    before = lease_of(node)
    (reply,) = node.tell(make_news(caller=STRANGER))
    assert isinstance(reply, effects.ReplyRefusal) and lease_of(node) == before


@pytest.mark.parametrize(
    "effect, code, status, end_reason",
    [
        (ASK, "deadline", "running", ""),
        (ASK, "lease_unknown", "running", ""),
        (FETCH, "deadline", "half-fetched", "half_fetched"),
    ],
    ids=["ask", "forgot", "fetch"],
)
def test_what_becomes_of_a_job_when_an_effect_of_its_lease_fails(
    effect: effects.Effect, code: str, status: str, end_reason: str
) -> None:
    node = make_leased()
    assert node.fail(effect, code, "why") == []
    assert (job_of(node).status, job_of(node).end_reason) == (status, end_reason)
    assert (job_of(node).timeline != ()) == (effect is FETCH or code == "lease_unknown")


def test_a_stop_is_asked_for_until_the_lease_costs_nothing_more() -> None:
    node = make_leased()
    assert kinds(node.fail(STOP)) == ["AskLease"]
    assert node.fail(STOP, "lease_unknown") == [], "a provider that forgot the lease has stopped it"
    settled = make_leased({"status": "settling"})
    assert settled.fail(STOP) == []


def test_failures_for_leases_that_are_gone_change_nothing() -> None:
    node = make_submitter()
    request = effects.RequestLease(LEASE_ID, (), TERMS, ESCROW, None, "id", "lane", 0)
    for effect in (ASK, STOP, FETCH, request, effects.StartThaw(ESCROW_ID, ESCROW, "id")):
        before = node.state
        assert node.fail(effect) == [] and node.state is before


# ------------------------------------------------------------------------------------------------------------- silence


def test_a_silent_provider_is_asked_once_and_then_counts_as_lost() -> None:
    node = make_leased({"status": "running"})
    (ask,) = node.wake(lease_of(node), after_s=20)
    assert isinstance(ask, effects.AskLease) and not ask.stop
    (thaw,) = node.wake(lease_of(node), after_s=20)
    assert isinstance(thaw, effects.StartThaw)
    assert (lease_of(node).status, job_of(node).end_reason) == ("settling", "provider_lost")
    assert escrow_of(node).thaw_asked


def test_a_job_given_up_says_when_what_its_workload_left_can_be_had_after_all() -> None:
    job = make_submitter_job(status="failed", end_reason="provider_lost", end_detail="no word", lease_id=LEASE_ID)
    lease = make_submitter_lease(status="settling", end_reason="provider_lost")
    node = make_submitter(job, lease, make_submitter_escrow())
    left = OutputSummary(Blob(Hash32(bytes(32)), 100), 2, 700)
    for _ in range(2):
        node.tell(changes.LeaseNews("", lease.terms.node, LEASE_ID, "settled", "completed", "", 0, None, left=left))
    job = node.get(job)
    assert (job.status, job.end_reason) == ("failed", "provider_lost")
    assert job.end_detail == "no word; its provider is back with 2 outputs, 700 bytes: `xnode job cp` gets them"
    assert [one.detail for one in job.timeline if one.what == "output"] == [job.end_detail.removeprefix("no word; ")]


def test_any_sign_of_life_begins_the_wait_anew() -> None:
    node = make_leased()
    node.wake(lease_of(node), after_s=20)
    node.tell(make_news("running", end_reason=None, left=None), after_s=19)
    assert kinds(node.wake(lease_of(node), after_s=20)) == ["AskLease"]
    assert lease_of(node).status == "running"


def test_a_provider_that_still_collects_is_asked_again_and_waited_for() -> None:
    node = make_leased({"status": "settled", "last": FINAL})
    for _ in range(10):
        assert kinds(node.wake(lease_of(node), after_s=300)) == ["AskLease"]
        node.tell(make_news("settled", left=None), after_s=1)
        assert job_of(node).status == "collecting", "51 minutes of work on what was left lose none of it"
    node.wake(lease_of(node), after_s=899)
    assert job_of(node).status == "collecting"
    node.wake(lease_of(node), after_s=300)
    assert job_of(node).end_reason == "outputs_lost"


def test_our_own_absence_is_no_silence_of_a_provider_that_collects() -> None:
    node = make_leased({"status": "settled", "last": FINAL})
    node.tell(changes.NodeResumed(away_ns=5000 * SECOND), after_s=5000)
    assert kinds(node.wake(lease_of(node), after_s=300)) == ["AskLease"]
    assert job_of(node).status == "running"


def test_a_provider_cannot_keep_a_job_without_outputs_open_for_longer_than_a_day() -> None:
    node = make_leased({"status": "settled", "last": FINAL, "heard_at_ns": FINAL.at_ns + RETAIN_NS})
    node.wake(lease_of(node), after_s=24 * 3600 + 10)
    assert job_of(node).end_reason == "outputs_lost"


def test_outputs_that_no_news_comes_of_end_the_job_without_them() -> None:
    node = make_leased({"status": "settled", "last": FINAL})
    node.wake(lease_of(node), after_s=900)
    assert (job_of(node).status, job_of(node).end_reason) == ("failed", "outputs_lost")


# --------------------------------------------------------------------------------------------------------------- money


def test_a_settlement_that_never_comes_thaws_the_escrow() -> None:
    node = make_leased(status="done")
    push(node, FINAL, after_s=11)
    (thaw,) = node.wake(lease_of(node), after_s=SETTLE_WAIT_NS // SECOND)
    assert isinstance(thaw, effects.StartThaw) and thaw.id.endswith(":1")


def test_a_thaw_that_failed_is_asked_for_again_under_another_name() -> None:
    node = make_leased({"status": "settling"})
    escrow = make_submitter_escrow(thaw_asked=True, withdrawals=1)
    node.state = node.state.put(escrow)
    assert node.fail(effects.StartThaw(ESCROW_ID, ESCROW, "id")) == []
    (thaw,) = node.wake(escrow, after_s=WITHDRAW_AGAIN_NS // SECOND)
    assert isinstance(thaw, effects.StartThaw) and thaw.id.endswith(":2")


def test_the_rest_is_taken_when_the_thaw_is_over_and_again_when_that_fails() -> None:
    node = make_leased({"status": "settling"}, status="done")
    node.tell(changes.ThawStarted(ESCROW_ID, NOW_NS // SECOND + 60))
    assert node.wake(escrow_of(node), after_s=60) == []
    (close,) = node.wake(escrow_of(node), after_s=1)
    assert isinstance(close, effects.CloseEscrow)
    assert node.fail(close) == []
    (again,) = node.wake(escrow_of(node), after_s=WITHDRAW_AGAIN_NS // SECOND)
    assert isinstance(again, effects.CloseEscrow) and again.id != close.id and again.lane == close.lane


def test_a_closed_escrow_settles_its_leases_and_is_put_away() -> None:
    node = make_leased({"status": "settling"}, status="done")
    node.tell(changes.EscrowClosed(ESCROW_ID))
    assert lease_of(node).status == "settled"
    assert node.state.get(SubmitterEscrow, ESCROW_ID) is None


def test_a_closed_escrow_is_watched_while_an_opening_may_still_arrive() -> None:
    node = make_leased({"status": "settling"}, status="done")
    until_ns = NOW_NS + 240 * SECOND
    node.state = node.state.put(make_submitter_escrow(opening_until_ns=until_ns))
    node.tell(changes.EscrowClosed(ESCROW_ID))
    assert escrow_of(node).wake_at_ns == until_ns
    assert kinds(node.wake(escrow_of(node), after_s=240)) == ["StartThaw"]


def test_leases_are_folded_from_the_front_and_only_when_settled() -> None:
    other = make_submitter_lease(lease_id=keccak(b"second"))
    lines = (PaidLine(LEASE_ID, Amount(5), keccak(b"a")), PaidLine(other.lease_id, Amount(7), keccak(b"b")))
    escrow = make_submitter_escrow(lines=lines)
    node = make_submitter(make_submitter_lease(status="settled"), other, escrow)
    node.tell(make_seen(claimed=5))
    after = node.get(escrow)
    assert (after.folded, after.closed_cost, after.lines) == (1, 5, lines[1:])
    assert after.cumulative == escrow.cumulative, "folding changes nothing of what was promised"
    assert job_hash_of(JOB) == other.job_hash
