"""A whole market: one paid job, and what else happens to jobs."""

from __future__ import annotations

from tests.sim.world import World


def test_a_paid_job_runs_and_everything_settles() -> None:
    world = World()
    world.add_provider()
    world.add_submitter()
    world.run_for(1)
    job_hash = world.submit()
    world.run_until_settled()
    job = world.job(job_hash)
    assert (job.status, job.end_reason, job.exit_code) == ("done", "completed", 0), world.describe()
    assert sum(world.ledger.paid.values()) > 0
