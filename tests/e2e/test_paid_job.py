"""A job is found, leased, run, metered, paid and settled by real processes, and nothing else is left of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.market import Market, check_lines, check_none_lost, read_journal
from xnode.node.changes import ClaimConfirmed

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]


def test_a_job_is_paid_for_what_it_used_and_leaves_nothing_behind(market: Market) -> None:
    offers = market.find_offers()
    assert [offer["node"] for offer in offers] == [market.provider.address]
    before, paid_before = market.read_money(), market.ledger.count_claims()
    claims_before = len(list(read_journal(market.provider, ClaimConfirmed)))
    job = market.submit(seconds=5)
    job.wait_event("launch")
    seen = {trace.split()[0] for trace in job.find_traces()}
    assert seen == {"mount", "cgroup", "process", "file", "podman"}, "what is not seen now would not be missed later"
    detail = job.wait_settled()
    job.wait_provider_settled()

    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    said = [entry["what"] for entry in detail["timeline"]]
    steps = ("submitted", "offers", "quote", "choice", "lease", "launch", "final", "exit", "output", "end")
    assert [step for step in said if step in steps and step != "final"] == [step for step in steps if step != "final"]
    # The claim and the outputs wait for no one of each other.
    assert said.count("settle") == 1 and said.index("settle") > said.index("exit")
    check_lines(job.read_log(), int(job.read_output("count.txt")))
    for output in detail["outputs"]:
        assert output["sha256"] == "0x" + hashlib.sha256(Path(output["file"]).read_bytes()).hexdigest()

    receipts = job.read_receipts()
    check_none_lost(receipts, detail["receipts"])
    assert receipts[-1]["final"]
    assert receipts[-1]["cost"] == detail["job"]["cost"] == detail["settled"]
    assert 4e9 < receipts[-1]["running_ns"] < 30e9

    market.check_moved(before, detail["job"]["cost"])
    claims = [entry.change for entry in read_journal(market.provider, ClaimConfirmed)][claims_before:]
    assert [claim.escrow_id for claim in claims if isinstance(claim, ClaimConfirmed)].count(job.escrow_id) == 1
    assert market.ledger.count_claims() == paid_before + 1
    assert job.find_traces() == []
