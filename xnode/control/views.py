"""Views: what the daemon's control methods return, for people and programs; see docs/control.md.

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


class Gas(msgspec.Struct, frozen=True):
    """What the node key pays for transactions with. transactions: for about how many it is enough; is_low: send some."""

    wei: str
    transactions: int
    is_low: bool = False


class DiskUse(msgspec.Struct, frozen=True):
    """The disk that data_dir is on, in bytes. free; min_free: below it no new work is taken; budget: for the node's own files;
    own: what they take, by kind: "blob" (outputs and images), "idle" (images and inputs of ended jobs), "part" (fetches that
    broke off), "log", "image" (an engine's); leases: allocated to leases' disks; freed: taken away since the start; reason: why
    no new work is taken, "" when it is."""

    free: int
    min_free: int
    budget: int
    own: dict[str, int]
    leases: int = 0
    freed: int = 0
    reason: str = ""


class SettingsView(msgspec.Struct, frozen=True):
    """The settings that the node runs with. declared_in: the file; hash: of all in effect but places and secrets of this
    host; unchanged_since_ns: since when they and the software are these, over every start; differing: those that are declared
    otherwise now; problem: why what is declared now cannot be taken, "" when it can be read."""

    declared_in: str
    hash: str
    unchanged_since_ns: int
    differing: tuple[str, ...] = ()
    problem: str = ""


class DifferenceRow(msgspec.Struct, frozen=True):
    """config.diff, config.reload. running, declared: as they are written, "" where there is none; is_live: a reload takes it; the
    others need a restart."""

    name: str
    running: str
    declared: str
    is_live: bool = False


class NodeStatus(msgspec.Struct, frozen=True):
    """node.status. roles: of "provider", "submitter"; offers: known; leases: open ones of either role; http: where /metrics
    is, "" when nowhere; ready: what is wrong by dependency, none when all is well; hints: what keeps jobs from coming or
    going, and what to do about it; gas:
    None until the chain has told; disk: None until it was looked at; settings: None where nobody asked for them."""

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
    hints: tuple[str, ...] = ()
    gas: Gas | None = None
    disk: DiskUse | None = None
    settings: SettingsView | None = None


class StopRow(msgspec.Struct, frozen=True):
    """A job that goes on without this node. until_ns: when its provider stops it as unpaid at the latest; is_prepaid: by
    vouchers signed ahead."""

    job_id: str
    name: str
    until_ns: int
    is_prepaid: bool = False


class StopNotice(msgspec.Struct, frozen=True):
    """node.stop_notice: what happens to work under way once this node is stopped. waiting: jobs of ours without a lease;
    serving: workloads of others."""

    jobs: tuple[StopRow, ...] = ()
    waiting: int = 0
    serving: int = 0


class OfferRow(msgspec.Struct, frozen=True):
    """offer.list. hour_price: one fully used hour of all that is free; promise: of availability, "99 %, or 10 % back";
    latency_ms: None until it was measured; reputation: a cautious chance that a lease ends well, by our own leases, None
    before the first; stake: in OPENX, None when the chain could not be asked; heard_at_ns: when the node itself last answered, 0
    for never (then the offer came from others); silent: it did not answer when it was asked the last time; in_default: the
    provider has not served credits that it sold, so its stake belongs to their holders first; software, settings_hash: what the
    provider says that it runs, "" where it does not say."""

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
    stake: str | None = None
    expires_at_ns: int = 0
    heard_at_ns: int = 0
    silent: bool = False
    in_default: bool = False
    software: str = ""
    settings_hash: str = ""


class TimelineEntry(msgspec.Struct, frozen=True):
    """One thing that happened to a job. `what` is a stable word (offers, quote, choice, lease, launch, receipt,
    voucher, output, settle, end, ...); `detail` is one line for people."""

    at_ns: int
    what: str
    detail: str


class JobRow(msgspec.Struct, frozen=True):
    """A job in a list. state: searching, quoting, leasing, running, collecting (the workload has ended, and its provider collects
    what it left), fetching, done, half-fetched (it ended well, but not all of its outputs are here: `xnode job cp` goes on),
    failed or stopped; reason: why it ended, or what it waits for."""

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


class JobPage(msgspec.Struct, frozen=True):
    """job.list. total: how many jobs there are on all pages together."""

    rows: tuple[JobRow, ...]
    total: int = 0


class OutputRow(msgspec.Struct, frozen=True):
    """job.outputs, in order of path. path: what does not print of it is shown as an escape; kind: file, link or folder (an
    empty one); sha256, size: of a file; file: the local blob's path, "" until it has been fetched; target: of a link."""

    path: str
    sha256: str = ""
    size: int = 0
    file: str = ""
    kind: str = "file"
    target: str = ""
    executable: bool = False
    mtime_ns: int = 0


class LeftOutRow(msgspec.Struct, frozen=True):
    """What a workload left and what was not taken, with the reason."""

    path: str
    reason: str


class FetchStep(msgspec.Struct, frozen=True):
    """job.fetch: how far it is. The last one has all else: inventory: the file that lists the outputs
    (scheduler.outputs.read_inventory), "" when there are none; blobs: the folder where each file's bytes lie under its
    SHA-256; missing: files that could not be had, and fault: why."""

    files: int
    size: int
    inventory: str = ""
    blobs: str = ""
    left_out: int = 0
    missing: int = 0
    fault: str = ""


class JobDetail(msgspec.Struct, frozen=True):
    """job.show, job.wait, job.stop. vouchered: what we have signed for; settled: what was paid of it on chain; refund: what
    the provider owes back by its promise, for `xnode pay refund`. entries, size_bytes: what the workload left, all of it;
    outputs: the first hundred of them; left_out_count: what was not taken, left_out: those of it that are known by name;
    missing: files that did not come, fault: why; folder: where they were put, placed: how many of them, None
    where that is not known; log_lost: bytes of the log's middle that were not kept."""

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
    entries: int = 0
    size_bytes: int = 0
    left_out_count: int = 0
    left_out: tuple[LeftOutRow, ...] = ()
    missing: int = 0
    fault: str = ""
    folder: str = ""
    log_lost: int = 0
    placed: int | None = None


class Candidate(msgspec.Struct, frozen=True):
    """An offer that can run the job. score: what ranks it (lower is better) in the asset; parts: its addends by name, in
    the asset; why: their shares in words; has_image: it has run the image for us before; latency_ms and reputation: as in
    OfferRow."""

    node: str
    provider: str
    region: str
    hour_price: str
    cost_limit: str
    score: str
    parts: dict[str, str] = {}
    why: str = ""
    latency_ms: float | None = None
    reputation: float | None = None
    has_image: bool = False
    hardware: str = ""
    promise: str = ""


class Shortfall(msgspec.Struct, frozen=True):
    """Why some offers cannot run the job. check: stable name; offers: how many fail it; only: how many fail it alone;
    detail: what the check says; nearest: what the offer that comes closest lacks, and whose it is."""

    check: str
    offers: int
    detail: str
    nearest: str = ""
    only: int = 0


class PlanView(msgspec.Struct, frozen=True):
    """job.plan: nothing is signed. image: its platform, and the others that it is for; image_size: of all its
    blobs, 0 when only a registry knows; offers: how many are known; candidates: best first; funds: the payer's free balance,
    None when the chain could not be asked; outputs: what will be taken of what the workload leaves, and where it is put."""

    name: str
    asset: str
    offers: int
    candidates: tuple[Candidate, ...]
    shortfalls: tuple[Shortfall, ...]
    payer: str = ""
    funds: str | None = None
    budget: str = "0"
    outputs: str = ""
    warnings: tuple[str, ...] = ()
    image: str = ""
    image_size: int = 0


class ImageRow(msgspec.Struct, frozen=True):
    """image.list, image.import, image.remove. platform: "linux/amd64"; size: of all its blobs, as they travel; source: what it
    was taken from; used_by: the live jobs that need it."""

    digest: str
    names: tuple[str, ...] = ()
    platform: str = ""
    size: int = 0
    added_at_ns: int = 0
    source: str = ""
    used_by: str = ""


class WorkRow(msgspec.Struct, frozen=True):
    """node.work. total_bytes: 0 when not known."""

    what: str
    done_bytes: int = 0
    total_bytes: int = 0


class JobId(msgspec.Struct, frozen=True):
    """job.submit."""

    job_id: str


class LogPiece(msgspec.Struct, frozen=True):
    """job.logs. data: the log's next bytes in base64; offset: where the log goes on after them."""

    offset: int
    data: str


class Document(msgspec.Struct, frozen=True):
    """A signed document. type: of metering.evidence; bytes: its canonical bytes (metering.codec); lease_id: "" for what is
    about no lease."""

    type: str
    bytes: str
    lease_id: str = ""


class ReceiptRow(msgspec.Struct, frozen=True):
    """job.receipts. usage: by name, see metering.usage; signed: canonical bytes of the SignedReceipt (metering.codec);
    vouchered: a voucher of ours covers it."""

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
    """One asset's sums over all leases in it, settled long ago or open. earned: what receipts say; vouchered: what submitters
    signed for; claimed: what was paid on chain; pending: vouchered and not claimed."""

    asset: str
    earned: str
    vouchered: str
    claimed: str
    pending: str
    leases: int = 0


class EarnedPeriod(msgspec.Struct, frozen=True):
    """What was earned in one asset in a day, week or month (UTC). begins: its first day, as in 2026-11-30; earned: what receipts
    of that time say; claimed: what was seen to be paid on chain in that time; leases: begun; settled: leases."""

    begins: str
    asset: str
    earned: str
    claimed: str
    leases: int = 0
    settled: int = 0


class EarningsView(msgspec.Struct, frozen=True):
    """provider.earnings. provider: the wallet that is paid; rows: all that was ever earned; periods: the newest first, when they
    were asked for; more_periods: older ones; gas: of the node key, which pays for claims."""

    provider: str
    rows: tuple[Earning, ...]
    settled_leases: int = 0
    open_leases: int = 0
    gas: Gas | None = None
    periods: tuple[EarnedPeriod, ...] = ()
    more_periods: int = 0


class LeaseRow(msgspec.Struct, frozen=True):
    """A lease that a provider serves or served. state: with why it ended, and whether a claim of silence waits;
    exposure: cost that no voucher covers yet; outputs: what the workload left, in words."""

    lease_id: str
    submitter: str
    state: str
    resources: Hosting
    running_ns: int = 0
    cost: str = "0"
    exposure: str = "0"
    asset: str = ""
    outputs: str = ""
    begun_at_ns: int = 0
    ended_at_ns: int | None = None


class LeasePage(msgspec.Struct, frozen=True):
    """provider.leases, newest first. total: how many there are on all pages together."""

    rows: tuple[LeaseRow, ...]
    total: int = 0


class RunningRow(msgspec.Struct, frozen=True):
    """A lease that has not ended. until_ns: when its workload has ended at the latest, 0 when it has and the rest is to
    come: its outputs, its last voucher."""

    lease_id: str
    submitter: str
    state: str
    until_ns: int = 0


class DrainView(msgspec.Struct, frozen=True):
    """provider.drain, provider.resume, provider.running. drained_at_ns: since when nothing new is taken, 0 when it is."""

    drained_at_ns: int
    running: tuple[RunningRow, ...] = ()


class Reveals(msgspec.Struct, frozen=True):
    """Demands to show leaves of this host's recorded answers. open: those that are known; has_more: there may be further ones;
    until_s: when the first is due, by the chain's clock; late: how many cannot be met in time as things are, for this reason."""

    open: int
    has_more: bool
    until_s: int
    late: int
    reason: str


class ChallengeFailed(msgspec.Struct, frozen=True):
    """Why this host could not answer a challenge, by its own account. drawn_at_s: when it was drawn, by the chain."""

    challenge_id: str
    drawn_at_s: int
    reason: str


class ProviderStatus(msgspec.Struct, frozen=True):
    """provider.status. registered: None when the chain could not be asked, and so for stake, which is in OPENX; leases: those
    under way, the newest hundred; leases_total: how many are under way; refusals: how many requests for work were refused since
    the start, by reason; hints: what to do to get more jobs; drained_at_ns: since when nothing new is taken, 0 when it is;
    not_lent: what this host has and cannot lend, each with the reason; leased: what leases have of it now; challenge_failed: the
    last challenge that this host could not answer; settings: what the node runs with."""

    node: str
    provider: str
    registered: bool | None
    asset: str
    region: str
    prices: Prices
    capacity: Hosting
    free: Hosting
    stake: str | None = None
    offer_number: int = 0
    offer_expires_at_ns: int = 0
    quotes: int = 0
    reveals: Reveals | None = None
    leases: tuple[LeaseRow, ...] = ()
    refusals: dict[str, int] = {}
    hints: tuple[str, ...] = ()
    gas: Gas | None = None
    drained_at_ns: int = 0
    not_lent: tuple[str, ...] = ()
    leases_total: int = 0
    leased: Hosting | None = None
    challenge_failed: ChallengeFailed | None = None
    settings: SettingsView | None = None
