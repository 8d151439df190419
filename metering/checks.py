"""Checks: what one side accepts from the other; each gives the refusal, or None."""

from __future__ import annotations

from metering.money_words import say_amount
from metering.receipt import Receipt, SignedReceipt, receipt_digest_of
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.tariff import cost_of
from metering.terms import Escrow, LeaseTerms
from metering.units import NANOS_PER_SECOND, Amount, Hash32
from metering.usage import CLOCK_SLACK_NS, USAGE_FIELDS, find_fall, usage_ceiling_of
from metering.voucher import Coverage, SignedVoucher, Voucher, fold_receipts, voucher_digest_of

CLOCK_SKEW_NS = 60 * NANOS_PER_SECOND
"""How far two hosts' clocks may be apart. Most hosts are set by NTP; deadlines between them are tens of seconds already."""

RECEIPTS_PER_INTERVAL, SPARE_RECEIPTS = 4, 128
"""The most receipts of one lease, and so many more; an interval below a second counts as one."""


def check_receipt(
    last: Receipt,
    signed: SignedReceipt,
    terms: LeaseTerms,
    separator: Hash32,
    elapsed_ns: int,
    network_bytes: int = 0,
) -> Refusal | None:
    """What is wrong with a receipt that should follow `last`.

    elapsed_ns: time on the submitter's own clock since it knew of the lease: the only clock the submitter trusts.
    network_bytes: the most the job may move each way, as the job says; no clock limits those.
    The cheap checks come before the signature, so that nonsense costs us little.
    """
    receipt = signed.receipt
    return (
        _check_order(last, receipt)
        or _check_elapsed(receipt, terms, elapsed_ns)
        or _check_usage(receipt, terms, network_bytes)
        or _check_cost(receipt, terms)
        or _check_receipt_signature(signed, terms, separator)
    )


def check_receipts(
    last: Receipt,
    queue: tuple[SignedReceipt, ...],
    terms: LeaseTerms,
    separator: Hash32,
    elapsed_ns: int,
    network_bytes: int = 0,
) -> Refusal | None:
    """What is wrong with receipts that waited together, oldest first.

    They are cumulative, so the last one says everything: only its signature is checked, the others must lead up to it.
    """
    for signed in queue[:-1]:
        refusal = _check_order(last, signed.receipt) or _check_cost(signed.receipt, terms)
        if refusal is not None:
            return refusal
        last = signed.receipt
    return check_receipt(last, queue[-1], terms, separator, elapsed_ns, network_bytes)


def check_receipt_count(count: int, terms: LeaseTerms, elapsed_ns: int) -> Refusal | None:
    """What is wrong with so many receipts of a lease so far: each is kept, and a provider must not choose how much we keep.

    An honest one issues one in an interval, or two, and one more after each of its restarts.
    """
    most = SPARE_RECEIPTS + RECEIPTS_PER_INTERVAL * max(0, elapsed_ns) // max(terms.interval_ns, NANOS_PER_SECOND)
    if count > most:
        passed = f"the interval is {_s(terms.interval_ns)} and {_s(elapsed_ns)} have passed"
        return Refusal("receipt_count", f"{count} receipts are more than {most}: {passed}")
    return None


def check_receipt_time(receipt: Receipt, known_at_ns: int, now_ns: int) -> Refusal | None:
    """What is wrong with the time that the provider wrote: capacity and promises are judged by it later.

    known_at_ns: when the submitter knew of the lease; now_ns: both by its own clock. A receipt may come late, but not
    before what it says has happened.
    """
    if receipt.at_ns > now_ns + CLOCK_SKEW_NS:
        return Refusal("receipt_time", f"receipt {receipt.number} is dated {_s(receipt.at_ns - now_ns)} ahead of now")
    if receipt.at_ns < known_at_ns + receipt.running_ns - CLOCK_SKEW_NS:
        early = _s(known_at_ns + receipt.running_ns - receipt.at_ns)
        return Refusal("receipt_time", f"receipt {receipt.number} is dated {early} before it can have run that long")
    return None


