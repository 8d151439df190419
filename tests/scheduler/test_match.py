"""Which quote is taken, and why the others are not."""

from __future__ import annotations

from typing import Any

import pytest

from metering.sla import Promise
from metering.units import NANOS_PER_SECOND, Address, Amount
from scheduler.latency import next_latency
from scheduler.match import choose, sort_answers
from scheduler.policy import Policy, answer
from scheduler.preferences import Preferences
from scheduler.quote import QuoteBody
from tests.make.values import (
    ASSET,
    ENTROPY,
    NOW_NS,
    SEPARATOR,
    TOKEN,
    address_of,
    make_job,
    make_offer_body,
    make_resources,
    make_signed_quote,
    make_tariff,
)

JOB = make_job()


def test_the_best_quote_is_chosen_and_says_why() -> None:
    quotes = [make_signed_quote(JOB, 1, tariff=make_tariff(TOKEN, egress_gb=0)), make_signed_quote(JOB, 2)]
    choice = choose(sort_answers(quotes, JOB, SEPARATOR, NOW_NS), JOB, Preferences(), NOW_NS, ENTROPY)
    assert choice is not None and choice.quote == quotes[1]
    assert choice.reason.startswith("the best of 2 quotes: compute")
    assert [row.node for row in choice.ranking] == [address_of(2), address_of(1)]
    assert choice.ranking[0].score == choice.ranking[0].parts.total


def test_equal_quotes_are_drawn_by_the_entropy() -> None:
    answers = sort_answers([make_signed_quote(JOB, node) for node in (1, 2, 3)], JOB, SEPARATOR, NOW_NS)
    chosen = set()
    for entropy in range(40):
        choice = choose(answers, JOB, Preferences(), NOW_NS, entropy.to_bytes(16, "big"))
        assert choice is not None and "one of 3 within 5 %" in choice.reason
        chosen.add(choice.quote.quote.node)
    assert chosen == {address_of(1), address_of(2), address_of(3)}


def test_no_good_quote_is_no_choice() -> None:
    answers = sort_answers([make_signed_quote(JOB, cost_limit=Amount(9 * TOKEN))], JOB, SEPARATOR, NOW_NS)
    assert choose(answers, JOB, Preferences(), NOW_NS, ENTROPY) is None
    assert [(node, refusal.code) for node, refusal in answers.refused] == [(address_of(1), "quote_above_budget")]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("quote_wrong_job", {"job_hash": bytes(32)}),
        ("quote_wrong_job", {"submitter": address_of(5)}),
        ("quote_asset", {"asset": Address(bytes(20))}),
        ("quote_resources", {"resources": make_resources(vcpu_milli=1)}),
        ("quote_resources", {"duration_limit_ns": 599 * NANOS_PER_SECOND}),
        ("quote_above_budget", {"cost_limit": Amount(5 * TOKEN + 1)}),
        ("quote_cost_limit", {"cost_limit": Amount(1)}),
        ("quote_exposure_limit", {"exposure_limit": Amount(1)}),
        ("quote_exposure_limit", {"exposure_limit": Amount(TOKEN)}),
        ("quote_network_price", {"tariff": make_tariff()}),
    ],
)
def test_each_wrong_quote_is_refused_with_its_reason(code: str, body: dict[str, Any]) -> None:
    answers = sort_answers([make_signed_quote(JOB, **body), make_signed_quote(JOB, 2)], JOB, SEPARATOR, NOW_NS)
    assert [refusal.code for _, refusal in answers.refused] == [code]
    assert [signed.quote.node for signed in answers.good] == [address_of(2)]


def test_late_dear_and_unpromising_quotes_are_refused() -> None:
    quote = make_signed_quote(JOB)
    ((_, refusal),) = sort_answers([quote], JOB, SEPARATOR, quote.quote.expires_at_ns).refused
    assert refusal.code == "quote_expired"
    careful = make_job(bid=make_tariff(1))
    ((_, refusal),) = sort_answers([make_signed_quote(careful)], careful, SEPARATOR, NOW_NS).refused
    assert refusal.code == "quote_above_bid"
    picky = make_job(min_availability_ppm=990_000)
    good, bad = (
        make_signed_quote(picky, promise=Promise(990_000, 1)),
        make_signed_quote(picky, 2, promise=Promise(990_000)),
    )
    answers = sort_answers([good, bad], picky, SEPARATOR, NOW_NS)
    assert answers.good == (good,) and [one.code for _, one in answers.refused] == ["quote_availability"]


def test_only_a_nodes_last_word_counts() -> None:
    first, last = make_signed_quote(JOB, number=1), make_signed_quote(JOB, number=2, cost_limit=Amount(6 * TOKEN))
    answers = sort_answers([last, first], JOB, SEPARATOR, NOW_NS)
    assert answers.good == () and len(answers.refused) == 1


def test_what_a_policy_quotes_is_what_a_submitter_accepts() -> None:
    offered = make_offer_body()
    promise = Promise(990_000, 100_000)
    policy = Policy(asset=ASSET, tariff=make_tariff(), region="eu-west", allows_network=True, promise=promise)
    for job in (JOB, make_job(network=True, network_bytes=10**9), make_job(min_availability_ppm=990_000)):
        body = answer(job, offered.free, policy, NOW_NS)
        assert isinstance(body, QuoteBody)
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        answers = sort_answers([make_signed_quote(job, **fields)], job, SEPARATOR, NOW_NS)
        assert answers.refused == ()
        near = Preferences(latencies={address_of(1): next_latency(None, 1_500, NOW_NS)})
        choice = choose(answers, job, near, NOW_NS, ENTROPY)
        assert choice is not None and choice.reason.endswith("round trip 1.5 ms")
