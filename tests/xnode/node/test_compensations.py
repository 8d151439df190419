"""The submitter's compensations, one step at a time: what stake owes is asked for in its week, and again where it must be."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.units import Amount, Hash32
from tests.make.records import LEASE_ID, SECOND, Node, make_submitter
from tests.make.values import NOW_NS, SEPARATOR
from xnode.node import changes, effects
from xnode.node.records import Compensation
from xnode.node.submitter.compensation import EARLY_NS, LATE_NS, REST_NS, RETRY_NS

DAY_S = 86_400
NOW_S = NOW_NS // SECOND
AT_S, UNTIL_S = NOW_S + 14 * DAY_S, NOW_S + 21 * DAY_S
SEEN = changes.CompensationSeen(LEASE_ID, Amount(40), AT_S, UNTIL_S)
GONE = changes.CompensationSeen(LEASE_ID)
BEGIN_NS, END_NS = AT_S * SECOND + EARLY_NS, UNTIL_S * SECOND + LATE_NS


def collected(found: list[effects.Effect]) -> list[effects.CollectCompensation]:
    return [one for one in found if isinstance(one, effects.CollectCompensation)]


def paid(left: int = 0, **fields: Any) -> changes.CompensationCollected:
    told = changes.CompensationCollected(LEASE_ID, UNTIL_S, Amount(left), Hash32(bytes(32)), 90_000)
    return replace(told, **fields)


def find(node: Node) -> Compensation:
    one = node.state.get(Compensation, LEASE_ID)
    assert one is not None
    return one


def make_awaiting() -> Node:
    """A submitter whose compensation can be collected now, and that has asked for nothing yet."""
    node = make_submitter()
    assert not node.tell(SEEN)
    node.now_ns = BEGIN_NS
    return node


def make_collecting() -> tuple[Node, effects.CollectCompensation]:
    node = make_awaiting()
    (effect,) = collected(node.wake(find(node)))
    return node, effect


def test_one_is_awaited_until_it_can_be_had_and_asked_for_then() -> None:
    node = make_submitter()
    assert not node.tell(SEEN)
    assert (find(node).amount, find(node).wake_at_ns, find(node).is_open) == (40, BEGIN_NS, True)
    node.now_ns = BEGIN_NS
    (effect,) = collected(node.wake(find(node)))
    assert (effect.lease_id, effect.payable_until_s, effect.deadline_ns) == (LEASE_ID, UNTIL_S, END_NS)


def test_one_that_is_seen_in_its_week_is_asked_for_at_once_and_one_that_lapsed_never() -> None:
    for at_ns, count in ((BEGIN_NS, 1), (END_NS - 1, 1), (END_NS, 0)):
        node = make_submitter()
        node.now_ns = at_ns
        assert len(collected(node.tell(SEEN))) == count
        assert node.state.count(Compensation) == count


def test_what_is_known_is_not_asked_for_twice_and_its_amount_follows_the_chain() -> None:
    node, effect = make_collecting()
    assert not node.tell(replace(SEEN, amount=Amount(30)))
    assert (find(node).amount, find(node).effect_id) == (30, effect.id)


def test_what_was_paid_is_asked_for_no_more_and_forgotten_when_it_would_lapse() -> None:
    node, _ = make_collecting()
    assert not node.tell(paid())
    assert not find(node).is_open and find(node).effect_id == ""
    assert not node.tell(paid()), "also when it is told twice"
    node.now_ns = END_NS
    assert not node.wake(find(node))
    assert node.state.get(Compensation, LEASE_ID) is None


def test_what_somebody_else_collected_is_paid() -> None:
    node = make_awaiting()
    assert not node.tell(GONE) and not find(node).is_open
    assert not make_submitter().tell(GONE), "one that we never knew"


def test_what_a_reorganisation_brings_back_is_asked_for_by_another_transaction() -> None:
    node, first = make_collecting()
    node.tell(paid())
    (again,) = collected(node.tell(SEEN, after_s=60))
    assert find(node).is_open and again.id != first.id


def test_the_rest_of_one_that_was_paid_in_part_is_asked_for_later() -> None:
    node, first = make_collecting()
    assert not node.tell(paid(left=15))
    assert (find(node).amount, find(node).is_open, find(node).wake_at_ns) == (15, True, node.now_ns + REST_NS)
    (second,) = collected(node.wake(find(node), after_s=REST_NS / SECOND))
    assert second.id != first.id


def test_one_that_failed_is_tried_again_with_its_reason_until_it_lapses() -> None:
    node, effect = make_collecting()
    assert not node.fail(effect, "retry", "no gas")
    assert (find(node).problem, find(node).wake_at_ns) == ("no gas", node.now_ns + RETRY_NS)
    (again,) = collected(node.wake(find(node), after_s=RETRY_NS / SECOND))
    assert not node.fail(effect), "late news of the first"
    assert find(node).effect_id == again.id
    node.now_ns = END_NS - 1
    node.fail(again)
    assert find(node).wake_at_ns == END_NS
    node.wake(find(node), after_s=1)
    assert node.state.get(Compensation, LEASE_ID) is None


def test_more_that_is_noted_makes_all_of_it_wait_anew() -> None:
    node, effect = make_collecting()
    later = changes.CompensationSeen(LEASE_ID, Amount(90), AT_S + 20 * DAY_S, UNTIL_S + 20 * DAY_S)
    assert not node.tell(later)
    assert (find(node).amount, find(node).effect_id) == (90, "")
    assert not node.tell(paid()) and find(node).is_open, "the one before it"
    assert not node.fail(effect) and find(node).wake_at_ns == later.payable_at_s * SECOND + EARLY_NS


@pytest.mark.parametrize("away_s", [3600, -3600, 30 * DAY_S])
def test_an_absence_moves_no_time_of_the_chain(away_s: int) -> None:
    node = make_awaiting()
    before = find(node)
    node.tell(changes.NodeResumed(away_s * SECOND))
    assert find(node) == before


def test_one_on_contracts_that_the_node_left_is_put_away() -> None:
    node = make_awaiting()
    started = changes.NodeStarted(
        node=node.state.settings.node, separator=Hash32(b"\x09" * 32), software="test", multiaddrs=(),
        provider=None, submitter=node.state.settings.submitter,
    )  # fmt: skip
    assert node.state.settings.separator == SEPARATOR
    node.tell(started)
    assert node.state.get(Compensation, LEASE_ID) is None
