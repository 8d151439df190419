"""Promise: how available a provider says a workload will be, and what of the cost goes back when it was not."""

from __future__ import annotations

import msgspec

from metering.receipt import Receipt
from metering.terms import LeaseTerms
from metering.units import NANOS_PER_SECOND, PPM, Amount, Ppm, mul_div_down

LEAST_SILENCE_NS = 3600 * NANOS_PER_SECOND
"""A provider that says nothing for less than this is not silent, however short the intervals (BreachProver.LEAST_SILENCE_NS)."""

CLAIM_TIME_NS = 3 * 86_400 * NANOS_PER_SECOND
"""How long after a lease's newest receipt its silence can be claimed (BreachProver.CLAIM_TIME)."""


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

    The same whole numbers as BreachProver.proveBreach. A workload that ended before the lease had to be open cannot
    breach, and one that cost nothing has nothing to give back.
    """
    return _find_due(terms, last, last.at_ns) if last.final else None


def find_silence(terms: LeaseTerms, known: Receipt, now_ns: int) -> Amount | None:
    """What goes back to the payer when the provider, asked on chain, has nothing newer than this receipt to show.

    As BreachProver.claimSilence has it: the lease ended now, at the latest at its time limit, and has not run since the
    receipt. None when it is the last one, when it is too early or too late to ask, and when the promise is kept even so.
    """
    begin_ns, end_ns = find_claim_time(terms, known)
    if known.final or not begin_ns <= now_ns <= end_ns:
        return None
    return _find_due(terms, known, min(now_ns, terms.open_until_ns + terms.duration_limit_ns))


def find_claim_time(terms: LeaseTerms, known: Receipt) -> tuple[int, int]:
    """From when until when the silence after this receipt, which is not the last one, can be claimed."""
    begin_ns = known.at_ns + count_silence_ns(terms)
    return begin_ns, max(begin_ns + NANOS_PER_SECOND, known.at_ns + CLAIM_TIME_NS)


def count_silence_ns(terms: LeaseTerms) -> int:
    """How long after a receipt nothing may come."""
    return max(terms.interval_ns * terms.exposure_intervals, LEAST_SILENCE_NS)


def _find_due(terms: LeaseTerms, shown: Receipt, end_ns: int) -> Amount | None:
    passed_ns = end_ns - terms.open_until_ns
    if passed_ns <= 0 or shown.running_ns * PPM >= passed_ns * terms.availability_ppm:
        return None
    return Amount(mul_div_down(shown.cost, terms.refund_ppm, PPM)) or None
