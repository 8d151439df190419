"""Receipt: the provider's signed, numbered, cumulative statement of usage and cost."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from metering.bounds import SignatureBytes
from metering.eip712 import typed_digest
from metering.tariff import cost_of
from metering.terms import LeaseTerms
from metering.units import U64, ZERO, Amount, Hash32, Nanos, next_number
from metering.usage import NO_USAGE, Counters, Usage, usage_ceiling_of, usage_of


class Receipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """number: grows, see next_number; at_ns: when the counters were read; running_ns: how long the workload ran until then;
    usage and cost: since the lease began; final: the workload has ended and nothing follows."""

    lease_id: Hash32
    number: U64
    at_ns: Nanos
    running_ns: Nanos
    usage: Usage
    cost: Amount
    final: bool


class SignedReceipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A receipt and the provider's node signature over its digest."""

    receipt: Receipt
    signature: SignatureBytes


def make_first(lease_id: Hash32, at_ns: int) -> Receipt:
    """Number 0, never sent: what the first receipt follows."""
    return Receipt(lease_id, 0, at_ns, 0, NO_USAGE, ZERO, False)


def next_receipt(
    last: Receipt,
    terms: LeaseTerms,
    counters: Counters,
    at_ns: int,
    final: bool,
    network_bytes: int = 0,
    lease_age_ns: int = 0,
) -> Receipt:
    """The receipt after `last`; never above what the lease allows, because the submitter must refuse such a one.

    network_bytes: the most the job may move each way, as the job says; lease_age_ns: by the clock, for the number.
    """
    counters = _fit_counters(counters, terms, network_bytes)
    usage = usage_of(counters, terms.resources)
    cost = min(cost_of(usage, terms.tariff), terms.cost_limit)
    number = next_number(last.number, lease_age_ns)
    return Receipt(last.lease_id, number, at_ns, counters.running_ns, usage, Amount(cost), final)


def _fit_counters(counters: Counters, terms: LeaseTerms, network_bytes: int) -> Counters:
    # Stopping a workload takes a moment and a kernel's quota is not exact: what runs over is never billed.
    running_ns = min(counters.running_ns, terms.duration_limit_ns)
    return Counters(
        running_ns=running_ns,
        vcpu_ns=min(counters.vcpu_ns, usage_ceiling_of(terms.resources, running_ns).vcpu_ns),
        ingress_bytes=min(counters.ingress_bytes, network_bytes),
        egress_bytes=min(counters.egress_bytes, network_bytes),
    )


@lru_cache(maxsize=16)
def receipt_digest_of(separator: Hash32, receipt: Receipt) -> Hash32:
    """What the provider's node signs. Kept for a moment: a receipt that was just checked is then named by the same digest."""
    return typed_digest(separator, "Receipt", receipt)
