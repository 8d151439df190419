"""Effect: something to do in the world. Journalled with the change that caused it, done after, and safe to do twice.

`id` is the idempotency key: a newer effect of the same id takes the older one's place. `lane`: effects of one lane are done one
after the other, in the order given; lanes run side by side. `deadline_ns`: when to give up and report EffectFailed (0: never).
Every durable effect ends in these three fields, in this order; Turn.slot gives them.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from metering.bounds import Code, Detail
from metering.receipt import Receipt
from metering.refusal import Refusal
from metering.terms import Escrow, LeaseTerms, Opening
from metering.units import ZERO_ADDRESS, Address, Amount, Hash32
from metering.voucher import Coverage, SignedVoucher, Voucher
from scheduler.job import MAX_OLD_OUTPUTS, Job, OutputFile
from scheduler.offer import Offer
from scheduler.outputs import OutputSummary
from scheduler.quote import Quote
from xnode.node.lease import EndReason, LeaseStatus


class Slot(NamedTuple):
    """An effect's last three fields: `ReadUsage(lease_id, *slot)`."""

    id: str
    lane: str
    deadline_ns: int


def slot_id_of(name: str, key: bytes) -> str:
    """The id of the one effect of this name for a lease, escrow or job; also the lane of several effects for it."""
    return f"{name}:{key.hex()}"


# ------------------------------------------------------------------------------ answers: not kept, the asker asks again


class ReplyQuote(msgspec.Struct, frozen=True, tag=True):
    """Sign the quote and answer with it."""

    reply_to: str
    quote: Quote


class ReplyLease(msgspec.Struct, frozen=True, tag=True):
    """Countersign the terms and answer with the signature."""

    reply_to: str
    terms: LeaseTerms


class ReplyVoucher(msgspec.Struct, frozen=True, tag=True):
    """Sign the voucher and answer with it and what it covers, and with the vouchers ahead of it."""

    reply_to: str
    voucher: Voucher
    coverage: Coverage
    ahead: tuple[Voucher, ...] = ()


ExitCode = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
"""What a stranger says a process gave; a real one is from 0 to 255, and others are not kept."""


class LeaseReport(msgspec.Struct, frozen=True, array_like=True):
    """How a lease is, as its provider reports it to its submitter. left: None until it is collected; outputs: likewise, of
    a lease that a version up to 0.2 collected."""

    lease_id: Hash32
    status: LeaseStatus
    end_reason: EndReason | None
    end_detail: Detail
    exit_code: ExitCode | None
    outputs: Annotated[tuple[OutputFile, ...], msgspec.Meta(max_length=MAX_OLD_OUTPUTS)] | None
    end_code: Code = ""
    """Of the fault that ended it, where one did: see xnode.node.blame."""
    left: OutputSummary | None = None


class ReplyReport(msgspec.Struct, frozen=True, tag=True):
    """Answer how the lease is."""

    reply_to: str
    report: LeaseReport


class ReplyOk(msgspec.Struct, frozen=True, tag=True):
    """Answer that it is done; `value` says what."""

    reply_to: str
    value: bytes = b""


class ReplyRefusal(msgspec.Struct, frozen=True, tag=True):
    """Refuse, and say why."""

    reply_to: str
    refusal: Refusal


Reply = ReplyQuote | ReplyLease | ReplyVoucher | ReplyReport | ReplyOk | ReplyRefusal


# ------------------------------------------------------------------------------------------------------- provider's side


class AnnounceOffer(msgspec.Struct, frozen=True, tag=True):
    """Sign the offer and publish it."""

    offer: Offer
    id: str
    lane: str = "announce"
    deadline_ns: int = 0


class WithdrawOffer(msgspec.Struct, frozen=True, tag=True):
    """Let it be known that our offer no longer stands."""

    id: str
    lane: str = "announce"
    deadline_ns: int = 0


class ReadFunding(msgspec.Struct, frozen=True, tag=True):
    """Read what the chain says of an escrow and its payer."""

    lease_id: Hash32
    escrow_id: Hash32
    escrow: Escrow
    id: str
    lane: str
    deadline_ns: int


class OpenEscrow(msgspec.Struct, frozen=True, tag=True):
    """Send the submitter's signed opening to the chain."""

    lease_id: Hash32
    escrow: Escrow
    opening: Opening
    signature: bytes
    id: str
    lane: str = "chain"
    deadline_ns: int = 0


class FetchInputs(msgspec.Struct, frozen=True, tag=True):
    """Get the image and the inputs, from here, the submitter or a registry."""

    lease_id: Hash32
    submitter: Address
    multiaddrs: tuple[str, ...]
    job: Job
    id: str
    lane: str
    deadline_ns: int


class StartWorkload(msgspec.Struct, frozen=True, tag=True):
    """Start the container."""

    lease_id: Hash32
    job: Job
    duration_limit_ns: int
    id: str
    lane: str
    deadline_ns: int


class WatchWorkload(msgspec.Struct, frozen=True, tag=True):
    """Wait until the workload has exited."""

    lease_id: Hash32
    id: str
    lane: str
    deadline_ns: int = 0


class ReadUsage(msgspec.Struct, frozen=True, tag=True):
    """Read the workload's counters."""

    lease_id: Hash32
    id: str
    lane: str
    deadline_ns: int = 0


class StopWorkload(msgspec.Struct, frozen=True, tag=True):
    """End every process of the workload."""

    lease_id: Hash32
    id: str
    lane: str
    deadline_ns: int = 0


class CollectOutputs(msgspec.Struct, frozen=True, tag=True):
    """Hash the outputs and keep them as blobs."""

    lease_id: Hash32
    id: str
    lane: str
    deadline_ns: int = 0


