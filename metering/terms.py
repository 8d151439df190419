"""Terms: what both sides sign: the escrow's terms, its opening, and the lease terms."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.eip712 import typed_digest
from metering.resources import Resources
from metering.tariff import Tariff
from metering.units import U32, U64, Address, Amount, Hash32, Nanos, Ppm, Seconds


class Escrow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An escrow's immutable terms; their digest is its identity. thaw: seconds; split: zero in this version."""

    payer: Address
    signer: Address
    provider: Address
    asset: Address
    split: Hash32
    thaw: U32
    nonce: U64


class Opening(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The payer's (or an approved opener's) word to reserve `amount` more.

    deadline: seconds UTC; nonce: used once, in any order.
    """

    escrow_id: Hash32
    amount: Amount
    nonce: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """32 big-endian bytes."""
    deadline: Seconds


class Release(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The provider's (or its node's) word that an escrow's reserve may fall to `new_deposited` without a thaw."""

    escrow_id: Hash32
    new_deposited: Amount
    nonce: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """32 big-endian bytes."""
    deadline: Seconds


class LeaseTerms(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything a lease is about; its digest is the lease's id.

    submitter signs vouchers (it is the escrow's signer) and is the submitter's node; provider is the registered owner
    who is paid; node is the provider's node key, which signs receipts. lease_number counts the leases that draw on the
    escrow. cost_limit: the most this lease may cost; exposure_limit: unpaid cost at which the provider stops;
    open_until_ns: these terms may be countersigned until then.

    exposure_intervals: how many intervals of work may go unpaid before the provider stops, at least one; zero in terms
    of 0.1.0, which did not say. Fields stand in the order in which they came: stored terms are arrays.

    availability_ppm, refund_ppm: the provider's promise, in millionths: when its own final receipt shows the workload
    running for less than this part of the time since open_until_ns, this part of the cost goes back to the payer;
    zero promises nothing.
    """

    job_hash: Hash32
    quote_hash: Hash32
    submitter: Address
    provider: Address
    node: Address
    escrow_id: Hash32
    lease_number: U64
    asset: Address
    resources: Resources
    tariff: Tariff
    cost_limit: Amount
    exposure_limit: Amount
    interval_ns: Nanos
    duration_limit_ns: Nanos
    open_until_ns: Nanos
    availability_ppm: Ppm = 0
    refund_ppm: Ppm = 0
    exposure_intervals: U32 = 0


def escrow_id_of(separator: Hash32, escrow: Escrow) -> Hash32:
    """The escrow's identity on and off chain."""
    return typed_digest(separator, "Escrow", escrow)


def lease_id_of(separator: Hash32, terms: LeaseTerms) -> Hash32:
    """The lease's identity, which is also the digest both sides sign."""
    return typed_digest(separator, "LeaseTerms", terms)
