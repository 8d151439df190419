"""Records: what the node remembers, one per noun. A record's bytes are what the store keeps."""

from __future__ import annotations

import msgspec

from metering.receipt import Receipt
from metering.refusal import Refusal
from metering.resources import NO_RESOURCES, Resources
from metering.sla import NO_PROMISE, Promise
from metering.tariff import Tariff
from metering.terms import Escrow, LeaseTerms, Opening
from metering.units import NANOS_PER_SECOND, PPM, U128_MAX, ZERO, ZERO_ADDRESS, ZERO_HASH, Address, Amount, Hash32
from metering.voucher import NO_COVERAGE, Coverage, SignedVoucher
from scheduler.job import Blob, Job, OutputFile
from scheduler.offer import HardwareProfile, SignedOffer
from scheduler.outputs import LeftOut, OutputSummary
from scheduler.preferences import MAX_EXPOSURE_INTERVALS, MAX_EXPOSURE_NS, ExposureBound
from scheduler.quote import Quote, SignedQuote
from scheduler.registry import WELL_KNOWN
from scheduler.reputation import NO_REPUTATION, Reputation
from scheduler.score import Score
from xnode.node.credit_term import NO_TERM, CreditTerm
from xnode.node.lease import EndReason, LeaseStatus
from xnode.node.sums import Dealings, EarnedDay

TIMELINE_MAX = 200
"""Entries kept in one job's timeline: enough for a hundred attempts; the oldest give way."""


class ProviderSettings(msgspec.Struct, frozen=True):
    """What the operator decided. capacity: offered in all; thaw: least accepted, seconds; quote_ttl_ns: how long a quote
    holds; final_voucher_ns: how long to wait for the last voucher."""

    owner: Address
    profile: HardwareProfile
    capacity: Resources
    tariff: Tariff
    asset: Address
    region: str
    interval_ns: int
    exposure_intervals: int
    min_duration_ns: int
    max_duration_ns: int
    thaw: int
    allows_network: bool
    runtime: str
    quote_ttl_ns: int
    offer_ttl_ns: int
    final_voucher_ns: int
    promise: Promise = NO_PROMISE
    verified_vcpus: int = 0
    """By the verdict in force: usage above it is slashable, so no more is offered. 0: no such limit. gpus likewise."""
    verified_gpus: int = 0
    opening_ns: int = 0
    """How long the chain's blocks may take to confirm an opening, as measured: until then one that is not confirmed has not
    failed. 0: not measured yet."""
    affordable: int | None = None
    """Transactions that the node key can pay for; None: not known yet."""
    working_gpus: int | None = None
    """Of the GPUs in the capacity, how many can be lent now; None: all, as they were at the start."""
    registries: tuple[str, ...] = WELL_KNOWN
    """What images are pulled from; see scheduler.registry."""
    stranger_share_ppm: int = PPM // 4
    """The part of the capacity that quotes may hold for submitters whose payers never paid us."""
    leases_disk_bytes: int | None = None
    """What the disk has for leases in all, as measured: no more is offered, whatever the share says. None: not measured yet."""
    disk_is_short: bool = False
    """Less of the disk is free than must be: nothing new is taken on."""
    term: CreditTerm = NO_TERM
    """Until when leases may run while credits are outstanding."""
    in_doubt_until_s: int = 0
    """When the verified capacity ends because a check was failed, in seconds UTC; 0 when it is not in doubt."""

    @property
    def exceeds_verified(self) -> bool:
        """More is in the capacity than a verdict in force allows."""
        vcpus, gpus = self.verified_vcpus * 1000, self.verified_gpus
        return 0 < vcpus < self.capacity.vcpu_milli or 0 < gpus < self.capacity.gpus

    def offered_resources(self) -> Resources:
        """The capacity, as far as a verdict in force and the disk allow."""
        capacity, measured = self.capacity, self.leases_disk_bytes
        return msgspec.structs.replace(
            capacity,
            vcpu_milli=min(capacity.vcpu_milli, self.verified_vcpus * 1000 or capacity.vcpu_milli),
            disk_bytes=min(capacity.disk_bytes, capacity.disk_bytes if measured is None else measured),
            gpus=min(
                capacity.gpus,
                self.verified_gpus or capacity.gpus,
                capacity.gpus if self.working_gpus is None else self.working_gpus,
            ),
        )


