"""After a real job: what both sides export holds, also against the chain, and both logs show it under one id."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.localnet import Node
from tests.e2e.conftest import ROOT
from tests.e2e.market import WAIT_S, Market, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

LIFE = ["lease opened", "workload started", "lease ended", "claimed", "lease settled"]


def run_xnode(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line on this node's home."""
    command = [sys.executable, "-m", "xnode.cli.main", "--home", str(node.home.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT, check=False)


def read_log(node: Node, lease: str) -> list[dict[str, Any]]:
    """The lines of a node's log about a lease."""
    lines = [json.loads(line) for line in node.home.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("lease") == lease]


def test_documents_of_both_sides_hold_against_the_chain_and_both_logs_agree(market: Market, tmp_path: Path) -> None:
    job = market.submit(seconds=5, name="audited")
    job.wait_settled()
    job.wait_provider_settled()
    lease = "0x" + job.lease_hex
    exports = (
        (market.submitter, ("job", "receipts", job.job_id), tmp_path / "paid"),
        (market.provider, ("provider", "receipts", lease), tmp_path / "earned"),
    )
    found = []
    for node, command, folder in exports:
        done = run_xnode(node, *command, "--export", str(folder))
        assert done.returncode == 0, done.stderr
        done = run_xnode(node, "audit", str(folder), "--chain", str(market.net.manifest), "-o", "json")
        assert done.returncode == 0, done.stderr
        row = next(row for row in json.loads(done.stdout) if row["lease"] == lease)
        assert row["cost"] == row["covered"] != "0" and row["receipts"] >= 2
        assert "promised is claimed on chain" in done.stderr
        found.append((row["cost"], row["receipts"]))
    assert found[0] == found[1]

    for node in (market.submitter, market.provider):
        wait_until(lambda node=node: len(read_log(node, lease[:18])) >= len(LIFE), "the log has the whole life")  # type: ignore[misc]
        said = read_log(node, lease[:18])
        assert {line["job"] for line in said if "side" in line} == {job.job_id[:18]}
        assert sorted(line["event"] for line in said if "side" in line) == sorted(LIFE)
