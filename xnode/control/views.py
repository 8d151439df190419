"""Views: what the daemon's control methods return, for people and programs.

Hashes and addresses are 0x hex. Money is a decimal string in the asset named beside it ("0.0125", exact). Times are
nanoseconds UTC, None until they have happened.
"""

from __future__ import annotations

import msgspec


class Hosting(msgspec.Struct, frozen=True):
    """Resources as a view: see metering.resources."""

    vcpu_milli: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpus: int = 0
    gpu_model: str = ""


class Prices(msgspec.Struct, frozen=True):
    """A tariff as a view: decimal strings in the asset."""

    vcpu_hour: str = "0"
    memory_gib_hour: str = "0"
    disk_gib_hour: str = "0"
    gpu_hour: str = "0"
    ingress_gb: str = "0"
    egress_gb: str = "0"


class NodeStatus(msgspec.Struct, frozen=True):
    """node.status. roles: of "provider", "submitter"; ready: reason by dependency, "" when it is well."""

    pid: int
    version: str
    roles: tuple[str, ...]
    node: str
    home: str
    started_at_ns: int
    multiaddrs: tuple[str, ...] = ()
    peers: int = 0
    chain_id: int = 0
    offers: int = 0
    leases: int = 0
    http: str = ""
    ready: dict[str, str] = {}


class OfferRow(msgspec.Struct, frozen=True):
    """offer.list. hour_price: one fully used hour of all that is free; reputation: lower bound of the chance that a
    lease ends well; promise: of availability, "99 %, or 10 % back"."""

    node: str
    provider: str
    number: int
    region: str
    asset: str
    free: Hosting
    capacity: Hosting
    prices: Prices
    hour_price: str = ""
    allows_network: bool = False
    promise: str = ""
    runtime: str = ""
    cpu_model: str = ""
    latency_ms: float | None = None
    reputation: float | None = None
    stake: str = "0"
    expires_at_ns: int = 0


class TimelineEntry(msgspec.Struct, frozen=True):
    """One thing that happened to a job. `what` is a stable word (offers, quote, choice, lease, launch, receipt,
    voucher, output, settle, end, ...); `detail` is one line for people."""

    at_ns: int
    what: str
    detail: str


class JobRow(msgspec.Struct, frozen=True):
    """job.list. state: of the submitter's lease table; reason: why it ended, or why it waits."""

    job_id: str
    name: str
    state: str
    asset: str
    created_at_ns: int
    provider: str = ""
    cost: str = "0"
    cost_limit: str = "0"
    running_ns: int = 0
    ended_at_ns: int | None = None
    exit_code: int | None = None
    reason: str = ""


class OutputRow(msgspec.Struct, frozen=True):
    """job.outputs. file: the local blob's path, "" until it has been fetched."""

    path: str
    sha256: str
    size: int
    file: str = ""


class JobDetail(msgspec.Struct, frozen=True):
    """job.show, job.wait, job.stop. refund: what the provider owes back by its promise, for `xnode pay refund`."""

    job: JobRow
    image: str
    command: tuple[str, ...]
    resources: Hosting
    lease_id: str = ""
    escrow_id: str = ""
    node: str = ""
    region: str = ""
    hour_price: str = ""
    vouchered: str = "0"
    settled: str = "0"
    receipts: int = 0
    promise: str = ""
    refund: str = "0"
    outputs: tuple[OutputRow, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """An offer that can run the job. score: what ranks it (lower is better) in the asset; parts: its addends."""

    node: str
    provider: str
    region: str
    hour_price: str
    cost_limit: str
    score: str
    parts: dict[str, str] = {}
    latency_ms: float | None = None
    hardware: str = ""
    promise: str = ""


class Shortfall(msgspec.Struct, frozen=True):
    """Why some offers cannot run the job. check: stable name; offers: how many fail it; nearest: the best of them."""

    check: str
    offers: int
    detail: str
    nearest: str = ""


class PlanView(msgspec.Struct, frozen=True):
    """job.plan: nothing is signed. candidates: best first; funds: free pooled balance of the payer."""

    name: str
    asset: str
    offers: int
    candidates: tuple[Candidate, ...]
    shortfalls: tuple[Shortfall, ...]
    payer: str = ""
    funds: str = "0"
    budget: str = "0"
    warnings: tuple[str, ...] = ()


class ReceiptRow(msgspec.Struct, frozen=True):
    """job.receipts. signed: canonical bytes of the SignedReceipt (metering.codec); vouchered: a voucher covers it."""

    lease_id: str
    number: int
    at_ns: int
    running_ns: int
    usage: dict[str, str]
    cost: str
    asset: str
    final: bool
    vouchered: bool = False
    signed: str = ""


class Earning(msgspec.Struct, frozen=True):
    """One asset's sums over all leases; pending = vouchered - claimed."""

    asset: str
    earned: str
    vouchered: str
    claimed: str
    pending: str
    leases: int = 0


class EarningsView(msgspec.Struct, frozen=True):
    """provider.earnings."""

    provider: str
    rows: tuple[Earning, ...]
    settled_leases: int = 0
    open_leases: int = 0


class LeaseRow(msgspec.Struct, frozen=True):
    """A lease that a provider serves."""

    lease_id: str
    submitter: str
    state: str
    resources: Hosting
    running_ns: int = 0
    cost: str = "0"
    exposure: str = "0"
    asset: str = ""


class ProviderStatus(msgspec.Struct, frozen=True):
    """provider.status. refusals: how many jobs were turned away, by reason; hints: what to do to get more jobs."""

    node: str
    provider: str
    registered: bool
    asset: str
    region: str
    prices: Prices
    capacity: Hosting
    free: Hosting
    stake: str = "0"
    offer_number: int = 0
    offer_expires_at_ns: int = 0
    quotes: int = 0
    leases: tuple[LeaseRow, ...] = ()
    refusals: dict[str, int] = {}
    hints: tuple[str, ...] = ()
