"""The provider's answers to claims of silence, one step at a time: which receipt is shown, when, and that none is shown twice."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from metering.receipt import Receipt
from metering.units import Amount, Hash32
from metering.usage import Counters
from tests.make.records import (
    LEASE_ID,
    SECOND,
    TERMS,
    Node,
    make_issued,
    make_provider,
    make_provider_escrow,
    make_provider_lease,
    make_receipt,
    make_running_lease,
)
from tests.make.values import NOW_NS, SEPARATOR, address_of
from xnode.node import changes, effects
from xnode.node.provider.silence import ANSWER_LEAST_WEI, LATE_NS, OTHER_KEY, RETRY_NS
from xnode.node.records import ProviderLease, SilenceClaim
from xnode.node.state import make_state

DAY_S = 86_400
NOW_S = NOW_NS // SECOND
UNTIL_S = NOW_S + DAY_S
ONLY_THE_LAST = (1 << 64) - 1
EXITED = changes.WorkloadExited(LEASE_ID, Counters(30 * SECOND, 10 * SECOND), 0, False, False)


def make_claim(known: Receipt, late_s: float = 0, **fields: Any) -> changes.SilenceSeen:
    """The chain holds a claim that nothing came after this receipt. late_s: from now."""
    late_ns = NOW_NS + int(late_s * SECOND)
    return replace(changes.SilenceSeen(LEASE_ID, known, address_of(1), known.number, late_ns, UNTIL_S), **fields)


GONE = changes.SilenceSeen(LEASE_ID, make_receipt(1), address_of(1))
"""The chain holds no claim."""


def shown(found: list[effects.Effect]) -> list[effects.ShowReceipt]:
    return [one for one in found if isinstance(one, effects.ShowReceipt)]


def receipts_of(found: list[effects.Effect]) -> list[Receipt]:
    return [one.receipt for one in shown(found)]


def find_claim(node: Node) -> SilenceClaim:
    claim = node.state.get(SilenceClaim, LEASE_ID)
    assert claim is not None
    return claim


def make_serving(last: Receipt, **fields: Any) -> Node:
    """A node that serves the lease and has issued this receipt."""
    return make_provider(make_running_lease(last=last, issued=make_issued(last), **fields), make_provider_escrow())


def make_ended(last: Receipt) -> Node:
    """A node whose lease ended with this receipt."""
    return make_provider(make_provider_lease(status="settled", last=last, ended_at_ns=NOW_NS, removed=True))


def answered(effect: effects.ShowReceipt) -> changes.SilenceAnswered:
    return changes.SilenceAnswered(LEASE_ID, effect.answer_until_s, Hash32(bytes(32)), 90_000)


def read_usage(node: Node, running_s: int) -> list[effects.Effect]:
    return node.tell(changes.UsageRead(LEASE_ID, Counters(running_s * SECOND, running_s * SECOND // 4)))


# --------------------------------------------------------------------------------------------------------- which receipt


def test_a_running_lease_answers_at_once_with_its_newest_receipt() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    (effect,) = shown(node.tell(make_claim(known, late_s=8)))
    assert (effect.receipt, effect.answer_until_s) == (newest, UNTIL_S)


def test_one_whose_newest_receipt_is_too_old_answers_with_its_next_one_and_no_other() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    assert not shown(node.tell(make_claim(known, late_s=20)))
    node.now_ns = NOW_NS + 15 * SECOND
    assert not shown(read_usage(node, 15))
    node.now_ns = NOW_NS + 20 * SECOND
    (receipt,) = receipts_of(read_usage(node, 20))
    assert receipt.at_ns == NOW_NS + 20 * SECOND and receipt.number > newest.number
    node.now_ns = NOW_NS + 25 * SECOND
    assert not shown(read_usage(node, 25))


def test_a_claim_that_another_receipt_took_the_place_of_waits_for_the_same_answer() -> None:
    first, known, newest = make_receipt(1), make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    assert not shown(node.tell(make_claim(first, late_s=20)))
    assert not shown(node.tell(make_claim(known, late_s=20)))
    assert find_claim(node).number == known.number
    node.now_ns = NOW_NS + 20 * SECOND
    (effect,) = shown(read_usage(node, 20))
    node.tell(make_claim(newest, late_s=20))
    assert find_claim(node).effect_id == effect.id, "what is under way goes on"
    node.tell(answered(effect))
    assert find_claim(node).is_answered


def test_a_lease_that_has_ended_answers_with_its_last_one_however_old() -> None:
    known, last = make_receipt(5), make_receipt(10, final=True)
    node = make_ended(last)
    assert receipts_of(node.tell(make_claim(known, late_s=3600))) == [last]


def test_after_the_time_limit_only_the_last_one_answers() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    claim = make_claim(known, late_ns=ONLY_THE_LAST)
    assert not shown(node.tell(claim))
    node.now_ns = NOW_NS + 20 * SECOND
    assert not shown(read_usage(node, 20))
    node.now_ns = NOW_NS + 30 * SECOND
    (receipt,) = receipts_of(node.tell(EXITED))
    assert receipt.final


def test_a_lease_that_has_left_memory_answers_with_the_receipt_that_was_put_away() -> None:
    known, last = make_receipt(5), make_receipt(10, final=True)
    node = make_provider()
    assert receipts_of(node.tell(make_claim(known, last=last))) == [last]


def test_one_that_leaves_memory_while_its_claim_waits_is_not_forgotten() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    node.tell(make_claim(known, late_ns=ONLY_THE_LAST))
    node.now_ns = NOW_NS + 30 * SECOND
    (effect,) = shown(node.tell(EXITED))
    node.state = make_state(one for one in node.state.records() if not isinstance(one, ProviderLease))
    node.fail(effect, "reverted", "no gas")
    assert receipts_of(node.wake(find_claim(node), RETRY_NS / SECOND)) == [effect.receipt]


@pytest.mark.parametrize("number", [0, 1])
def test_the_receipt_that_the_claim_names_and_older_ones_answer_nothing(number: int) -> None:
    newest = make_receipt(10)
    node = make_serving(newest)
    assert not shown(node.tell(make_claim(newest, number=newest.number + number)))


def test_what_another_node_key_signed_is_not_signed_anew_and_a_person_is_told() -> None:
    node = make_ended(make_receipt(10, final=True))
    assert not shown(node.tell(make_claim(make_receipt(5), node=address_of(9))))
    assert find_claim(node).problem == OTHER_KEY


# ------------------------------------------------------------------------------------------------------------------ once


def test_a_claim_that_is_seen_again_is_answered_once() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    assert len(shown(node.tell(make_claim(known)))) == 1
    assert not shown(node.tell(make_claim(known)))
    node.now_ns = NOW_NS + 15 * SECOND
    assert not shown(read_usage(node, 15))


def test_what_is_answered_by_us_or_anybody_else_is_not_answered_again() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    for of_us in (True, False):
        node = make_serving(newest)
        (effect,) = shown(node.tell(make_claim(known)))
        node.tell(answered(effect) if of_us else GONE)
        assert find_claim(node).is_answered and not find_claim(node).is_open
        node.now_ns = NOW_NS + 15 * SECOND
        assert not shown(read_usage(node, 15))
        assert not shown(node.tell(GONE))


def test_a_claim_that_somebody_answered_before_its_receipt_came_waits_for_none() -> None:
    node = make_serving(make_receipt(10))
    node.tell(make_claim(make_receipt(5), late_s=20))
    node.tell(GONE)
    node.now_ns = NOW_NS + 20 * SECOND
    assert not shown(read_usage(node, 20))


def test_an_answer_that_a_reorganisation_undid_is_given_again_as_another_transaction() -> None:
    known, newest = make_receipt(5), make_receipt(10)
    node = make_serving(newest)
    (first,) = shown(node.tell(make_claim(known)))
    node.tell(answered(first), 1)
    (second,) = shown(node.tell(make_claim(known), 1))
    assert second.receipt == newest and second.id != first.id


def test_the_next_claim_about_a_lease_is_another_one() -> None:
    node = make_serving(make_receipt(10))
    (first,) = shown(node.tell(make_claim(make_receipt(5))))
    node.tell(answered(first), 1)
    later = make_claim(make_receipt(10), answer_until_s=UNTIL_S + 3600)
    assert not shown(node.tell(later, 1))
    node.now_ns = NOW_NS + 15 * SECOND
    (second,) = shown(read_usage(node, 15))
    assert (second.answer_until_s, second.id != first.id) == (UNTIL_S + 3600, True)
    node.tell(answered(first))
    assert find_claim(node).is_open, "the answer to the first claim is none to the second"


# --------------------------------------------------------------------------------------------------------------- in time


def test_an_answer_that_fails_is_tried_again_with_what_is_newest_then() -> None:
    node = make_serving(make_receipt(10))
    (first,) = shown(node.tell(make_claim(make_receipt(5))))
    node.fail(first, "reverted", "the contract refused it")
    assert find_claim(node).problem == "the contract refused it"
    node.now_ns = NOW_NS + 15 * SECOND
    (second,) = shown(read_usage(node, 15))
    assert second.id != first.id and second.receipt.number > first.receipt.number
    node.fail(second, "reverted", "again")
    node.fail(first, "reverted", "late news of the first")
    assert find_claim(node).problem == "again"
    (third,) = shown(node.wake(find_claim(node), RETRY_NS / SECOND))
    assert third.receipt == second.receipt
    node.tell(answered(third))
    assert find_claim(node).problem == ""


def test_it_is_tried_until_the_chain_can_take_it_no_more_and_then_put_away() -> None:
    node = make_ended(make_receipt(10, final=True))
    (effect,) = shown(node.tell(make_claim(make_receipt(5))))
    end_ns = UNTIL_S * SECOND + LATE_NS
    assert effect.deadline_ns == end_ns
    node.now_ns = end_ns
    node.fail(effect, "deadline", "no gas")
    claim = find_claim(node)
    assert claim.wake_at_ns == end_ns
    assert not node.wake(claim)
    assert node.state.get(SilenceClaim, LEASE_ID) is None


def test_one_that_is_answered_stays_until_no_reorganisation_can_bring_it_back() -> None:
    node = make_ended(make_receipt(10, final=True))
    (effect,) = shown(node.tell(make_claim(make_receipt(5))))
    node.tell(answered(effect))
    claim = find_claim(node)
    assert claim.wake_at_ns == UNTIL_S * SECOND + LATE_NS
    node.now_ns = claim.wake_at_ns
    node.wake(claim)
    assert node.state.get(SilenceClaim, LEASE_ID) is None


def test_a_claim_that_is_gone_after_its_time_counts_as_settled_and_not_as_answered() -> None:
    node = make_serving(make_receipt(10))
    node.tell(make_claim(make_receipt(5), late_s=20))
    node.now_ns = (UNTIL_S + 1) * SECOND
    node.tell(GONE)
    assert not find_claim(node).is_answered


def test_a_claim_that_is_found_too_late_is_left_alone() -> None:
    node = make_ended(make_receipt(10, final=True))
    node.now_ns = UNTIL_S * SECOND + LATE_NS
    assert not node.tell(make_claim(make_receipt(5)))
    assert node.state.get(SilenceClaim, LEASE_ID) is None


def test_claims_stay_on_the_contracts_that_they_were_made_on() -> None:
    node = make_ended(make_receipt(10, final=True))
    node.tell(make_claim(make_receipt(5)))
    settings = node.state.settings
    other = Hash32(bytes(reversed(SEPARATOR)))
    node.tell(changes.NodeStarted(settings.node, other, "test", (), settings.provider, settings.submitter))
    assert node.state.get(SilenceClaim, LEASE_ID) is None


def test_the_contracts_rule_is_ours() -> None:
    node = make_ended(make_receipt(10, final=True))
    node.tell(make_claim(make_receipt(5), late_s=8))
    claim, running = find_claim(node), make_receipt(10)
    assert claim.is_answered_by(running)
    assert claim.is_answered_by(replace(running, at_ns=claim.late_ns))
    assert not claim.is_answered_by(replace(running, at_ns=claim.late_ns - 1))
    assert claim.is_answered_by(replace(running, at_ns=claim.late_ns - 1, final=True))
    assert not claim.is_answered_by(replace(running, number=claim.number, final=True))


def test_an_answer_may_cost_what_is_at_stake_in_its_lease_and_not_what_others_bid() -> None:
    last = make_receipt(40)
    for cost, refund_ppm, most_wei in (
        (1, 1_000_000, ANSWER_LEAST_WEI),
        (8 * ANSWER_LEAST_WEI, 250_000, 2 * ANSWER_LEAST_WEI),
        (8 * ANSWER_LEAST_WEI, 1_000_000, 8 * ANSWER_LEAST_WEI),
    ):
        dear = replace(last, cost=Amount(cost))
        node = make_serving(dear, terms=replace(TERMS, availability_ppm=1, refund_ppm=refund_ppm))
        (effect,) = shown(node.tell(make_claim(make_receipt(1), late_s=-1)))
        assert effect.most_wei == most_wei
