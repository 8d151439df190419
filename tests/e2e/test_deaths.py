"""kill -9 of either daemon at the named points of a job's flow: started again, the job ends, is paid once, loses nothing.

By default the points where most is at stake; E2E=all takes every one (make test-deaths).
"""

from __future__ import annotations

import os
import typing
from contextlib import suppress

import pytest

from examples.localnet import Node
from tests.e2e.ledger import Money
from tests.e2e.market import WAIT_S, Market, PlacedJob, check_lines, check_none_lost, die_at
from xnode.errors import UserError
from xnode.node.changes import Change
from xnode.node.effects import DurableEffect

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

PROVIDER_CHANGES = (
    "NodeStarted", "QuoteRequested", "LeaseRequested", "FundingRead", "OpeningConfirmed", "InputsReady",
    "WorkloadStarted", "Woke", "UsageRead", "VoucherReceived", "WorkloadExited", "OutputsCollected", "WorkloadRemoved",
    "EffectDone", "EscrowSeen", "ClaimConfirmed",
)  # fmt: skip
PROVIDER_DEEDS = (
    "AnnounceOffer", "ReadFunding", "OpenEscrow", "FetchInputs", "StartWorkload", "WatchWorkload", "ReadUsage",
    "PushReceipts", "CollectOutputs", "RemoveWorkload", "PushNews", "Claim",
)  # fmt: skip
SUBMITTER_CHANGES = (
    "NodeStarted", "JobSubmitted", "OffersRanked", "QuoteReceived", "FundsRead", "LeaseAccepted", "LeaseNews",
    "ReceiptsReceived", "OutputsFetched", "EscrowSeen",
)  # fmt: skip
SUBMITTER_DEEDS = ("SearchOffers", "RequestQuote", "ReadFunds", "RequestLease", "FetchOutputs")

STOPPED = (
    ("submitter", "JobStopRequested", "commit"), ("submitter", "AskLease", "effect"),
    ("provider", "LeaseStopRequested", "commit"), ("provider", "StopWorkload", "effect"),
)  # fmt: skip
"""Reached when the submitter stops its job."""

ELSEWHERE = {
    "EffectFailed", "PricesSet", "SettingsChanged", "CapacityVerified", "AddressesChanged", "QuoteDropped", "DropQuote",
    "LeaseAsked", "StartThaw", "ThawStarted", "CloseEscrow", "EscrowClosed", "ChainSeen", "NodeResumed", "OutputsRefetched",
    "DrainSet", "WithdrawOffer", "DiskSeen", "GpusSeen", "GpuLost", "SilenceSeen", "SilenceAnswered", "ShowReceipt",
    "CompensationSeen", "CompensationCollected", "CollectCompensation",
}  # fmt: skip
"""Not part of the flow of one job that goes well; the simulation dies there, or a test of its own (test_silence.py,
tests/xnode/chain/test_compensations.py)."""

DECISIVE = (
    ("submitter", "after_commit:JobSubmitted"),
    ("submitter", "after_effect:RequestLease"),
    ("submitter", "after_commit:ReceiptsReceived"),
    ("submitter", "after_effect:FetchOutputs"),
    ("provider", "after_commit:LeaseRequested"),
    ("provider", "after_effect:StartWorkload"),
    ("provider", "before_commit:VoucherReceived"),
    ("provider", "after_effect:CollectOutputs"),
    ("provider", "after_effect:Claim"),
)


def list_points() -> list[tuple[str, str]]:
    """(who, point) for every point of a job that goes well."""
    kinds = (
        ("submitter", "commit", SUBMITTER_CHANGES), ("submitter", "effect", SUBMITTER_DEEDS),
        ("provider", "commit", PROVIDER_CHANGES), ("provider", "effect", PROVIDER_DEEDS),
    )  # fmt: skip
    return [
        (who, f"{when}_{where}:{kind}") for who, where, names in kinds for kind in names for when in ("before", "after")
    ]


POINTS = list_points() if os.environ.get("E2E") == "all" else list(DECISIVE)
STOP_POINTS = [(who, f"{when}_{where}:{kind}") for who, kind, where in STOPPED for when in ("before", "after")]


def test_the_points_are_those_of_every_change_and_every_effect() -> None:
    named = {point.partition(":")[2] for _, point in [*list_points(), *STOP_POINTS]}
    assert set(DECISIVE) <= set(list_points())
    assert named | ELSEWHERE == {kind.__name__ for kind in (*typing.get_args(Change), *typing.get_args(DurableEffect))}


@pytest.mark.parametrize(("who", "point"), POINTS, ids=[f"{who}-{point}" for who, point in POINTS])
def test_a_job_survives_a_death(market: Market, who: str, point: str) -> None:
    claims, money = market.ledger.count_claims(), market.read_money()
    victim = market.nodes[who]
    if point.endswith("NodeStarted"):
        job = market.submit(seconds=4)
        job.wait_event("launch")
        market.net.kill(victim)
        die_at_start(market, victim, point)
    else:
        job = submit_over_death(market, victim, point)
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert (detail["job"]["state"], detail["job"]["exit_code"]) == ("done", 0)
    check_lines(job.read_log(), int(job.read_output("count.txt")))
    check_paid_once(market, job, claims, money)


@pytest.mark.skipif(os.environ.get("E2E") != "all", reason="E2E=all, as make test-deaths sets it, takes every point")
@pytest.mark.parametrize(("who", "point"), STOP_POINTS, ids=[f"{who}-{point}" for who, point in STOP_POINTS])
def test_a_stopped_job_survives_a_death(market: Market, who: str, point: str) -> None:
    claims, money = market.ledger.count_claims(), market.read_money()
    victim = market.nodes[who]
    job = market.submit(seconds=60)
    job.wait_receipts(1)
    with market.dying(victim, point):
        ask_stop(job)
    if not job.show()["job"]["ended_at_ns"]:
        ask_stop(job)
    detail = job.wait_settled()
    job.wait_provider_settled()
    assert detail["job"]["state"] == "stopped"
    check_paid_once(market, job, claims, money)


def submit_over_death(market: Market, victim: Node, point: str) -> PlacedJob:
    """Submit as a person would whose daemon may die meanwhile: see whether the job was accepted, else submit again."""
    known = {row["job_id"] for row in market.submitter.control.call("job.list", {"limit": 1000})["rows"]}
    with market.dying(victim, point), suppress(UserError):
        return market.submit(seconds=4)
    taken = [
        row["job_id"]
        for row in market.submitter.control.call("job.list", {"limit": 1000})["rows"]
        if row["job_id"] not in known
    ]
    return PlacedJob(market, taken[0]) if taken else market.submit(seconds=4)


def die_at_start(market: Market, victim: Node, point: str) -> None:
    """Start it, let that kill it, and start it again."""
    market.arm(victim, point)
    with suppress(UserError):
        market.net.start(victim, **die_at(victim))
    assert victim.process is not None
    victim.process.wait(WAIT_S)
    assert not market.is_armed(victim)
    market.restart_dead()


def ask_stop(job: PlacedJob) -> None:
    """Ask for the job's end; the daemon may die meanwhile."""
    with suppress(UserError):
        job.market.submitter.control.call("job.stop", {"job_id": job.job_id})


def check_paid_once(market: Market, job: PlacedJob, claims: int, before: Money) -> None:
    """No receipt is lost, one claim was paid, and the payer lost what the provider gained."""
    receipts = job.read_receipts()
    check_none_lost(receipts, job.show()["receipts"])
    assert receipts[-1]["final"]
    assert market.ledger.count_claims() == claims + 1
    market.check_moved(before, receipts[-1]["cost"])