class SubmitterSettings(msgspec.Struct, frozen=True):
    """payer: whose pooled balance pays; quotes: how many of the best are asked; thaw: of new escrows, seconds;
    max_thaw: longest accepted in a quote, seconds; silence_ns: without word for so long, a provider counts as lost;
    max_exposure_intervals, max_exposure_ns: the most unpaid work accepted in a quote; max_prepay_ns: how far ahead a job
    may have vouchers signed."""

    payer: Address
    quotes: int
    quote_wait_ns: int
    thaw: int
    opening_ttl_s: int
    silence_ns: int
    max_thaw: int = 7 * 86_400
    rtt_weight: int = 0
    max_exposure_intervals: int = MAX_EXPOSURE_INTERVALS
    max_exposure_ns: int = MAX_EXPOSURE_NS
    max_prepay_ns: int = 0
    capacity_wait_ns: int = 600 * NANOS_PER_SECOND
    """How long a job waits for providers that it fits and that are busy or do not answer."""

    @property
    def exposure_bound(self) -> ExposureBound:
        """On what the terms of a lease may leave unpaid."""
        return ExposureBound(self.max_exposure_intervals, self.max_exposure_ns)


class NodeSettings(msgspec.Struct, frozen=True, tag="settings"):
    """Who we are and under which rules; renewed at every start."""

    node: Address = ZERO_ADDRESS
    separator: Hash32 = ZERO_HASH
    software: str = ""
    provider: ProviderSettings | None = None
    submitter: SubmitterSettings | None = None
    drained_at_ns: int = 0
    """Since when nothing new is taken, by the operator's word; 0: it is. Kept over every start."""
    settings_hash: Hash32 = ZERO_HASH
    unchanged_since_ns: int = 0
    """Since when software and settings hash are these, over every start; 0: not known."""

    @property
    def key(self) -> bytes:
        return b""


class Numbers(msgspec.Struct, frozen=True, tag="numbers"):
    """The last numbers we gave out; a number is never used for two different contents (see metering.units.next_number)."""

    offer: int = 0
    quote: int = 0
    escrow: int = 0

    @property
    def key(self) -> bytes:
        return b""


class StandingOffer(msgspec.Struct, frozen=True, tag="standing_offer"):
    """Our current offer, for comparison: a new number is due when what we offer changes."""

    number: int = 0
    expires_at_ns: int = 0
    free: Resources = NO_RESOURCES
    tariff: Tariff | None = None
    promise: Promise = NO_PROMISE
    multiaddrs: tuple[str, ...] = ()
    wake_at_ns: int | None = None

    @property
    def key(self) -> bytes:
        return b""


class HeldQuote(msgspec.Struct, frozen=True, tag="held_quote"):
    """A quote we gave and the job it answers, until it expires or becomes a lease.

    payer: whose deposit was seen to cover it; holds: its capacity counts as not free meanwhile; firm: for a payer that has
    paid us before, so that no other quote promises the same capacity. Neither stands against a lease that is signed.
    """

    digest: Hash32
    quote: Quote
    job: Job
    wake_at_ns: int
    payer: Address = ZERO_ADDRESS
    holds: bool = True
    firm: bool = True

    @property
    def key(self) -> bytes:
        return self.digest


class Issued(msgspec.Struct, frozen=True, array_like=True):
    """A receipt we made that no voucher covers yet, with its digest."""

    receipt: Receipt
    digest: Hash32


class ProviderLease(msgspec.Struct, frozen=True, tag="provider_lease"):
    """A lease from the provider's side.

    last: newest receipt; issued: receipts not yet covered; covered: the newest covered by a voucher; covered_at_ns: work
    up to then is paid, so exposure in time counts from there; receipts: how many were issued. reply_to: requests waiting
    for our answer to the lease. excused_ns: how long we were away ourselves since covered_at_ns; grace_until_ns: unpaid
    work is not judged before then. left: what the workload left, None until it is collected; outputs: the same as
    versions up to 0.2 noted it.
    """

    lease_id: Hash32
    terms: LeaseTerms
    job: Job
    submitter_addrs: tuple[str, ...]
    terms_signature: bytes
    escrow: Escrow
    opening: Opening | None
    opening_signature: bytes
    requested_at_ns: int
    last: Receipt
    covered: Receipt
    covered_at_ns: int
    status: LeaseStatus = "requested"
    funded: bool = False
    reply_to: tuple[str, ...] = ()
    issued: tuple[Issued, ...] = ()
    receipts: int = 0
    started_at_ns: int | None = None
    stop_reason: EndReason | None = None
    end_reason: EndReason | None = None
    end_detail: str = ""
    exit_code: int | None = None
    outputs: tuple[OutputFile, ...] | None = None
    removed: bool = False
    ended_at_ns: int | None = None
    refusal: Refusal | None = None
    wake_at_ns: int | None = None
    excused_ns: int = 0
    grace_until_ns: int = 0
    end_code: str = ""
    left: OutputSummary | None = None

    @property
    def key(self) -> bytes:
        return self.lease_id


