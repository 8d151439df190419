"""Receipt: the provider's signed, numbered, cumulative statement of usage and cost."""

from __future__ import annotations

import msgspec

from metering.eip712 import make_digest
from metering.tariff import make_cost
from metering.terms import LeaseTerms
from metering.units import U64, ZERO, Amount, Hash32
from metering.usage import NO_USAGE, Counters, Usage, make_usage


class Receipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """number: from 1, no gaps; at_ns: when the counters were read; running_ns: how long the workload ran until then;
    usage and cost: since the lease began; final: the workload has ended and nothing follows."""

    lease_id: Hash32
    number: U64
    at_ns: U64
    running_ns: U64
    usage: Usage
    cost: Amount
    final: bool


class SignedReceipt(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A receipt and the provider's node signature over its digest."""

    receipt: Receipt
    signature: bytes


def make_first(lease_id: Hash32, at_ns: int) -> Receipt:
    """Number 0, never sent: what the first receipt follows."""
    return Receipt(lease_id, 0, at_ns, 0, NO_USAGE, ZERO, False)


def next_receipt(last: Receipt, terms: LeaseTerms, counters: Counters, at_ns: int, final: bool) -> Receipt:
    """The receipt after `last`; its cost never passes the lease's limit."""
    usage = make_usage(counters, terms.resources)
    cost = min(make_cost(usage, terms.tariff), terms.cost_limit)
    return Receipt(last.lease_id, last.number + 1, at_ns, counters.running_ns, usage, Amount(cost), final)


def make_receipt_digest(separator: Hash32, receipt: Receipt) -> Hash32:
    """What the provider's node signs."""
    return make_digest(separator, "Receipt", receipt)