def _s(duration_ns: int) -> str:
    return f"{duration_ns / NANOS_PER_SECOND:.0f} s"


def _check_order(last: Receipt, receipt: Receipt) -> Refusal | None:
    if receipt.lease_id != last.lease_id:
        return Refusal("receipt_wrong_lease", f"receipt is for lease {receipt.lease_id.hex()[:16]}")
    if last.final:
        return Refusal("receipt_after_final", f"receipt {receipt.number} came after the final one, {last.number}")
    if receipt.number <= last.number:
        return Refusal("receipt_number", f"receipt {receipt.number} came after {last.number}")
    if receipt.at_ns < last.at_ns or receipt.running_ns < last.running_ns:
        return Refusal("receipt_time_fell", f"receipt {receipt.number} is earlier than the one before it")
    fallen = find_fall(last.usage, receipt.usage)
    if fallen:
        return Refusal("receipt_usage_fell", f"{fallen} of receipt {receipt.number} is below the one before it")
    if receipt.cost < last.cost:
        return Refusal("receipt_cost_fell", f"the cost of receipt {receipt.number} is below that of the one before it")
    return None


def _check_elapsed(receipt: Receipt, terms: LeaseTerms, elapsed_ns: int) -> Refusal | None:
    most_ns = min(elapsed_ns, terms.duration_limit_ns)
    if receipt.running_ns > most_ns + CLOCK_SLACK_NS:
        return Refusal("receipt_running_ns", f"running_ns {receipt.running_ns} is above the {most_ns} that have passed")
    return None


def _check_usage(receipt: Receipt, terms: LeaseTerms, network_bytes: int) -> Refusal | None:
    ceiling = usage_ceiling_of(terms.resources, receipt.running_ns, network_bytes)
    for name in USAGE_FIELDS:
        value, most = getattr(receipt.usage, name), getattr(ceiling, name)
        if value > most:
            return Refusal(
                "receipt_usage_above_limit", f"{name} {value} is above {most}, the most the lease allows by now"
            )
    return None


def _check_cost(receipt: Receipt, terms: LeaseTerms) -> Refusal | None:
    due = min(cost_of(receipt.usage, terms.tariff), terms.cost_limit)
    if receipt.cost != due:
        return Refusal(
            "receipt_cost",
            f"cost {say_amount(receipt.cost, terms.asset)} is not the {say_amount(due, terms.asset)} that this usage comes to",
        )
    return None


def _check_receipt_signature(signed: SignedReceipt, terms: LeaseTerms, separator: Hash32) -> Refusal | None:
    if not is_signed_by(terms.node, receipt_digest_of(separator, signed.receipt), signed.signature):
        return Refusal(
            "receipt_signature", f"receipt {signed.receipt.number} is not signed by node 0x{terms.node.hex()}"
        )
    return None


def check_voucher(
    last: Voucher, signed: SignedVoucher, coverage: Coverage, escrow: Escrow, separator: Hash32
) -> Refusal | None:
    """What is wrong with a voucher that should follow `last` on its escrow."""
    voucher = signed.voucher
    if voucher.escrow_id != last.escrow_id:
        return Refusal("voucher_wrong_escrow", f"voucher is for escrow {voucher.escrow_id.hex()[:16]}")
    if voucher.cumulative < last.cumulative:
        there, before = say_amount(voucher.cumulative, escrow.asset), say_amount(last.cumulative, escrow.asset)
        return Refusal(
            "voucher_fell",
            f"voucher of {there} is below the {before} that was signed before",
        )
    if voucher.receipts_hash != fold_receipts(coverage.prefix, coverage.digests):
        return Refusal("voucher_receipts_hash", "receipts_hash is not the fold of the receipts it names")
    if not is_signed_by(escrow.signer, voucher_digest_of(separator, voucher), signed.signature):
        return Refusal("voucher_signature", f"voucher is not signed by the escrow's signer 0x{escrow.signer.hex()}")
    return None


def exposure_of(cost: Amount, vouchered: Amount) -> Amount:
    """Cost on receipts that no voucher covers yet."""
    return Amount(max(0, cost - vouchered))
