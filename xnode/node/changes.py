"""Change: a fact that arrived. The clock and the entropy come in with it, in its Entry."""

from __future__ import annotations

import msgspec

from metering.bounds import SignatureBytes
from metering.receipt import Receipt, SignedReceipt
from metering.tariff import Tariff
from metering.terms import Escrow, LeaseTerms, Opening
from metering.units import ZERO, ZERO_ADDRESS, ZERO_HASH, Address, Amount, Hash32
from metering.usage import Counters
from metering.voucher import Coverage, SignedVoucher
from scheduler.job import Job, OutputFile
from scheduler.outputs import NOTHING, OutputSummary
from scheduler.quote import SignedQuote
from xnode.node.credit_term import NO_TERM, CreditTerm
from xnode.node.effects import Effect
from xnode.node.lease import EndReason, LeaseStatus
from xnode.node.records import Candidate, OutputsHere, ProviderSettings, SubmitterJob, SubmitterSettings


class NodeStarted(msgspec.Struct, frozen=True, tag=True):
    """The daemon is up, under these settings."""

    node: Address
    separator: Hash32
    software: str
    multiaddrs: tuple[str, ...]
    provider: ProviderSettings | None
    submitter: SubmitterSettings | None
    away_ns: int = 0
    """Since the last entry of the journal; below zero when the clock has been set back."""
    settings_hash: Hash32 = ZERO_HASH
    """Of the settings as they are declared; zero where a version before did not say."""


class SettingsChanged(msgspec.Struct, frozen=True, tag=True):
    """The operator declared other settings, of those that a running node can take."""

    reply_to: str
    settings_hash: Hash32
    provider: ProviderSettings | None
    submitter: SubmitterSettings | None


class NodeResumed(msgspec.Struct, frozen=True, tag=True):
    """We were not there for so long: stopped, asleep, or too busy. Nobody can have been heard meanwhile."""

    away_ns: int


class Woke(msgspec.Struct, frozen=True, tag=True):
    """A record's wake_at_ns has come."""

    kind: str
    key: bytes


class EffectFailed(msgspec.Struct, frozen=True, tag=True):
    """An effect cannot be done, or not in time. code: of the refusal when a peer refused."""

    effect: Effect
    code: str
    detail: str


# ------------------------------------------------------------------------------------------------------ provider's side


class PricesSet(msgspec.Struct, frozen=True, tag=True):
    """The operator changed the ask, as versions up to 0.5 noted it; now it is one of the SettingsChanged."""

    tariff: Tariff


class DrainSet(msgspec.Struct, frozen=True, tag=True):
    """The operator wants nothing new taken (is_on), or wants the node to take jobs again."""

    reply_to: str
    is_on: bool


class CapacityVerified(msgspec.Struct, frozen=True, tag=True):
    """What the verdict in force says this owner has; 0: none in force on that kind, so nothing to stay within. term: until
    when leases may run; in_doubt_until_s: when the capacity ends because a check was failed, in seconds UTC, 0 when it is not
    in doubt."""

    vcpus: int
    gpus: int
    term: CreditTerm = NO_TERM
    in_doubt_until_s: int = 0


class ChainSeen(msgspec.Struct, frozen=True, tag=True):
    """The chain's pace and our fuel. opening_ns: how long its blocks may take to confirm an opening; affordable: how many
    transactions our key can pay for, as far as it matters."""

    opening_ns: int
    affordable: int


class DiskSeen(msgspec.Struct, frozen=True, tag=True):
    """Our disk. leases_bytes: what leases may have of it in all, those that stand included; is_short: less than the watermark
    is free."""

    leases_bytes: int
    is_short: bool


class AddressesChanged(msgspec.Struct, frozen=True, tag=True):
    """We listen elsewhere now."""

    multiaddrs: tuple[str, ...]


class QuoteRequested(msgspec.Struct, frozen=True, tag=True):
    """A submitter's node asks what a job would cost. payer: who would pay; spendable: what the submitter can reserve of that
    one's deposit, as the chain said a moment ago; None: it was not asked."""

    reply_to: str
    submitter: Address
    job: Job
    payer: Address = ZERO_ADDRESS
    spendable: Amount | None = None


class QuoteDropped(msgspec.Struct, frozen=True, tag=True):
    """A submitter took another quote than ours."""

    reply_to: str
    caller: Address
    digest: Hash32


class LeaseRequested(msgspec.Struct, frozen=True, tag=True):
    """A submitter signed lease terms made from our quote."""

    reply_to: str
    caller: Address
    caller_addrs: tuple[str, ...]
    terms: LeaseTerms
    signature: SignatureBytes
    escrow: Escrow
    opening: Opening | None
    opening_signature: SignatureBytes


