"""Factories: valid values for tests, each with only what a test wants different."""

from __future__ import annotations

from typing import Any

import msgspec
from coincurve import PrivateKey

from metering.eip712 import Domain, keccak
from metering.resources import Resources
from metering.signature import address_of_key, sign_digest
from metering.tariff import Tariff
from metering.terms import Escrow, LeaseTerms
from metering.units import BYTES_PER_GIB, NANOS_PER_HOUR, NANOS_PER_SECOND, ZERO_HASH, Address, Amount, Hash32
from scheduler.feasible import exposure_limit_of
from scheduler.job import Image, Job, job_hash_of
from scheduler.offer import HardwareProfile, Offer, OfferBody, SignedOffer, offer_digest_of
from scheduler.quote import Quote, QuoteBody, SignedQuote, quote_digest_of

NOW_NS = 1_800_000_000 * NANOS_PER_SECOND
ASSET = Address(b"\xaa" * 20)
DOMAIN = Domain(31337, Address(b"\xcc" * 20))
SEPARATOR = DOMAIN.separator()
ENTROPY = bytes(range(32))
TOKEN = 10**18


def make_key(number: int) -> PrivateKey:
    """A private key for each number from 0."""
    return PrivateKey((number + 1).to_bytes(32, "big"))


def address_of(number: int) -> Address:
    """The address of make_key(number)."""
    return address_of_key(make_key(number).public_key)


def make_tariff(vcpu_hour: int = TOKEN // 10, **changes: int) -> Tariff:
    """A tariff in tokens of 18 decimals."""
    prices = {
        "memory_gib_hour": TOKEN // 100,
        "disk_gib_hour": TOKEN // 1000,
        "gpu_hour": 2 * TOKEN,
        "ingress_gb": 0,
        "egress_gb": TOKEN // 50,
    } | changes
    return Tariff(Amount(vcpu_hour), **{name: Amount(price) for name, price in prices.items()})


def make_resources(**changes: Any) -> Resources:
    """Half a vCPU, 512 MiB, 1 GiB of disk."""
    return msgspec.structs.replace(Resources(500, BYTES_PER_GIB // 2, BYTES_PER_GIB), **changes)


def make_job(**changes: Any) -> Job:
    """A ten-minute job that fits make_offer_body()."""
    job = Job(
        name="hello",
        submitter=address_of(0),
        nonce=bytes(16),
        image=Image("sha256:" + "ab" * 32, 10_000_000),
        command=("echo", "hello"),
        env=(),
        inputs=(),
        resources=make_resources(),
        duration_limit_ns=600 * NANOS_PER_SECOND,
        asset=ASSET,
        budget=Amount(5 * TOKEN),
    )
    return msgspec.structs.replace(job, **changes)


def make_profile(**changes: Any) -> HardwareProfile:
    """A host of 8 threads."""
    profile = HardwareProfile("cpu", 4, 8, 16 * BYTES_PER_GIB, 100 * BYTES_PER_GIB, "x86_64", "6.1")
    return msgspec.structs.replace(profile, **changes)


def make_offer_body(**changes: Any) -> OfferBody:
    """What make_profile()'s host offers."""
    capacity = Resources(8_000, 16 * BYTES_PER_GIB, 100 * BYTES_PER_GIB)
    body = OfferBody(
        profile=make_profile(),
        capacity=capacity,
        free=capacity,
        tariff=make_tariff(),
        asset=ASSET,
        region="eu-west",
        interval_ns=10 * NANOS_PER_SECOND,
        exposure_intervals=2,
        min_duration_ns=NANOS_PER_SECOND,
        max_duration_ns=24 * NANOS_PER_HOUR,
        thaw=3600,
        allows_network=True,
        runtime="crun",
        software="xnode/0.1.0",
    )
    return msgspec.structs.replace(body, **changes)


def make_offer(node: int = 1, number: int = 1, expires_at_ns: int = NOW_NS + NANOS_PER_HOUR, **body: Any) -> Offer:
    """The offer of node key `node`; its provider is key 1000 + node."""
    return Offer(address_of(1000 + node), address_of(node), number, expires_at_ns, make_offer_body(**body))


def sign_offer(offer: Offer, node: int = 1) -> SignedOffer:
    """Signed by key `node`."""
    return SignedOffer(offer, sign_digest(make_key(node), offer_digest_of(SEPARATOR, offer)))


def make_signed_offer(node: int = 1, **changes: Any) -> SignedOffer:
    """make_offer, signed by its node."""
    return sign_offer(make_offer(node, **changes), node)


def make_quote_body(job: Job, **changes: Any) -> QuoteBody:
    """A quote that answers the job at make_tariff()'s prices, without network."""
    body = QuoteBody(
        job_hash=job_hash_of(job),
        submitter=job.submitter,
        resources=job.resources,
        tariff=make_tariff(egress_gb=0),
        asset=job.asset,
        cost_limit=job.budget,
        exposure_limit=Amount(1),
        interval_ns=10 * NANOS_PER_SECOND,
        duration_limit_ns=job.duration_limit_ns,
        thaw=3600,
        exposure_intervals=2,
    )
    body = msgspec.structs.replace(body, **changes)
    if "exposure_limit" in changes:
        return body
    limit = exposure_limit_of(job, body.tariff, body.interval_ns, body.exposure_intervals)
    return msgspec.structs.replace(body, exposure_limit=limit)


def make_signed_quote(job: Job, node: int = 1, number: int = 1, **body: Any) -> SignedQuote:
    """A quote of node key `node`, signed by it."""
    quote = Quote(
        address_of(1000 + node), address_of(node), number, NOW_NS + 30 * NANOS_PER_SECOND, make_quote_body(job, **body)
    )
    return SignedQuote(quote, sign_digest(make_key(node), quote_digest_of(SEPARATOR, quote)))


def make_escrow(**changes: Any) -> Escrow:
    """Key 0 pays and signs, provider 1001 is paid."""
    escrow = Escrow(address_of(0), address_of(0), address_of(1001), ASSET, ZERO_HASH, 3600, 1)
    return msgspec.structs.replace(escrow, **changes)


def make_terms(**changes: Any) -> LeaseTerms:
    """Terms of a lease between key 0 and node key 1."""
    terms = LeaseTerms(
        job_hash=Hash32(keccak(b"job")),
        quote_hash=Hash32(keccak(b"quote")),
        submitter=address_of(0),
        provider=address_of(1001),
        node=address_of(1),
        escrow_id=Hash32(keccak(b"escrow")),
        lease_number=0,
        asset=ASSET,
        resources=make_resources(),
        tariff=make_tariff(),
        cost_limit=Amount(5 * TOKEN),
        exposure_limit=Amount(TOKEN),
        interval_ns=10 * NANOS_PER_SECOND,
        duration_limit_ns=600 * NANOS_PER_SECOND,
        open_until_ns=NOW_NS + 30 * NANOS_PER_SECOND,
        exposure_intervals=2,
    )
    return msgspec.structs.replace(terms, **changes)
