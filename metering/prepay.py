"""Prepay: the sums of vouchers that a submitter signs ahead of the receipts they will cover.

A voucher cannot be paid in part, so one sum for the whole time would be all or nothing: there are steps, and an honest
provider claims the least that covers what it served.
"""

from __future__ import annotations

from metering.receipt import Receipt
from metering.tariff import cost_ceiling_of
from metering.terms import LeaseTerms
from metering.units import Amount

STEPS = 64
"""Vouchers signed at a time: what is claimed is above what was served by a sixty-fourth of the time at most."""


def cost_ahead_of(terms: LeaseTerms, last: Receipt, ahead_ns: int, network_bytes: int = 0) -> Amount:
    """The most that the lease can have cost `ahead_ns` after its last receipt, with `network_bytes` more each way."""
    if last.final:
        return last.cost
    left_ns = max(0, min(ahead_ns, terms.duration_limit_ns - last.running_ns))
    more = cost_ceiling_of(terms.resources, terms.tariff, left_ns, network_bytes)
    return Amount(min(last.cost + more, terms.cost_limit))
