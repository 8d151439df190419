"""Policy: what a provider takes on, and its answer to one quote request."""

from __future__ import annotations

from dataclasses import dataclass

from metering.money_words import say_amount
from metering.refusal import Refusal
from metering.resources import Resources
from metering.sla import NO_PROMISE, Promise, show_percent
from metering.tariff import Tariff
from metering.time_words import say_duration
from metering.units import BYTES_PER_GB, BYTES_PER_GIB, NANOS_PER_HOUR, NANOS_PER_SECOND, Address
from scheduler.feasible import (
    cost_limit_of,
    describe_prices_above_bid,
    exposure_limit_of,
    find_prices_above_bid,
    has_gpu_model,
    price_for,
)
from scheduler.job import Job, check_job, input_bytes_of, job_hash_of
from scheduler.quote import QuoteBody
from scheduler.registry import WELL_KNOWN, describe_allowed, is_allowed, parse_reference

MAX_IMAGE_BYTES = 20 * BYTES_PER_GIB
"""Of all blobs of an image, packed as they travel."""

DRAINING = Refusal("draining", "this provider takes no new jobs now; ask another one")


@dataclass(frozen=True, slots=True)
class Policy:
    """asset and tariff: what is asked; interval_ns and exposure_intervals: how often receipts come and how many may go
    unpaid; thaw: least seconds; denied: submitters never served; closes_at_ns: every workload must have ended by then
    (0: open end); draining: take nothing new; promise: of availability, the same for every job; registries: what images are
    pulled from (empty: none)."""

    asset: Address
    tariff: Tariff
    region: str
    interval_ns: int = 10 * NANOS_PER_SECOND
    exposure_intervals: int = 2
    min_duration_ns: int = NANOS_PER_SECOND
    max_duration_ns: int = 24 * NANOS_PER_HOUR
    thaw: int = 3_600
    allows_network: bool = False
    max_network_bytes: int = 100 * BYTES_PER_GB
    registries: tuple[str, ...] = WELL_KNOWN
    max_image_bytes: int = MAX_IMAGE_BYTES
    max_input_bytes: int = 20 * BYTES_PER_GIB
    denied: frozenset[Address] = frozenset()
    closes_at_ns: int = 0
    draining: bool = False
    promise: Promise = NO_PROMISE


def answer(job: Job, free: Resources, policy: Policy, now_ns: int) -> QuoteBody | Refusal:
    """The quote for this job, or why there is none. The provider that signs it must hold the resources until it expires.

    free: what no lease and no standing quote holds, with the host's GPU model.
    """
    refusal = (
        _check_submitter(job, policy)
        or check_job(job)
        or _check_place(job, policy, now_ns)
        or _check_sizes(job, policy)
        or _check_room(job, free)
        or _check_money(job, policy)
    )
    return refusal or _make_quote_body(job, policy)


def _make_quote_body(job: Job, policy: Policy) -> QuoteBody:
    return QuoteBody(
        job_hash=job_hash_of(job),
        submitter=job.submitter,
        resources=job.resources,
        tariff=price_for(job, policy.tariff),
        asset=policy.asset,
        cost_limit=cost_limit_of(job, policy.tariff),
        exposure_limit=exposure_limit_of(job, policy.tariff, policy.interval_ns, policy.exposure_intervals),
        interval_ns=policy.interval_ns,
        duration_limit_ns=job.duration_limit_ns,
        thaw=policy.thaw,
        promise=policy.promise,
        exposure_intervals=policy.exposure_intervals,
    )


def _check_submitter(job: Job, policy: Policy) -> Refusal | None:
    if policy.draining:
        return DRAINING
    if job.submitter in policy.denied:
        return Refusal("submitter_denied", f"this provider does not serve submitter 0x{job.submitter.hex()}")
    return None


def _check_place(job: Job, policy: Policy, now_ns: int) -> Refusal | None:
    asked_ns = job.duration_limit_ns
    if job.asset != policy.asset:
        return Refusal("asset", f"paid in asset 0x{policy.asset.hex()}, the job pays in 0x{job.asset.hex()}")
    if job.regions and policy.region not in job.regions:
        return Refusal("region", f"this is region {policy.region!r}, the job asks for others")
    if not policy.min_duration_ns <= asked_ns <= policy.max_duration_ns:
        least, most = say_duration(policy.min_duration_ns), say_duration(policy.max_duration_ns)
        return Refusal("duration", f"time limit {say_duration(asked_ns)} is not within {least} to {most}")
    if policy.closes_at_ns and now_ns + asked_ns > policy.closes_at_ns:
        left = say_duration(max(0, policy.closes_at_ns - now_ns))
        return Refusal("closing", f"this host closes in {left}, the job may take {say_duration(asked_ns)}")
    if job.min_availability_ppm > policy.promise.worth_ppm:
        there, asked = show_percent(policy.promise.worth_ppm), show_percent(job.min_availability_ppm)
        return Refusal("availability", f"this provider promises {there} of availability, the job asks for {asked}")
    if job.network and not policy.allows_network:
        return Refusal("network", "this provider allows no network; run the job without it or ask another one")
    return _check_image_source(job, policy)


def _check_image_source(job: Job, policy: Policy) -> Refusal | None:
    if not job.image.reference:
        return None
    if not policy.registries:
        return Refusal("image_source", "this provider pulls from no registry; send the image from an OCI layout")
    named = parse_reference(job.image.reference)
    if named is None or not is_allowed(named.registry, policy.registries):
        where, allowed = named.registry[:64] if named else "nowhere", describe_allowed(policy.registries)
        return Refusal(
            "image_registry",
            f"this provider pulls images from {allowed}, not from {where}; import it, or ask another one",
        )
    return None


def _check_sizes(job: Job, policy: Policy) -> Refusal | None:
    input_bytes = input_bytes_of(job)
    sizes = (
        ("network_size", "network", job.network_bytes, policy.max_network_bytes),
        ("image_size", "image", job.image.size_bytes, policy.max_image_bytes),
        ("input_size", "inputs", input_bytes, policy.max_input_bytes),
    )
    for code, noun, size_bytes, limit_bytes in sizes:
        if size_bytes > limit_bytes:
            return Refusal(code, f"{noun} of {size_bytes} bytes, this provider takes at most {limit_bytes}")
    return None


def _check_room(job: Job, free: Resources) -> Refusal | None:
    if not job.resources.fits_in(free):
        return Refusal("capacity", f"free is {free.describe()}; the job asks for {job.resources.describe()}")
    if job.resources.gpus and not has_gpu_model(job.resources.gpu_model, free.gpu_model):
        return Refusal("gpu_model", f"the GPUs are {free.gpu_model!r}, the job asks for {job.resources.gpu_model!r}")
    return None


def _check_money(job: Job, policy: Policy) -> Refusal | None:
    prices = find_prices_above_bid(job, policy.tariff)
    if prices:
        return Refusal("price", describe_prices_above_bid(prices, job.asset))
    limit = cost_limit_of(job, policy.tariff)
    if limit > job.budget:
        most, budget = say_amount(limit, job.asset), say_amount(job.budget, job.asset)
        return Refusal("budget", f"the job may cost {most} here, its budget is {budget}")
    return None
