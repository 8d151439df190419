"""A daemon's part, played: control methods whose answers are written down here."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from metering.codec import encode
from metering.receipt import Receipt, SignedReceipt
from metering.resources import Resources
from metering.units import Amount, Hash32
from metering.usage import Counters, usage_of
from tests.make.documents import make_evidence
from xnode.console.present import show_documents
from xnode.control.server import Method
from xnode.control.views import (
    Candidate,
    Earning,
    EarningsView,
    Hosting,
    JobDetail,
    JobRow,
    LeaseRow,
    NodeStatus,
    OfferRow,
    OutputRow,
    PlanView,
    Prices,
    ProviderStatus,
    ReceiptRow,
    Shortfall,
    TimelineEntry,
)
from xnode.errors import ExitCode, UserError

JOB = "0x" + "c0ffee" * 10 + "abcd"
NODE = "0x" + "11" * 20
OWNER = "0x" + "22" * 20
EVIL = "\x1b[31mEU\x1b[0m"
"""A peer's text that would steer a terminal."""

BEGAN_NS = 1_700_000_000_000_000_000
RESULT = b"result\n"
LOG = b"first line\nsecond line\n"

TIMELINE = (
    TimelineEntry(BEGAN_NS, "offers", "3 offers, 2 can run it"),
    TimelineEntry(BEGAN_NS + 10**8, "choice", "the cheapest of 2 quotes"),
    TimelineEntry(BEGAN_NS + 2 * 10**8, "launch", "running"),
    TimelineEntry(BEGAN_NS + 5 * 10**9, "receipt", "receipt 1 checked, voucher signed  cost=0.01 OPENX"),
    TimelineEntry(BEGAN_NS + 6 * 10**9, "end", "the workload ended with exit code 0"),
)


def _find(params: dict[str, Any]) -> str:
    if len(params["job_id"]) < 4 or not JOB.startswith(params["job_id"]):
        raise UserError(f"no job {params['job_id']}", hint="see `xnode job ls`", code=ExitCode.NOT_FOUND)
    return JOB


async def _status(_params: dict[str, Any]) -> NodeStatus:
    ready = {"chain": "", "engine": "podman is not installed"}
    roles = ("provider", "submitter")
    return NodeStatus(1, "0.1.0", roles, NODE, "/h", BEGAN_NS, ("/ip4/127.0.0.1/tcp/4001",), 2, 31337, 3, 1, "", ready)


async def _offers(_params: dict[str, Any]) -> list[OfferRow]:
    small = Hosting(2000, 4 << 30, 10 << 30)
    large = Hosting(64_000, 512 << 30, 2 << 40, 8, "NVIDIA H200")
    cheap, dear = Prices("0.02", "0.005", "0.0001"), Prices("0.03", "0.006", "0.0001", "2.5")
    return [
        OfferRow(NODE, OWNER, 2, "us", "OPENX", large, large, dear, "25.1", latency_ms=80.2, reputation=0.991),
        OfferRow(NODE, OWNER, 1, EVIL, "OPENX", small, small, cheap, "0.061", latency_ms=1.5),
    ]


async def _plan(params: dict[str, Any]) -> PlanView:
    shortfalls = (Shortfall("offer_memory", 2, "less memory free than the job asks for", "4 GiB of 8 GiB"),)
    if "nobody" in params["job"]:
        return PlanView("hello", "OPENX", 2, (), shortfalls, OWNER, "10", "5")
    why = {"why": "compute 97 %, distance 3 %"}
    candidates = (
        Candidate(NODE, OWNER, EVIL, "0.061", "0.0102", "0.0105", why, 1.5, "8 x AMD EPYC 9654"),
        Candidate("0x" + "33" * 20, "0x" + "44" * 20, "us", "0.07", "0.012", "0.013", why, 80.0, "96 x Xeon"),
    )
    return PlanView("hello", "OPENX", 4, candidates, shortfalls, OWNER, "10", "5", ("the chain is slow",))


async def _submit(_params: dict[str, Any]) -> dict[str, str]:
    return {"job_id": JOB}