class FundingRead(msgspec.Struct, frozen=True, tag=True):
    """What the chain says of an escrow and its payer. opener_cap: what the signer may still open."""

    lease_id: Hash32
    free: Amount
    opener_cap: Amount
    deposited: Amount
    claimed: Amount
    thaw_end: int


class InputsReady(msgspec.Struct, frozen=True, tag=True):
    """Image and inputs are here and checked."""

    lease_id: Hash32


class WorkloadStarted(msgspec.Struct, frozen=True, tag=True):
    """The container runs (or ran and is over already)."""

    lease_id: Hash32
    started_at_ns: int


class UsageRead(msgspec.Struct, frozen=True, tag=True):
    """The counters of a running workload."""

    lease_id: Hash32
    counters: Counters


class GpusSeen(msgspec.Struct, frozen=True, tag=True):
    """How many of the GPUs that we lend can be lent now."""

    available: int


class GpuLost(msgspec.Struct, frozen=True, tag=True):
    """A GPU of a workload that runs does not work any more."""

    lease_id: Hash32
    detail: str


class WorkloadExited(msgspec.Struct, frozen=True, tag=True):
    """The workload is over; its last counters. vanished: how it ended is not known; network_spent: what it tried to move
    beyond the agreed bytes was dropped; fault: why its program could not be run at all; gpu_lost: which of its GPUs does
    not work any more, and why."""

    lease_id: Hash32
    counters: Counters
    exit_code: int | None
    out_of_memory: bool
    timed_out: bool
    vanished: bool = False
    network_spent: bool = False
    fault: str = ""
    gpu_lost: str = ""


class VoucherReceived(msgspec.Struct, frozen=True, tag=True):
    """The submitter's answer to receipts; the receipts, as they were signed, are kept with it for an audit. ahead: vouchers
    over the same receipts and what follows them."""

    lease_id: Hash32
    signed: SignedVoucher
    coverage: Coverage
    receipts: tuple[SignedReceipt, ...] = ()
    ahead: tuple[SignedVoucher, ...] = ()


class OutputsCollected(msgspec.Struct, frozen=True, tag=True):
    """The outputs are hashed and kept as blobs. outputs: as versions up to 0.2 noted them."""

    lease_id: Hash32
    outputs: tuple[OutputFile, ...] = ()
    left: OutputSummary = NOTHING


class WorkloadRemoved(msgspec.Struct, frozen=True, tag=True):
    """Nothing of the workload is left on the host but its outputs."""

    lease_id: Hash32


class LeaseStopRequested(msgspec.Struct, frozen=True, tag=True):
    """The submitter asks us to stop."""

    reply_to: str
    caller: Address
    lease_id: Hash32


class LeaseAsked(msgspec.Struct, frozen=True, tag=True):
    """The submitter asks how its lease is."""

    reply_to: str
    caller: Address
    lease_id: Hash32


class EffectDone(msgspec.Struct, frozen=True, tag="DeedDone"):  # the name that journals have
    """An effect is done, and there is nothing more to report."""


class OpeningConfirmed(msgspec.Struct, frozen=True, tag=True):
    """Our relayed opening is on chain."""

    escrow_id: Hash32
    lease_id: Hash32
    tx_hash: Hash32
    deposited: Amount
    claimed: Amount


class ClaimConfirmed(msgspec.Struct, frozen=True, tag=True):
    """Our claim is on chain; deposited and claimed are the escrow's state after it."""

    escrow_id: Hash32
    deposited: Amount
    claimed: Amount
    tx_hash: Hash32
    gas_used: int


class SilenceSeen(msgspec.Struct, frozen=True, tag=True):
    """What the chain holds of a claim that we are silent about a lease: see ports.chain.Silence; answer_until_s: 0 when no
    claim stands. last, node: our newest receipt of the lease, and the node key of its terms."""

    lease_id: Hash32
    last: Receipt
    node: Address
    number: int = 0
    late_ns: int = 0
    answer_until_s: int = 0


class SilenceAnswered(msgspec.Struct, frozen=True, tag=True):
    """Our answer to the claim with this last second is on chain."""

    lease_id: Hash32
    answer_until_s: int
    tx_hash: Hash32
    gas_used: int


# ----------------------------------------------------------------------------------------------------------- both sides


class EscrowSeen(msgspec.Struct, frozen=True, tag=True):
    """An escrow's confirmed state on chain."""

    escrow_id: Hash32
    deposited: Amount
    claimed: Amount
    thaw_end: int


# ----------------------------------------------------------------------------------------------------- submitter's side


class JobSubmitted(msgspec.Struct, frozen=True, tag=True):
    """Our user wants a job run. into, only: where its outputs are put ("": nowhere) and which; nobody else is told."""

    reply_to: str
    job: Job
    into: str = ""
    only: tuple[str, ...] = ()


