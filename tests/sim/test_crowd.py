"""Many jobs at once: spread over the providers, waiting for room, and placed elsewhere where one cannot run them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.units import NANOS_PER_SECOND
from tests.make.values import TOKEN, address_of, make_resources
from tests.sim.containers import Behaviour
from tests.sim.world import World
from xnode.node.lease import EndReason
from xnode.node.records import ProviderLease

SECOND = NANOS_PER_SECOND
SMALL = make_resources(vcpu_milli=1000, memory_bytes=1 << 28, disk_bytes=1 << 28)
SECOND_SUBMITTER = 90


def make_crowd(seed: int, providers: int, places: int, submitters: tuple[int, ...] = (0,)) -> World:
    """Providers with room for so many jobs of SMALL each."""
    world = World(seed, 10_000 * TOKEN)
    capacity = make_resources(vcpu_milli=1000 * places, memory_bytes=16 << 30, disk_bytes=100 << 30)
    for number in range(1, providers + 1):
        world.add_provider(number, capacity=capacity)
    for number in submitters:
        world.add_submitter(number)
    world.run_for(1)
    return world


def break_images(world: World, number: int) -> None:
    """This provider gets no image."""
    containers = world.machines[number].containers
    find = containers.find_behaviour
    containers.find_behaviour = lambda subject: replace(find(subject), image_is_missing=True)


def served(world: World) -> Counter[bytes]:
    return Counter(world.guard.starts.values())


@pytest.mark.parametrize("seed", range(2))
def test_many_jobs_at_once_leave_no_provider_idle(seed: int) -> None:
    world = make_crowd(seed, providers=12, places=4, submitters=(0, SECOND_SUBMITTER))
    jobs = [(world.submit(number, resources=SMALL), number) for number in (0, SECOND_SUBMITTER) for _ in range(12)]
    world.run_until_settled()
    assert {world.job(job, number).end_reason for job, number in jobs} == {"completed"}
    counts = served(world)
    assert len(counts) == 12, "nobody idles"
    assert max(counts.values()) <= 4


@pytest.mark.parametrize("seed", range(2))
def test_jobs_beyond_the_room_wait_for_it(seed: int) -> None:
    world = make_crowd(seed, providers=2, places=2)
    jobs = [world.submit(resources=SMALL, behaviour=Behaviour(run_ns=30 * SECOND)) for _ in range(12)]
    world.run_until_settled()
    assert {world.job(job).end_reason for job in jobs} == {"completed"}
    waited = [world.job(job) for job in jobs if any(one.what == "waiting" for one in world.job(job).timeline)]
    assert waited, "some had to wait, and said so"
    for job in waited:
        lines = [(one.what, one.detail.partition(":")[0], one.facts) for one in job.timeline]
        assert lines.count(("waiting", "waiting for capacity", ())) == 1
        refusals = [one for one in lines if one[0] == "refusal"]
        assert len(refusals) == len(set(refusals)), "nor does anybody else repeat himself"


@given(st.integers(0, 1000), st.integers(2, 6), st.data())
@settings(max_examples=8, deadline=None)
def test_a_job_runs_once_and_is_paid_once_where_it_can_run(seed: int, providers: int, data: st.DataObject) -> None:
    world = make_crowd(seed, providers, places=3)
    broken = data.draw(st.sets(st.integers(1, providers), max_size=min(4, providers)))
    for number in broken:
        break_images(world, number)
    jobs = [world.submit(resources=SMALL) for _ in range(data.draw(st.integers(1, 6)))]
    world.run_until_settled()
    reason: EndReason = "completed" if len(broken) < providers else "image_failed"
    for job_hash in jobs:
        job = world.job(job_hash)
        assert job.end_reason == reason
        ran = [
            lease
            for number in range(1, providers + 1)
            for lease in world.leases(number)
            if isinstance(lease, ProviderLease) and lease.terms.job_hash == job_hash and lease.started_at_ns
        ]
        assert len(ran) == (1 if reason == "completed" else 0), "it runs once"
        if reason == "image_failed" and len(broken) > 1:
            assert all(address_of(number).hex()[:8] in job.end_detail for number in broken), "each one's reason is told"
    assert all(world.paid_to(number) == 0 for number in broken), "and nothing is paid for what did not run"