def _row() -> JobRow:
    done = BEGAN_NS + 6 * 10**9
    return JobRow(JOB, "hello", "done", "OPENX", BEGAN_NS, OWNER, "0.0042", "0.0102", 5 * 10**9, done, 0, "completed")


async def _list(_params: dict[str, Any]) -> list[JobRow]:
    return [_row()]


def _outputs() -> tuple[OutputRow, ...]:
    blob = Path(tempfile.gettempdir()) / f"xnode-played-{hashlib.sha256(RESULT).hexdigest()[:16]}"
    blob.write_bytes(RESULT)
    return (OutputRow("sub/result.txt", "0x" + hashlib.sha256(RESULT).hexdigest(), len(RESULT), str(blob)),)


async def _show(params: dict[str, Any]) -> JobDetail:
    _find(params)
    return JobDetail(
        _row(),
        "sha256:" + "ab" * 32,
        ("sh", "-c", "echo hi"),
        Hosting(1500, 512 << 20, 1 << 30),
        lease_id="0x" + "55" * 32,
        hour_price="0.061",
        vouchered="0.0042",
        receipts=1,
        outputs=_outputs(),
        timeline=TIMELINE,
    )


async def _list_outputs(params: dict[str, Any]) -> tuple[OutputRow, ...]:
    _find(params)
    return _outputs()


async def _events(params: dict[str, Any]) -> AsyncIterator[TimelineEntry]:
    _find(params)
    for entry in TIMELINE:
        yield entry


async def _logs(params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    _find(params)
    for start in range(params["offset"], len(LOG), 8):
        piece = LOG[start : start + 8]
        yield {"offset": start + len(piece), "data": base64.b64encode(piece).decode()}


RECEIPT = SignedReceipt(
    Receipt(
        Hash32(b"\x55" * 32),
        1,
        BEGAN_NS,
        5 * 10**9,
        usage_of(Counters(5 * 10**9, 10**9), Resources(1500, 512 << 20, 1 << 30)),
        Amount(4_200_000_000_000_000),
        True,
    ),
    b"\x07" * 65,
)


async def _receipts(params: dict[str, Any]) -> list[ReceiptRow]:
    _find(params)
    one, raw = RECEIPT.receipt, "0x" + encode(RECEIPT).hex()
    lease = "0x" + one.lease_id.hex()
    return [ReceiptRow(lease, 1, one.at_ns, one.running_ns, {}, "0.0042", "OPENX", True, True, raw)]


async def _evidence(_params: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
    for lease in make_evidence():
        for row in show_documents(lease):
            yield row


async def _provider(_params: dict[str, Any]) -> ProviderStatus:
    whole, free = Hosting(2000, 4 << 30, 10 << 30), Hosting(500, 3 << 30, 9 << 30)
    lease = LeaseRow(
        "0x" + "66" * 32, OWNER, "running", Hosting(1500, 1 << 30, 1 << 30), 10**10, "0.01", "0.001", "OPENX"
    )
    refusals = {"quote_capacity": 3, EVIL: 9}
    prices = Prices("0.02", "0.005")
    return ProviderStatus(
        NODE, OWNER, True, "OPENX", "eu", prices, whole, free, "100", 3, BEGAN_NS, 1, (lease,), refusals, ("be cheap",)
    )


async def _earnings(_params: dict[str, Any]) -> EarningsView:
    return EarningsView(OWNER, (Earning("OPENX", "1.5", "1.4", "1", "0.4", 3),), 2, 1)


METHODS: dict[str, Method] = {
    "node.status": _status,
    "offer.list": _offers,
    "job.plan": _plan,
    "job.submit": _submit,
    "job.list": _list,
    "job.show": _show,
    "job.wait": _show,
    "job.stop": _show,
    "job.outputs": _list_outputs,
    "job.receipts": _receipts,
    "job.evidence": _evidence,
    "job.events": _events,
    "job.logs": _logs,
    "provider.status": _provider,
    "provider.earnings": _earnings,
    "provider.evidence": _evidence,
}