class JobStopRequested(msgspec.Struct, frozen=True, tag=True):
    """Our user wants a job stopped."""

    reply_to: str
    job_hash: Hash32


class OffersRanked(msgspec.Struct, frozen=True, tag=True):
    """What the offer book holds for a job. shortfalls: (code, how many offers, nearest detail) for those that do not fit."""

    job_hash: Hash32
    seen: int
    candidates: tuple[Candidate, ...]
    shortfalls: tuple[tuple[str, int, str], ...]
    unread: str = ""
    """Why the chain did not say who owns all the offers, "" when it did."""
    busy: int = 0
    waiting: int = 0
    may_grow: bool = False


class QuoteReceived(msgspec.Struct, frozen=True, tag=True):
    """A provider's answer."""

    job_hash: Hash32
    node: Address
    signed: SignedQuote


class FundsRead(msgspec.Struct, frozen=True, tag=True):
    """What we can pay with: the payer's pooled balance, and what our hot key may open of it."""

    job_hash: Hash32
    free: Amount
    opener_cap: Amount


class LeaseAccepted(msgspec.Struct, frozen=True, tag=True):
    """The provider countersigned the terms."""

    lease_id: Hash32
    signature: SignatureBytes


class ReceiptsReceived(msgspec.Struct, frozen=True, tag=True):
    """The provider's receipts, oldest first, one number after the other."""

    reply_to: str
    caller: Address
    receipts: tuple[SignedReceipt, ...]


class LeaseNews(msgspec.Struct, frozen=True, tag=True):
    """The provider says how a lease is. left: None until collected; outputs: likewise, of a lease that a version up to
    0.2 collected."""

    reply_to: str
    caller: Address
    lease_id: Hash32
    status: LeaseStatus
    end_reason: EndReason | None
    end_detail: str
    exit_code: int | None
    outputs: tuple[OutputFile, ...] | None
    end_code: str = ""
    left: OutputSummary | None = None


class OutputsFetched(msgspec.Struct, frozen=True, tag=True):
    """What is to be had of the outputs is here, with the hashes that were promised."""

    lease_id: Hash32
    here: OutputsHere = OutputsHere()


class OutputsRefetched(msgspec.Struct, frozen=True, tag=True):
    """Our user had the outputs fetched again, after the job had ended. job: as it was put away, when it is no longer at hand."""

    job_hash: Hash32
    here: OutputsHere
    job: SubmitterJob | None = None


class ThawStarted(msgspec.Struct, frozen=True, tag=True):
    """Our start of the thaw is on chain."""

    escrow_id: Hash32
    thaw_end: int


class EscrowClosed(msgspec.Struct, frozen=True, tag=True):
    """Our closing of a thawed escrow is on chain."""

    escrow_id: Hash32


class CompensationSeen(msgspec.Struct, frozen=True, tag=True):
    """What the chain holds of what stake owes for a lease of ours: see ports.chain.Shortfall; amount: 0 when it owes nothing."""

    lease_id: Hash32
    amount: Amount = ZERO
    payable_at_s: int = 0
    payable_until_s: int = 0


class CompensationCollected(msgspec.Struct, frozen=True, tag=True):
    """What could be taken of the compensation with this end was paid; left: what is still owed, in base units of OPENX."""

    lease_id: Hash32
    payable_until_s: int
    left: Amount
    tx_hash: Hash32
    gas_used: int


Change = (
    NodeStarted
    | SettingsChanged
    | NodeResumed
    | Woke
    | EffectFailed
    | PricesSet
    | DrainSet
    | CapacityVerified
    | ChainSeen
    | DiskSeen
    | AddressesChanged
    | QuoteRequested
    | QuoteDropped
    | LeaseRequested
    | FundingRead
    | InputsReady
    | WorkloadStarted
    | UsageRead
    | GpusSeen
    | GpuLost
    | WorkloadExited
    | VoucherReceived
    | OutputsCollected
    | WorkloadRemoved
    | LeaseStopRequested
    | LeaseAsked
    | EffectDone
    | OpeningConfirmed
    | ClaimConfirmed
    | SilenceSeen
    | SilenceAnswered
    | EscrowSeen
    | JobSubmitted
    | JobStopRequested
    | OffersRanked
    | QuoteReceived
    | FundsRead
    | LeaseAccepted
    | ReceiptsReceived
    | LeaseNews
    | OutputsFetched
    | OutputsRefetched
    | ThawStarted
    | EscrowClosed
    | CompensationSeen
    | CompensationCollected
)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One line of the journal: when it was taken in, entropy for what must be random, the change, and what it answers.

    done: the (effect id, version) this change is the result of, or None.
    """

    at_ns: int
    entropy: bytes
    change: Change
    done: tuple[str, int] | None = None
