"""Quotes that do not come: who is away for a moment is asked again, who is gone does not stand in the way of others."""

from __future__ import annotations

import pytest

from metering.units import NANOS_PER_SECOND
from tests.make.values import address_of
from tests.sim.world import make_market

SECOND = NANOS_PER_SECOND


@pytest.mark.parametrize("down_s", [5, 10, 60, 300])
def test_a_provider_that_is_being_restarted_gets_the_job_when_it_is_back(down_s: int) -> None:
    world = make_market()
    world.machines[1].faults.down_ns = down_s * SECOND
    world.machines[1].crash()
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"


def test_the_dead_at_the_top_of_the_book_do_not_keep_the_job_from_the_living() -> None:
    world = make_market(providers=5)
    for number in (1, 2, 3, 4):
        world.machines[number].die()
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
    assert set(world.guard.starts.values()) == {address_of(5)}


def test_a_job_without_any_answer_ends_when_room_would_be_waited_for_no_longer_and_names_the_providers_asked() -> None:
    world = make_market()
    world.machines[1].die()
    job_hash = world.submit()
    world.run_for(590)
    assert world.job(job_hash).status != "failed" and world.job(job_hash).timeline[-1].what == "waiting"
    world.run_for(40)
    job = world.job(job_hash)
    assert (job.status, job.end_reason) == ("failed", "no_quote")
    assert address_of(1).hex()[:8] in job.end_detail


@pytest.mark.parametrize("down_s", [1, 10, 1000])
def test_a_submitter_that_was_away_while_quotes_were_asked_begins_anew(down_s: int) -> None:
    world = make_market()
    world.machines[0].faults.down_ns = down_s * SECOND
    world.machines[0].faults.crash_at.append("after_commit:OffersRanked")
    job_hash = world.submit()
    world.run_until_settled()
    assert world.job(job_hash).end_reason == "completed"
