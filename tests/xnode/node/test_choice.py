"""What a search knew of the providers that are asked still counts when one of their quotes is chosen."""

from __future__ import annotations

from metering.units import Amount
from scheduler.job import job_hash_of
from scheduler.reputation import NO_REPUTATION, Reputation, next_reputation
from scheduler.score import Score
from tests.make.nodes import make_submitter_settings
from tests.make.values import (
    ENTROPY,
    NOW_NS,
    SEPARATOR,
    TOKEN,
    address_of,
    make_job,
    make_signed_offer,
    make_signed_quote,
    make_tariff,
)
from xnode.node import changes
from xnode.node.records import Candidate, NodeSettings, SubmitterJob
from xnode.node.state import State, Turn
from xnode.node.submitter.job import on_funds_read, on_job_submitted, on_quote_received
from xnode.node.submitter.seek import on_offers_ranked

JOB = make_job()
STRANGER, KNOWN = 1, 2


def choose_between(reputation: Reputation, has_image: bool = False, entropy: bytes = ENTROPY) -> SubmitterJob:
    """The job after the choice between a stranger and a node that is known so, which asks three percent more."""
    settings = NodeSettings(address_of(0), SEPARATOR, submitter=make_submitter_settings())
    turn, job_hash = Turn(State().put(settings), NOW_NS, entropy), job_hash_of(JOB)
    on_job_submitted(turn, changes.JobSubmitted("", JOB))
    candidates = (
        Candidate(make_signed_offer(STRANGER), 10**6, Score(1), ""),
        Candidate(make_signed_offer(KNOWN, region="here"), 10**6, Score(1), "", reputation, has_image),
    )
    on_offers_ranked(turn, changes.OffersRanked(job_hash, 2, candidates, ()))
    for node, price in ((STRANGER, TOKEN // 10), (KNOWN, TOKEN * 103 // 1000)):
        quote = make_signed_quote(JOB, node, tariff=make_tariff(price, egress_gb=0))
        on_quote_received(turn, changes.QuoteReceived(job_hash, address_of(node), quote))
    on_funds_read(turn, changes.FundsRead(job_hash, Amount(100 * TOKEN), Amount(100 * TOKEN)))
    job = turn.get(SubmitterJob, job_hash)
    assert job is not None and job.lease_id is not None
    return job


def chosen_of_many(reputation: Reputation) -> set[int]:
    """Who is chosen under twenty different entropies: among equals the choice is random."""
    jobs = [choose_between(reputation, entropy=bytes([number]) * 32) for number in range(20)]
    return {node for node in (STRANGER, KNOWN) for job in jobs if address_of(node) in job.tried}


def test_between_strangers_a_little_more_makes_no_difference() -> None:
    assert chosen_of_many(NO_REPUTATION) == {STRANGER, KNOWN}


def test_a_node_that_did_well_is_worth_a_little_more() -> None:
    good = NO_REPUTATION
    for _ in range(5):
        good = next_reputation(good, True, NOW_NS)
    assert chosen_of_many(good) == {KNOWN}


def test_a_node_that_failed_is_not_chosen() -> None:
    assert chosen_of_many(next_reputation(NO_REPUTATION, False, NOW_NS)) == {STRANGER}


def test_where_the_chosen_provider_is_stays_known() -> None:
    (_, asked) = choose_between(NO_REPUTATION, has_image=True).asked
    assert (asked.region, asked.has_image) == ("here", True)
