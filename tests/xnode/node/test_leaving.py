"""What is over leaves the state by its number, the oldest first; what it was worth stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from metering.units import ZERO, Amount, Hash32
from scheduler.outputs import NOTHING
from tests.make.records import (
    ESCROW_ID,
    LEASE_ID,
    SECOND,
    Node,
    make_issued,
    make_paid,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_receipt,
    make_running_lease,
    make_seen,
    make_submitter,
    make_submitter_escrow,
    make_submitter_job,
    make_submitter_lease,
)
from tests.make.values import ASSET, NOW_NS, address_of
from xnode.node import changes
from xnode.node.experience import MAX_DEALINGS, MAX_IMAGES, next_dealings, put_away_lease
from xnode.node.leaving import KEPT_AT_HAND, SLACK
from xnode.node.provider.earned import DAY_NS, count_earned
from xnode.node.records import (
    OutputsHere,
    ProviderEscrow,
    ProviderLease,
    Record,
    SubmitterEscrow,
    SubmitterJob,
    SubmitterLease,
    TimelineEntry,
)
from xnode.node.state import State, Turn, make_state
from xnode.node.submitter.outputs import on_outputs_refetched
from xnode.node.sums import Dealings, EarnedDay

MANY = KEPT_AT_HAND + SLACK


def id_of(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def make_lease_of(number: int, **fields: Any) -> ProviderLease:
    return make_provider_lease(**({"lease_id": id_of(number), "requested_at_ns": NOW_NS - SECOND + number} | fields))


def make_job_of(number: int, **fields: Any) -> SubmitterJob:
    timeline = (TimelineEntry(NOW_NS - SECOND + number, "end", "it is over"),)
    values = {"job_hash": id_of(number), "status": "done", "lease_id": None, "timeline": timeline} | fields
    return make_submitter_job(**values)


def start(node: Node) -> None:
    """The node starts: a start looks at all kinds."""
    settings = node.state.settings
    node.tell(changes.NodeStarted(settings.node, settings.separator, "test", (), settings.provider, settings.submitter))


MAKERS: dict[type[Any], tuple[Callable[[int], Record], Callable[[int], Record]]] = {
    ProviderLease: (
        lambda number: make_lease_of(number, status="settled", removed=True, ended_at_ns=NOW_NS - SECOND + number),
        lambda number: make_lease_of(number, status="settled", ended_at_ns=NOW_NS - SECOND + number),
    ),
    SubmitterLease: (
        lambda number: make_submitter_lease(
            lease_id=id_of(number), status="refused", heard_at_ns=NOW_NS - SECOND + number
        ),
        lambda number: make_submitter_lease(
            lease_id=id_of(number), status="settling", heard_at_ns=NOW_NS - SECOND + number
        ),
    ),
    SubmitterJob: (make_job_of, lambda number: make_job_of(number, status="fetching")),
    ProviderEscrow: (
        lambda number: make_provider_escrow(escrow_id=id_of(number), lines=(), idle_at_ns=number),
        lambda number: make_provider_escrow(escrow_id=id_of(number), idle_at_ns=number),
    ),
    SubmitterEscrow: (
        lambda number: make_submitter_escrow(escrow_id=id_of(number), lines=(), deposited=ZERO, idle_at_ns=number),
        lambda number: make_submitter_escrow(escrow_id=id_of(number), lines=(), idle_at_ns=number),
    ),
}
"""By kind: a record that is over, and one that is not, made the earlier the lower its number."""


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_the_oldest_of_what_is_over_leave_and_nothing_else_does(kind: type[Any]) -> None:
    over, busy = MAKERS[kind]
    live = [busy(number) for number in range(5)]
    node = (make_provider if kind in (ProviderLease, ProviderEscrow) else make_submitter)(
        *live, *(over(number) for number in range(10, 10 + MANY))
    )
    start(node)
    kept = {int.from_bytes(one.key, "big") for one in node.state.all(kind)}
    assert kept == {*range(5), *range(10 + SLACK, 10 + MANY)}


def test_fewer_are_all_kept() -> None:
    node = make_submitter(*(make_job_of(number) for number in range(MANY - 1)))
    start(node)
    assert node.state.count(SubmitterJob) == MANY - 1


def test_the_job_that_ends_makes_the_oldest_go_with_it() -> None:
    jobs = [make_job_of(number) for number in range(MANY - 1)]
    lease = make_submitter_lease(status="settled", wake_at_ns=None, left=NOTHING)
    node = make_submitter(*jobs, lease, make_submitter_job(status="quoting", lease_id=None))
    node.tell(changes.JobStopRequested("me", make_submitter_job().job_hash))
    assert node.state.count(SubmitterJob) == KEPT_AT_HAND
    assert node.get(make_submitter_job()).status == "stopped"


def test_a_job_whose_lease_is_not_settled_stays() -> None:
    lease = make_submitter_lease(status="settling")
    old = make_job_of(0, lease_id=LEASE_ID)
    tried = make_job_of(1, failed=((LEASE_ID, "provider_lost"),))
    node = make_submitter(lease, old, tried, *(make_job_of(number) for number in range(2, 2 + MANY)))
    start(node)
    assert node.get(old) == old and node.get(tried) == tried
    assert node.state.get(SubmitterJob, id_of(2)) is None


def test_a_lease_whose_outputs_are_awaited_stays() -> None:
    job = make_submitter_job(status="collecting")
    node = make_submitter(
        job,
        make_submitter_lease(status="settled", heard_at_ns=1),
        *(make_submitter_lease(lease_id=id_of(number), status="refused") for number in range(MANY)),
    )
    start(node)
    assert node.state.get(SubmitterLease, LEASE_ID) is not None


def test_an_escrow_that_an_opening_may_still_reach_stays() -> None:
    soon = make_submitter_escrow(
        escrow_id=id_of(99_999), lines=(), deposited=ZERO, idle_at_ns=0, opening_until_ns=NOW_NS + SECOND
    )
    over, _ = MAKERS[SubmitterEscrow]
    node = make_submitter(soon, *(over(number) for number in range(MANY)))
    start(node)
    assert node.state.get(SubmitterEscrow, soon.key) == soon


def test_an_escrow_that_comes_back_is_taken_up_where_the_chain_has_it() -> None:
    lease = make_provider_lease(wake_at_ns=None)
    paid = make_receipt(5).cost
    node = make_provider(lease)
    node.tell(changes.FundingRead(LEASE_ID, Amount(10**30), Amount(10**30), paid, paid, 0))
    escrow = node.get(make_provider_escrow())
    assert (escrow.claimed, escrow.closed_cost) == (paid, paid)
    assert not [one for one in node.state.all(EarnedDay) if one.claimed], "what was claimed before is not earned again"
    receipt = make_receipt(5)
    node.state = node.state.put(
        make_running_lease(last=receipt, issued=make_issued(receipt), wake_at_ns=NOW_NS + SECOND)
    )
    node.tell(make_paid(receipt))
    assert node.get(escrow).voucher is None, "it promises no more than what is claimed already"


def test_outputs_that_are_fetched_for_a_job_that_has_left_are_noted_and_it_stays_away() -> None:
    short = OutputsHere(entries=2, missing=1)
    job = make_job_of(1, status="half-fetched", end_reason="half_fetched", here=short)
    turn = Turn(make_submitter().state, NOW_NS, bytes(32))
    on_outputs_refetched(turn, changes.OutputsRefetched(job.job_hash, OutputsHere(entries=2), job))
    (after,) = turn.touched.values()
    assert isinstance(after, SubmitterJob)
    assert (after.status, after.here) == ("done", OutputsHere(entries=2))
    assert turn.dropped.keys() == turn.touched.keys() and not turn.state.count(SubmitterJob)


# ------------------------------------------------------------------------------------------------------ what stays of it


def test_a_lease_that_leaves_is_counted_for_its_node_once() -> None:
    done = make_submitter_lease(status="settled", end_reason="completed", exit_code=0, image="sha256:1")
    turn = Turn(State(), NOW_NS, bytes(32))
    put_away_lease(turn, done)
    put_away_lease(turn, replace(done, lease_id=id_of(2), end_reason="provider_lost", image="sha256:2"))
    put_away_lease(turn, replace(done, lease_id=id_of(3), end_reason="unpaid", exit_code=None, image=""))
    (known,) = turn.state.all(Dealings)
    assert (known.node, known.images) == (address_of(1), ("sha256:1", "sha256:2"))
    assert (known.reputation.successes_milli, known.reputation.failures_milli) == (1_000, 1_000)


def test_of_each_node_the_last_images_are_known_and_of_all_nodes_the_last() -> None:
    lease = make_submitter_lease(status="settled", end_reason="completed", exit_code=0)
    known = Dealings(address_of(1))
    for number in range(MAX_IMAGES + 3):
        known = next_dealings(known, replace(lease, image=f"sha256:{number}"))
    assert known.images[0] == "sha256:3" and len(known.images) == MAX_IMAGES
    nodes = [number.to_bytes(20, "big") for number in range(1, MAX_DEALINGS + 1)]
    turn = Turn(make_state(Dealings(one, at_ns=place) for place, one in enumerate(nodes)), NOW_NS, bytes(32))  # type: ignore[arg-type]
    put_away_lease(turn, replace(lease, image="sha256:1"))
    assert turn.state.count(Dealings) == MAX_DEALINGS
    assert turn.state.get(Dealings, nodes[0]) is None and turn.state.get(Dealings, nodes[1]) is not None


def test_a_day_that_is_over_is_put_away_and_never_begun_again() -> None:
    state = State()
    archived = []
    for day, more in ((10, 1), (10, 2), (12, 4), (11, 8)):
        # On the last the clock has been set back by a day.
        turn = Turn(state, day * DAY_NS + 5, bytes(32))
        count_earned(turn, ASSET, earned=more, claimed=more, leases=1, settled=1)
        archived += list(turn.dropped.values())
        state = turn.state
    assert archived == [EarnedDay(10, ASSET, Amount(3), Amount(3), 2, 2)]
    assert list(state.all(EarnedDay)) == [EarnedDay(12, ASSET, Amount(12), Amount(12), 2, 2)]


def test_what_the_chain_pays_counts_once_whoever_says_it_first() -> None:
    escrow = make_provider_escrow(claiming=True)
    node = make_provider(make_running_lease(), escrow)
    node.tell(make_seen(claimed=5))
    node.tell(make_seen(claimed=5))
    node.tell(changes.ClaimConfirmed(ESCROW_ID, Amount(9), Amount(9), id_of(1), 1))
    node.tell(make_seen(deposited=9, claimed=9))
    (day,) = node.state.all(EarnedDay)
    assert day.claimed == 9