class KnownPayer(msgspec.Struct, frozen=True, tag="known_payer"):
    """A payer that has paid us: its submitters are no strangers. at_ns: when it did last, within a day."""

    payer: Address
    at_ns: int

    @property
    def key(self) -> bytes:
        return self.payer


class EarnedLine(msgspec.Struct, frozen=True, array_like=True):
    """One lease's part of an escrow: what vouchers cover of it."""

    lease_id: Hash32
    lease_number: int
    covered_cost: Amount
    ahead_cost: Amount = ZERO
    """What vouchers signed ahead cover of it, when that is more."""

    @property
    def paid_cost(self) -> Amount:
        return max(self.covered_cost, self.ahead_cost)


class ProviderEscrow(msgspec.Struct, frozen=True, tag="provider_escrow"):
    """An escrow that pays us. deposited, claimed, thaw_end: as last seen on chain; closed_cost: of leases settled and
    folded away; claims: how many claims we sent; claiming: one is under way."""

    escrow_id: Hash32
    escrow: Escrow
    deposited: Amount = ZERO
    claimed: Amount = ZERO
    thaw_end: int = 0
    voucher: SignedVoucher | None = None
    closed_cost: Amount = ZERO
    lines: tuple[EarnedLine, ...] = ()
    claims: int = 0
    claiming: bool = False
    wake_at_ns: int | None = None
    ahead: tuple[SignedVoucher, ...] = ()
    """Signed ahead of the receipts they will cover, rising, all above the last voucher."""
    idle_at_ns: int = 0
    """Since when no lease draws on it."""
    asked_again: bool = False
    """What is unpaid was asked for once more, and the claim waits for that."""

    @property
    def key(self) -> bytes:
        return self.escrow_id

    @property
    def cumulative(self) -> Amount:
        """What the last voucher promises."""
        return self.voucher.voucher.cumulative if self.voucher else ZERO

    @property
    def due(self) -> Amount:
        """What was served and is paid by the last voucher or by one signed ahead."""
        more = sum(line.paid_cost - line.covered_cost for line in self.lines)
        due = max(self.cumulative, self.closed_cost + sum(line.covered_cost for line in self.lines)) + more
        # A submitter may sign for more than all money there is: what is due then is all that a voucher can say.
        return Amount(min(due, U128_MAX))

    @property
    def worth(self) -> Amount:
        """What the last voucher brings: never more than lies in the escrow."""
        return min(self.cumulative, max(self.deposited, self.claimed))

    @property
    def payable(self) -> SignedVoucher | None:
        """The least voucher that covers what is due."""
        if self.due <= self.cumulative:
            return self.voucher
        return next((one for one in self.ahead if one.voucher.cumulative >= self.due), self.voucher)


class SilenceClaim(msgspec.Struct, frozen=True, tag="silence_claim"):
    """A claim on chain that we are silent about a lease: see ports.chain.Silence.

    last, node: our newest receipt of the lease, and the node key of its terms; effect_id: the answer under way, "" when there is
    none; problem: why the last one failed; is_answered: the chain holds the claim no longer. Until it can be answered no more it
    stays, because a reorganisation may bring it back.
    """

    lease_id: Hash32
    number: int
    late_ns: int
    answer_until_s: int
    seen_at_ns: int
    last: Receipt
    node: Address
    wake_at_ns: int | None
    effect_id: str = ""
    problem: str = ""
    is_answered: bool = False

    @property
    def key(self) -> bytes:
        return self.lease_id

    @property
    def is_open(self) -> bool:
        """It waits for an answer."""
        return not self.is_answered and self.wake_at_ns is not None

    def is_answered_by(self, receipt: Receipt) -> bool:
        """True when the contract takes the receipt for an answer (BreachProver._isInTime; ours go together)."""
        return receipt.number > self.number and (receipt.final or receipt.at_ns >= self.late_ns)


