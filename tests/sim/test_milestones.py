"""What both sides of a lease say of it in their logs: the same ids, each milestone once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from metering.units import NANOS_PER_SECOND, Hash32
from tests.sim.containers import Behaviour
from tests.sim.world import make_market
from xnode.logs import log_id_of
from xnode.milestones import log_milestones
from xnode.node import effects
from xnode.node.records import ProviderLease
from xnode.node.subject import subject_of

Lines = list[dict[str, Any]]

LIFE = ("lease opened", "workload started", "lease ended", "claimed", "lease settled")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Every line that is logged from here on, at every level."""
    root, caught = logging.getLogger(), structlog.testing.LogCapture()
    before, level = structlog.get_config(), root.level
    root.setLevel(logging.DEBUG)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, caught],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    yield caught.entries  # type: ignore[misc]
    structlog.configure(**before)
    root.setLevel(level)


def pick(lines: Lines, **wanted: Any) -> Lines:
    return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]


def test_both_sides_log_each_milestone_once_under_one_job_and_lease(lines: Lines) -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    world.run_until_settled()
    (lease,) = world.leases(1)
    ids = {"job": log_id_of(job_hash), "lease": log_id_of(lease.lease_id)}
    for side in ("provider", "submitter"):
        said = Counter(line["event"] for line in pick(lines, side=side, **ids))
        assert said == Counter(LIFE), side
    assert [line["reason"] for line in pick(lines, event="lease ended")] == ["completed", "completed"]
    assert pick(lines, event="job ended", status="done", job=ids["job"])
    assert {line["job"] for line in lines if "job" in line} == {ids["job"]}


def test_receipts_and_vouchers_are_counted_at_debug_only(lines: Lines) -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    world.run_until_settled()
    counted = [line for line in lines if line["event"] in ("receipts", "voucher")]
    assert counted and {line["log_level"] for line in counted} == {"debug"}
    assert all(line["job"] and line["lease"] for line in counted)


def test_a_restart_says_no_milestone_again(lines: Lines) -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    world.wait_running()
    world.machines[1].crash()
    world.machines[0].crash()
    world.run_until_settled()
    for event in LIFE:
        assert len(pick(lines, event=event)) == 2, event


def test_two_jobs_on_one_escrow_keep_their_own_ids(lines: Lines) -> None:
    world = make_market()
    jobs = {log_id_of(world.submit()) for _ in range(2)}
    world.run_until_settled()
    for event in LIFE:
        assert {line["job"] for line in pick(lines, event=event, side="provider")} == jobs, event


def test_an_effect_that_knows_only_its_lease_or_escrow_is_about_that_lease_and_its_job() -> None:
    world = make_market()
    job_hash = world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    lease: ProviderLease = world.wait_running()
    loop = world.machines[1].loop
    assert loop is not None
    watch = effects.WatchWorkload(lease.lease_id, "watch", "watch")
    claim = effects.Claim(lease.terms.escrow_id, lease.escrow, None, True, "claim")
    news = effects.PushNews(
        lease.terms.submitter,
        (),
        effects.LeaseReport(lease.lease_id, "running", None, "", None, None),
        "news",
        "news",
        0,
    )
    for effect in (watch, claim, news):
        found = subject_of(loop.state, effect)
        assert (found.job_hash, found.lease_id) == (job_hash, lease.lease_id), type(effect)
    unknown = subject_of(loop.state, effects.WatchWorkload(Hash32(b"\x01" * 32), "watch", "watch"))
    assert unknown.job_hash is None
    world.run_until_settled()


def test_a_record_that_is_written_again_unchanged_says_nothing(lines: Lines) -> None:
    world = make_market()
    world.submit(behaviour=Behaviour(run_ns=20 * NANOS_PER_SECOND))
    world.run_until_settled()
    lines.clear()
    for machine in world.machines.values():
        assert machine.loop is not None
        log_milestones(machine.loop.state, machine.loop.state.records())
    assert lines == []
