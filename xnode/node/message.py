"""Message: what nodes say to each other over RPC: method names and the bodies of requests and answers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.bounds import MAX_MULTIADDRS, Line, Multiaddrs, SignatureBytes
from metering.prepay import STEPS
from metering.receipt import SignedReceipt
from metering.terms import Escrow, LeaseTerms, Opening
from metering.units import U64, Address, Hash32, Offset
from metering.voucher import Coverage, SignedVoucher
from scheduler.job import Job

OFFER_GET = "offer.get"
"""b"" -> SignedOffer."""

QUOTE_REQUEST = "quote.request"
"""QuoteAsk -> SignedQuote. A Job alone is one whose submitter pays itself."""

QUOTE_DROP = "quote.drop"
"""QuoteQuery -> b"": the submitter chose another, so the capacity need not be held."""

LEASE_OPEN = "lease.open"
"""LeaseOffer -> 65 bytes, the provider's signature over the same lease id."""

LEASE_ASK = "lease.ask"
"""LeaseQuery -> LeaseReport."""

LEASE_STOP = "lease.stop"
"""LeaseQuery -> LeaseReport."""

LEASE_NEWS = "lease.news"
"""LeaseReport -> b""."""

LEASE_PROGRESS = "lease.progress"
"""LeaseQuery -> Progress: how far the provider is with what the lease needs before it can start."""

RECEIPTS_PUSH = "receipts.push"
"""ReceiptQueue -> VoucherAnswer."""

LOGS_FOLLOW = "logs.follow"
"""LogQuery -> a stream of LogPiece."""

MAX_RECEIPTS = 64
"""Receipts in one push; a provider stops long before it has so many unpaid."""

MAX_PIECE_BYTES = 1 << 20
"""Of a log in one frame: the frame itself holds no more."""

MAX_ADDRS = MAX_MULTIADDRS
"""Addresses one node may name for itself."""


class LeaseOffer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The submitter's half of a lease. addrs: where the submitter may be reached."""

    terms: LeaseTerms
    signature: SignatureBytes
    escrow: Escrow
    opening: Opening | None
    opening_signature: SignatureBytes
    addrs: Multiaddrs


class QuoteAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a job would cost. payer: whose deposit pays for it: the provider looks whether it is there."""

    job: Job
    payer: Address


class QuoteQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which quote is meant, by its digest."""

    digest: Hash32


class LeaseQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which lease is meant."""

    lease_id: Hash32


class Progress(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """what: a word or two for people, "" when nothing is being done; total_bytes: 0 when not known."""

    what: Line
    done_bytes: U64
    total_bytes: U64


class ReceiptQueue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Receipts of one lease that no voucher covers yet, oldest first."""

    receipts: Annotated[tuple[SignedReceipt, ...], msgspec.Meta(max_length=MAX_RECEIPTS)]


class VoucherAnswer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The voucher that covers them, and how its receipts hash came about; ahead: vouchers over the same receipts and what
    follows them, rising, for the time the submitter may be away."""

    signed: SignedVoucher
    coverage: Coverage
    ahead: Annotated[tuple[SignedVoucher, ...], msgspec.Meta(max_length=STEPS)] = ()


class LogQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Logs of a lease from an offset that an earlier LogPiece named (0: from the start)."""

    lease_id: Hash32
    offset: Offset


class LogPiece(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A piece of stdout and stderr as they came; offset: where the next piece begins; ended: nothing follows ever."""

    offset: Offset
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_PIECE_BYTES)]
    ended: bool