class TimelineEntry(msgspec.Struct, frozen=True, array_like=True):
    """One thing that happened to a job, for people and programs. facts: short name and value pairs."""

    at_ns: int
    what: str
    detail: str
    facts: tuple[tuple[str, str], ...] = ()


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """An offer worth asking for a quote, with why, and what we know of its node by earlier leases. silent: it did not answer when
    it was asked the last time."""

    offer: SignedOffer
    rtt_ns: int
    score: Score
    why: str
    reputation: Reputation = NO_REPUTATION
    has_image: bool = False
    silent: bool = False

    @property
    def node(self) -> Address:
        return self.offer.offer.node


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A provider asked for a quote, its answer so far, and what we knew of it when it was asked."""

    node: Address
    multiaddrs: tuple[str, ...]
    rtt_ns: int
    quote: SignedQuote | None = None
    refusal: Refusal | None = None
    region: str = ""
    reputation: Reputation = NO_REPUTATION
    has_image: bool = False
    cost_limit: Amount = ZERO
    """What the job may cost there by the offer; ZERO: an older version did not note it."""


class OutputsHere(msgspec.Struct, frozen=True, array_like=True):
    """What of a workload's outputs has come here. inventory: as far as it keeps the rules, None when there is none; missing:
    files that were to come and did not; lacking: left out although the job names them as wanted; folder: where they were
    put; fault: why not all is here; placed: how many were put there, None where an older version did."""

    inventory: Blob | None = None
    entries: int = 0
    size_bytes: int = 0
    left_out: int = 0
    first: tuple[LeftOut, ...] = ()
    missing: int = 0
    lacking: int = 0
    folder: str = ""
    fault: str = ""
    placed: int | None = None

    @property
    def is_whole(self) -> bool:
        """True when all that the job wants is here, and where it wants it."""
        return not (self.missing or self.lacking or self.fault)


WAITING = ("searching", "quoting")
"""Job states before any lease."""

LEASED = ("leasing", "running", "collecting")
"""Job states of a job that lives by a lease whose provider has yet to say what the workload left."""

ENDED = ("done", "half-fetched", "failed", "stopped")
"""Job states from which a job goes nowhere by itself."""

JOB_STATES = (*WAITING, *LEASED, "fetching", *ENDED)


class SubmitterJob(msgspec.Struct, frozen=True, tag="submitter_job"):
    """A job of ours. status: of JOB_STATES; collecting: the workload has ended, and its provider collects what it left.

    into, only: the folder that the outputs are put into ("": none), and the patterns of those wanted; here: what has come
    of them; outputs: the same as versions up to 0.2 noted it.
    tried: who was offered a lease; passed: who was asked and gave no quote, and of them silent: who did not answer, and busy:
    who has no room now; rounds: how often offers were searched anew that did not come; no_quote, words: what each said last;
    failed: leases that ended before the job could run, with why; waits, waiting_since_ns: how often and since when it waits
    for providers;
    stalled: those of `tried` that did not answer to the lease.
    """

    job_hash: Hash32
    job: Job
    submitted_at_ns: int
    status: str = "searching"
    asked: tuple[Asked, ...] = ()
    funds: Amount | None = None
    tried: tuple[Address, ...] = ()
    passed: tuple[Address, ...] = ()
    silent: tuple[Address, ...] = ()
    rounds: int = 0
    no_quote: str = ""
    lease_id: Hash32 | None = None
    outputs: tuple[OutputFile, ...] = ()
    exit_code: int | None = None
    end_reason: str = ""
    end_detail: str = ""
    timeline: tuple[TimelineEntry, ...] = ()
    wake_at_ns: int | None = None
    waits_since_ns: int = 0
    """Since when the job has waited for our chain node, 0 when it does not."""
    busy: tuple[Address, ...] = ()
    words: tuple[tuple[Address, str], ...] = ()
    failed: tuple[tuple[Hash32, str], ...] = ()
    waits: int = 0
    waiting_since_ns: int | None = None
    into: str = ""
    only: tuple[str, ...] = ()
    here: OutputsHere | None = None
    stalled: tuple[Address, ...] = ()
    fits_busy: bool = False
    """A provider that the job fits had no room, or did not answer: while nothing else is heard, the job waits for it."""
    looks_since_ns: int = 0
    """When we were back, the last time that we had been away while the job waited: what was known of the market is gone."""
    late: int = 0
    """How often it could not be started in time to keep its provider's promise."""

    @property
    def key(self) -> bytes:
        return self.job_hash


