"""Quote: a provider's firm, signed, expiring answer to one job; it holds capacity until it expires."""

from __future__ import annotations

import msgspec

from metering.bounds import SignatureBytes
from metering.codec import encode
from metering.eip712 import keccak, typed_digest
from metering.money_words import say_amount
from metering.refusal import Refusal
from metering.resources import Resources
from metering.signature import is_signed_by
from metering.sla import NO_PROMISE, Promise, show_percent
from metering.tariff import Tariff, find_higher_price
from metering.units import U32, U64, Address, Amount, Hash32, Nanos
from scheduler.job import Job, job_hash_of


class QuoteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """cost_limit: the most the job can cost here; exposure_limit, exposure_intervals: unpaid cost, and intervals of unpaid
    work, at which the workload is stopped."""

    job_hash: Hash32
    submitter: Address
    resources: Resources
    tariff: Tariff
    asset: Address
    cost_limit: Amount
    exposure_limit: Amount
    interval_ns: Nanos
    duration_limit_ns: Nanos
    thaw: U32
    promise: Promise = NO_PROMISE
    exposure_intervals: U32 = 0
    """Zero only in quotes of 0.1.0, which a store may still hold."""


class Quote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """number: counts this node's quotes; two different quotes of one number are proof of fraud."""

    provider: Address
    node: Address
    number: U64
    expires_at_ns: Nanos
    body: QuoteBody

    @property
    def body_hash(self) -> Hash32:
        """keccak of the body's canonical bytes."""
        return keccak(encode(self.body))


class SignedQuote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quote and its node's signature."""

    quote: Quote
    signature: SignatureBytes


def quote_digest_of(separator: Hash32, quote: Quote) -> Hash32:
    """What the provider's node signs; also the quote's hash in lease terms."""
    return typed_digest(separator, "Quote", quote)


def check_quote(signed: SignedQuote, job: Job, separator: Hash32, now_ns: int) -> Refusal | None:
    """What is wrong with a quote as an answer to this job."""
    quote, body = signed.quote, signed.quote.body
    if body.job_hash != job_hash_of(job) or body.submitter != job.submitter:
        return Refusal("quote_wrong_job", f"quote {quote.number} answers another job")
    if quote.expires_at_ns <= now_ns:
        return Refusal("quote_expired", f"quote {quote.number} of 0x{quote.node.hex()} has expired")
    if body.asset != job.asset:
        return Refusal("quote_asset", f"quote {quote.number} is in asset 0x{body.asset.hex()}, not the job's")
    if body.resources != job.resources or body.duration_limit_ns < job.duration_limit_ns:
        return Refusal("quote_resources", f"quote {quote.number} is for other resources than the job asks")
    price = find_higher_price(body.tariff, job.bid) if job.bid else None
    if price:
        return Refusal("quote_above_bid", f"{price} of quote {quote.number} is above the job's bid")
    if body.cost_limit > job.budget:
        return Refusal(
            "quote_above_budget",
            f"quote {quote.number} may cost {say_amount(body.cost_limit, job.asset)},"
            f" the budget is {say_amount(job.budget, job.asset)}",
        )
    if body.promise.worth_ppm < job.min_availability_ppm:
        there, asked = show_percent(body.promise.worth_ppm), show_percent(job.min_availability_ppm)
        return Refusal("quote_availability", f"quote {quote.number} promises {there} of availability, not {asked}")
    if not is_signed_by(quote.node, quote_digest_of(separator, quote), signed.signature):
        return Refusal("quote_signature", f"quote {quote.number} is not signed by node 0x{quote.node.hex()}")
    return None
