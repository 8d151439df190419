"""Verdict: what must hold of every job once a field run is over: whole, charged for what it ran, paid once, nothing left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.e2e.ledger import Money
from tests.e2e.market import PlacedJob, check_lines, check_none_lost
from tests.field.field import Field
from xnode.text.amount import parse_amount

SLACK_S = 3.0
"""Between what a program measures of itself and its container's time: starting and leaving Python on a loaded host."""

DECIMALS = 18


def check_job(name: str, job: PlacedJob) -> int:
    """Outputs and log are whole, and the time charged is the time it ran. Gives its cost in base units."""
    detail = job.show()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0), (name, detail["job"])
    log, count = job.read_log(), int(job.read_output("count.txt"))
    check_lines(log, count)
    assert hashlib.sha256(log.encode()).hexdigest() == job.read_output("sha256.txt").decode(), name
    ran_s = float(job.read_output("ran.txt"))
    charged_s = detail["job"]["running_ns"] / 1e9
    assert ran_s - 0.1 <= charged_s <= ran_s + SLACK_S, (
        f"{name} ran for {ran_s:.1f} s and is charged for {charged_s:.1f}"
    )
    receipts = job.read_receipts()
    check_none_lost(receipts, detail["receipts"])
    assert receipts[-1]["final"], name
    return parse_amount(receipts[-1]["cost"], DECIMALS)


def check_money(field: Field, before: Money, cost: int) -> None:
    """The payer lost what the provider gained and what all receipts say, and the escrow holds what it owes."""
    after = field.read_money()
    moved = (before.free - after.free, after.payout - before.payout, before.held - after.held)
    assert moved == (cost, cost, cost), f"{moved} moved for {cost}"
    assert after.held == after.owed


def check_evidence(field: Field, folder: Path) -> None:
    """What both sides export holds, also against the chain, and says the same of every lease."""
    found: list[dict[str, tuple[str, int]]] = []
    for side, node in field.market.nodes.items():
        target = folder / side
        for job in field.jobs.values():
            words = (
                ("provider", "receipts", "0x" + job.lease_hex)
                if side == "provider"
                else ("job", "receipts", job.job_id)
            )
            field.net.run(*words, "--export", str(target), home=node.home)
        chain = ("--chain", str(field.net.manifest))
        done = field.net.run("audit", str(target), *chain, "-o", "json", home=node.home)
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        assert all(row["cost"] == row["covered"] != "0" for row in rows), rows
        found.append({row["lease"]: (row["cost"], row["receipts"]) for row in rows})
    assert found[0] == found[1]
    assert len(found[0]) == len(field.jobs)