class SubmitterLease(msgspec.Struct, frozen=True, tag="submitter_lease"):
    """A lease from the submitter's side. last: newest accepted receipt; receipts: how many were accepted; opening: what we
    signed to fund it; refund: what its final receipt shows the provider to owe us back by its promise."""

    lease_id: Hash32
    job_hash: Hash32
    terms: LeaseTerms
    multiaddrs: tuple[str, ...]
    opening: Opening | None
    requested_at_ns: int
    last: Receipt
    last_digest: Hash32
    status: LeaseStatus = "requested"
    heard_at_ns: int = 0
    end_reason: EndReason | None = None
    end_detail: str = ""
    exit_code: int | None = None
    outputs: tuple[OutputFile, ...] | None = None
    outputs_fetched: bool = False
    refusal: Refusal | None = None
    stop_asked_at_ns: int | None = None
    asked: bool = False
    receipts: int = 0
    refund: Amount = ZERO
    wake_at_ns: int | None = None
    left: OutputSummary | None = None
    due_at_ns: int = 0
    """By when the provider must have started, or ended, the workload: see xnode.node.submitter.clocks. 0: no such promise is
    open, or a version up to 0.3 made the lease."""
    image: str = ""
    """Digest of the job's image: its node has it then, also when the job is no longer at hand."""

    @property
    def key(self) -> bytes:
        return self.lease_id


class PaidLine(msgspec.Struct, frozen=True, array_like=True):
    """One lease's part of what we promised from an escrow."""

    lease_id: Hash32
    cost: Amount
    digest: Hash32
    ahead: Amount = ZERO
    """The most that we signed ahead for it."""


class SubmitterEscrow(msgspec.Struct, frozen=True, tag="submitter_escrow"):
    """An escrow we pay from. folded, prefix, closed_cost: leases settled and folded away; lines: the ones after them, in
    order of lease number; opening_until_ns: an opening we signed may still reach the chain until then; withdrawals: how
    many times we asked the chain for the rest; ahead, ahead_at_ns: the most that vouchers signed ahead promise, and when
    the last of them were signed; ahead_coverage: of the receipts that the highest of them names."""

    escrow_id: Hash32
    escrow: Escrow
    deposited: Amount = ZERO
    claimed: Amount = ZERO
    thaw_end: int = 0
    folded: int = 0
    prefix: Hash32 = ZERO_HASH
    closed_cost: Amount = ZERO
    lines: tuple[PaidLine, ...] = ()
    opening_until_ns: int = 0
    withdrawals: int = 0
    thaw_asked: bool = False
    wake_at_ns: int | None = None
    ahead: Amount = ZERO
    ahead_at_ns: int = 0
    ahead_coverage: Coverage = NO_COVERAGE
    idle_at_ns: int = 0
    """Since when no lease draws on it."""

    @property
    def key(self) -> bytes:
        return self.escrow_id

    @property
    def cumulative(self) -> Amount:
        """What our last voucher promises."""
        return Amount(self.closed_cost + sum(line.cost for line in self.lines))

    @property
    def coverage(self) -> Coverage:
        """How the receipts hash of the next voucher comes about."""
        return Coverage(self.folded, self.prefix, tuple(line.digest for line in self.lines))


class Compensation(msgspec.Struct, frozen=True, tag="compensation"):
    """What a broken promise owes a lease's payer out of its provider's stake: see ports.chain.Shortfall; amount: as it was seen
    last, in base units of OPENX.

    effect_id: its collection under way, "" when there is none; problem: why the last one failed; is_paid: the chain owes nothing
    any more. Until it lapses it stays, because a reorganisation may bring it back.
    """

    lease_id: Hash32
    amount: Amount
    payable_at_s: int
    payable_until_s: int
    wake_at_ns: int | None
    effect_id: str = ""
    problem: str = ""
    is_paid: bool = False

    @property
    def key(self) -> bytes:
        return self.lease_id

    @property
    def is_open(self) -> bool:
        """It is still to be paid, and has not lapsed."""
        return not self.is_paid and self.wake_at_ns is not None


Record = (
    NodeSettings
    | Numbers
    | StandingOffer
    | HeldQuote
    | KnownPayer
    | ProviderLease
    | ProviderEscrow
    | SilenceClaim
    | SubmitterJob
    | SubmitterLease
    | SubmitterEscrow
    | Compensation
    | EarnedDay
    | Dealings
)
