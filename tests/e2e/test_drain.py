"""Maintenance of a real provider: what runs goes on over a kill or an upgrade, nothing new is taken, and the wait ends when it
has."""

from __future__ import annotations

import json

import pytest

from tests.e2e.market import Market, check_lines, wait_until
from xnode import __version__
from xnode.errors import ExitCode
from xnode.store.mark import NAME, read_mark

LASTS_S = 15

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


def test_a_drained_provider_ends_what_it_runs_and_takes_nothing_new(market: Market) -> None:
    job = market.submit(seconds=LASTS_S)
    job.wait_receipts(1)
    home = market.provider.home
    drained = market.net.run("provider", "drain", home=home)
    assert "nothing new is taken since" in drained.stderr and job.lease_hex[:8] in drained.stdout
    market.net.kill(market.provider)
    market.restart_dead()
    assert "provider resume" in market.net.run("provider", "status", home=home).stderr, "as before the kill"
    refused = market.run("job", "submit", str(market.write_job(1, "late")), "--yes", "--follow")
    assert refused.returncode in (ExitCode.NO_MATCH, ExitCode.REFUSED), refused.stderr
    assert "draining" in refused.stderr or "no offers" in refused.stderr
    waited = market.net.run("provider", "drain", "--wait", home=home)
    assert "nothing runs: this host can be stopped" in waited.stderr
    detail = job.wait_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    check_lines(job.read_log(), int(job.read_output("count.txt")))
    market.net.run("provider", "resume", home=home)
    wait_until(lambda: bool(market.submitter.control.call("offer.list")), "the offer is known again")
    assert market.submit(seconds=0.1).wait_settled()["job"]["state"] == "done"


def test_tenants_are_kept_over_an_upgrade_that_was_checked_while_they_ran(market: Market) -> None:
    job = market.submit(seconds=LASTS_S)
    job.wait_receipts(1)
    home = market.provider.home
    # As a version before marks leaves a home: what follows is what this one does on its first start there.
    (home.data / NAME).unlink()
    checked = market.net.run("upgrade", "--check", "-o", "json", home=home)
    found = {one["what"]: one for one in json.loads(checked.stdout)}
    assert "fail" not in {one["verdict"] for one in found.values()}
    assert "used this home last" in found["version"]["detail"]
    assert found["leases"]["detail"] == "1 lease as provider under way: they go on over a restart"
    assert not (home.data / NAME).exists(), "looking leaves no mark"
    market.net.kill(market.provider)
    market.restart_dead()
    assert read_mark(home.data).version == __version__
    detail = job.wait_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    check_lines(job.read_log(), int(job.read_output("count.txt")))
