"""Promise: how available a provider says a workload will be, and what of the cost goes back when it was not."""

from __future__ import annotations

import msgspec

from metering.receipt import Receipt
from metering.terms import LeaseTerms
from metering.units import PPM, Amount, Ppm, mul_div_down


class Promise(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """availability_ppm: the part of the time, from the last moment to open the lease to its final receipt, in which the
    workload runs; refund_ppm: the part of the cost that goes back when it ran less. In millionths."""

    availability_ppm: Ppm = 0
    refund_ppm: Ppm = 0

    @property
    def worth_ppm(self) -> int:
        """The availability, or zero when nothing is given back for the want of it."""
        return self.availability_ppm if self.refund_ppm else 0

    def describe(self) -> str:
        """One short line for people; empty without a promise."""
        if not self.worth_ppm:
            return ""
        return f"{show_percent(self.availability_ppm)}, or {show_percent(self.refund_ppm)} back"


NO_PROMISE = Promise()


def show_percent(ppm: int) -> str:
    """Millionths as people say them: "99.9 %"."""
    return f"{ppm // 10_000}{f'.{ppm % 10_000:04}'.rstrip('0').rstrip('.')} %"


def find_breach(terms: LeaseTerms, last: Receipt) -> Amount | None:
    """What goes back to the payer by the provider's own final receipt, or None when it kept its promise.

    The same whole numbers as FaultProver.proveBreach. A workload that ended before the lease had to be open cannot
    breach, and one that cost nothing has nothing to give back.
    """
    passed_ns = last.at_ns - terms.open_until_ns
    if not last.final or passed_ns <= 0:
        return None
    if last.running_ns * PPM >= passed_ns * terms.availability_ppm:
        return None
    return Amount(mul_div_down(last.cost, terms.refund_ppm, PPM)) or None
