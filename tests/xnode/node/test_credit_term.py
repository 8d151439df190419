"""The credit term: which leases a provider with credits outstanding takes, one step at a time."""

from __future__ import annotations

import pytest

from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND
from tests.make.records import Node, make_provider
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_job, make_resources
from tests.xnode.node.test_provider_lease import make_request
from xnode.node import changes, effects
from xnode.node.credit_term import NO_TERM, CreditTerm, check_credit_term

SECOND = NANOS_PER_SECOND
NOW_S = NOW_NS // SECOND
LASTS_S = make_job().duration_limit_ns // SECOND


def told(term: CreditTerm) -> Node:
    node = make_provider()
    node.tell(changes.CapacityVerified(vcpus=8, gpus=0, term=term))
    return node


def answer_of(term: CreditTerm) -> effects.Effect:
    return told(term).tell(changes.QuoteRequested("ask", address_of(0), make_job()))[-1]


@pytest.mark.parametrize(
    ("term", "room_s"),
    [
        (CreditTerm(cpu_end_by_s=NOW_S + LASTS_S - 1), LASTS_S - 1),
        (CreditTerm(cpu_end_by_s=NOW_S + 10 * LASTS_S, longest_s=LASTS_S - 1), LASTS_S - 1),
        (CreditTerm(cpu_end_by_s=NOW_S - 1), 0),
    ],
    ids=["the grace ends before", "a check it fails ends the capacity before", "no time is left"],
)
def test_a_job_that_leaves_no_time_to_be_verified_again_is_refused_with_the_time(term: CreditTerm, room_s: int) -> None:
    reply = answer_of(term)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "needs_check"
    assert f"verified again in {say_duration(room_s * SECOND)};" in reply.refusal.detail
    assert f"may take {say_duration(LASTS_S * SECOND)}" in reply.refusal.detail


@pytest.mark.parametrize(
    "term",
    [
        NO_TERM,
        CreditTerm(cpu_end_by_s=NOW_S + LASTS_S),
        CreditTerm(cpu_end_by_s=NOW_S + LASTS_S, longest_s=LASTS_S),
        CreditTerm(gpu_end_by_s=NOW_S + 1),
        CreditTerm(longest_s=1),
    ],
    ids=["no credits", "in time", "in time for a check", "credits of a kind that it does not use", "none outstanding"],
)
def test_a_job_that_ends_in_time_is_quoted(term: CreditTerm) -> None:
    assert isinstance(answer_of(term), effects.ReplyQuote)


def test_a_lease_of_gpus_is_held_to_both_kinds() -> None:
    gpus = make_resources(vcpu_milli=1000, gpus=1, gpu_model="H200")
    for term in (
        CreditTerm(gpu_end_by_s=NOW_S + 9),
        CreditTerm(NOW_S + 9, NOW_S + 99),
        CreditTerm(NOW_S + 99, NOW_S + 9),
    ):
        assert check_credit_term(term, gpus, 9 * SECOND, NOW_NS) is None
        assert check_credit_term(term, gpus, 10 * SECOND, NOW_NS) is not None


def test_credits_that_were_minted_after_a_quote_count_for_its_lease() -> None:
    node = make_provider()
    request = make_request(node)
    node.tell(changes.CapacityVerified(vcpus=8, gpus=0, term=CreditTerm(cpu_end_by_s=NOW_S + 1)))
    (reply,) = node.tell(request)
    assert isinstance(reply, effects.ReplyRefusal) and reply.refusal.code == "needs_check"


def test_a_restart_forgets_neither_the_term_nor_the_doubt() -> None:
    node = make_provider()
    fresh = node.state.settings.provider
    term = CreditTerm(cpu_end_by_s=NOW_S + 1)
    node.tell(changes.CapacityVerified(vcpus=8, gpus=0, term=term, in_doubt_until_s=NOW_S + 5))
    settings = node.state.settings
    node.tell(changes.NodeStarted(settings.node, SEPARATOR, "test", ("/memory/1",), fresh, None))
    provider = node.state.settings.provider
    assert provider is not None and (provider.term, provider.in_doubt_until_s) == (term, NOW_S + 5)


@pytest.mark.parametrize(
    ("term", "room_s"),
    [
        (NO_TERM, None),
        (CreditTerm(gpu_end_by_s=NOW_S + LASTS_S), None),
        (CreditTerm(cpu_end_by_s=NOW_S + LASTS_S), LASTS_S),
        (CreditTerm(cpu_end_by_s=NOW_S + 10 * LASTS_S, longest_s=LASTS_S - 1), LASTS_S - 1),
        (CreditTerm(cpu_end_by_s=NOW_S - 1), 0),
    ],
    ids=["no credits", "of GPUs, which not every job has", "an end", "a check it fails", "no time is left"],
)
def test_an_offer_says_how_long_a_job_may_take_and_no_job_within_it_needs_a_check(
    term: CreditTerm, room_s: int | None
) -> None:
    node = make_provider()
    provider = node.state.settings.provider
    assert provider is not None
    made = node.tell(changes.CapacityVerified(vcpus=8, gpus=0, term=term))
    offers = [one.offer.body for one in made if isinstance(one, effects.AnnounceOffer)]
    if room_s is None:
        assert all(one.max_duration_ns == provider.max_duration_ns for one in offers)
        return
    (body,) = offers
    assert body.max_duration_ns == room_s * SECOND
    assert not room_s or check_credit_term(term, make_resources(), body.max_duration_ns, NOW_NS) is None
    made = node.tell(changes.CapacityVerified(vcpus=8, gpus=0))
    (again,) = (one.offer.body for one in made if isinstance(one, effects.AnnounceOffer))
    assert again.max_duration_ns == provider.max_duration_ns, "and says at once when there is more time"