class RemoveWorkload(msgspec.Struct, frozen=True, tag=True):
    """Take the workload off the host."""

    lease_id: Hash32
    id: str
    lane: str
    deadline_ns: int = 0


class PushReceipts(msgspec.Struct, frozen=True, tag=True):
    """Sign the receipts no voucher covers, send them, bring back the voucher."""

    lease_id: Hash32
    submitter: Address
    multiaddrs: tuple[str, ...]
    receipts: tuple[Receipt, ...]
    id: str
    lane: str
    deadline_ns: int = 0


class PushNews(msgspec.Struct, frozen=True, tag=True):
    """Report to the submitter how its lease is."""

    submitter: Address
    multiaddrs: tuple[str, ...]
    report: LeaseReport = msgspec.field(name="standing")  # the name that stored effects have
    id: str
    lane: str
    deadline_ns: int


class Claim(msgspec.Struct, frozen=True, tag=True):
    """Claim the voucher, if there is one; with release, give the payer the rest back in the same transaction."""

    escrow_id: Hash32
    escrow: Escrow
    signed: SignedVoucher | None
    release: bool
    id: str
    lane: str = "chain"
    deadline_ns: int = 0


class ShowReceipt(msgspec.Struct, frozen=True, tag=True):
    """Sign the receipt and show it to the chain, in answer to the claim of silence with this last second for it. most_wei: what
    that may cost in gas, 0 in effects of an older version: no limit but the node's."""

    lease_id: Hash32
    receipt: Receipt
    answer_until_s: int
    id: str
    lane: str
    deadline_ns: int
    most_wei: int = 0


# ------------------------------------------------------------------------------------------------------ submitter's side


class SearchOffers(msgspec.Struct, frozen=True, tag=True):
    """Find the offers for a job and rank them; nodes in `tried` are out."""

    job_hash: Hash32
    job: Job
    tried: tuple[Address, ...]
    id: str
    lane: str
    deadline_ns: int


class RequestQuote(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ask one provider for a quote. payer: whose deposit it is to see."""

    job_hash: Hash32
    job: Job
    node: Address
    multiaddrs: tuple[str, ...]
    payer: Address = ZERO_ADDRESS
    id: str
    lane: str
    deadline_ns: int


class DropQuote(msgspec.Struct, frozen=True, tag=True):
    """Let a provider whose quote was not taken free the capacity it holds."""

    job_hash: Hash32
    node: Address
    multiaddrs: tuple[str, ...]
    digest: Hash32
    id: str
    lane: str
    deadline_ns: int


class ReadFunds(msgspec.Struct, frozen=True, tag=True):
    """Read what we can pay with."""

    job_hash: Hash32
    payer: Address
    asset: Address
    id: str
    lane: str
    deadline_ns: int


class RequestLease(msgspec.Struct, frozen=True, tag=True):
    """Sign terms and opening, and bring back the provider's signature."""

    lease_id: Hash32
    multiaddrs: tuple[str, ...]
    terms: LeaseTerms
    escrow: Escrow
    opening: Opening | None
    id: str
    lane: str
    deadline_ns: int


class AskLease(msgspec.Struct, frozen=True, tag=True):
    """Ask the provider how the lease is; with stop, to stop it first."""

    lease_id: Hash32
    node: Address
    multiaddrs: tuple[str, ...]
    stop: bool
    id: str
    lane: str
    deadline_ns: int


class FetchOutputs(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Get the outputs from the provider, check their hashes, and put them where the job wants them.

    outputs: in place of `left`, of a lease that a version up to 0.2 collected; limit_bytes: the most they may come to;
    into, only: see SubmitterJob; other: the name of the folder beside `into` when something else lies there.
    """

    lease_id: Hash32
    node: Address
    multiaddrs: tuple[str, ...]
    outputs: tuple[OutputFile, ...] = ()
    left: OutputSummary | None = None
    limit_bytes: int = 0
    into: str = ""
    only: tuple[str, ...] = ()
    other: str = ""
    id: str
    lane: str
    deadline_ns: int


class StartThaw(msgspec.Struct, frozen=True, tag=True):
    """Begin to take an escrow's rest back."""

    escrow_id: Hash32
    escrow: Escrow
    id: str
    lane: str = "chain"
    deadline_ns: int = 0


class CloseEscrow(msgspec.Struct, frozen=True, tag=True):
    """Take a thawed escrow's rest back."""

    escrow_id: Hash32
    escrow: Escrow
    cumulative: Amount
    id: str
    lane: str = "chain"
    deadline_ns: int = 0


class CollectCompensation(msgspec.Struct, frozen=True, tag=True):
    """Have what a broken promise owes, and lapses at this second, paid out of the provider's stake to the lease's payer."""

    lease_id: Hash32
    payable_until_s: int
    id: str
    lane: str
    deadline_ns: int = 0


DurableEffect = (
    AnnounceOffer
    | WithdrawOffer
    | ReadFunding
    | OpenEscrow
    | FetchInputs
    | StartWorkload
    | WatchWorkload
    | ReadUsage
    | StopWorkload
    | CollectOutputs
    | RemoveWorkload
    | PushReceipts
    | PushNews
    | Claim
    | ShowReceipt
    | SearchOffers
    | RequestQuote
    | DropQuote
    | ReadFunds
    | RequestLease
    | AskLease
    | FetchOutputs
    | StartThaw
    | CloseEscrow
    | CollectCompensation
)
"""Kept until its result has come back as a change."""

Effect = ReplyQuote | ReplyLease | ReplyVoucher | ReplyReport | ReplyOk | ReplyRefusal | DurableEffect
