"""Feasible: the named checks that an offer must pass for a job, each with its reason in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from metering.money_words import say_amount, say_stake
from metering.refusal import Refusal
from metering.sla import show_percent
from metering.tariff import Tariff, cost_ceiling_of
from metering.time_words import say_duration
from metering.units import BYTES_PER_GIB, NANOS_PER_SECOND, ZERO, Address, Amount, mul_div_down
from scheduler.architecture import architecture_of, can_run
from scheduler.job import Job
from scheduler.offer import Offer, OfferBody
from scheduler.preferences import Preferences

ALL_OF_IT = 1_000_000
"""The gap of a constraint that is met or not."""


MAX_NAMED_PRICES = 3
"""Of prices above a bid, each with both numbers: a refusal stays one line."""

ROOM = frozenset({"offer_gpus", "offer_vcpus", "offer_memory", "offer_disk"})
"""What an offer lacks while others hold it."""


class Misfit(Refusal, frozen=True):
    """A refusal with how far off the offer is. gap: millionths of what is asked; ALL_OF_IT when there is nothing in between."""

    gap: int = ALL_OF_IT


Test = Callable[[Job, Offer, int, Preferences], Misfit | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One constraint: its refusal's code, the test that gives the refusal or None, and what failing it means."""

    code: str
    test: Test
    meaning: str


def check_offer_for_job(job: Job, offer: Offer, now_ns: int, preferences: Preferences) -> tuple[Misfit, ...]:
    """Every reason why this offer cannot take this job; empty when it can."""
    found = (check.test(job, offer, now_ns, preferences) for check in CHECKS)
    return tuple(misfit for misfit in found if misfit)


def is_only_busy(job: Job, offer: Offer, misfits: Iterable[Misfit]) -> bool:
    """True when nothing but room is missing, and the host has that much in all: it fits, once others are done."""
    codes = {one.code for one in misfits}
    return bool(codes) and codes <= ROOM and job.resources.fits_in(offer.body.capacity)


def fits_job(job: Job, offer: Offer, now_ns: int, preferences: Preferences) -> bool:
    """True when no check finds a reason against; stops at the first."""
    for check in CHECKS:  # noqa: SIM110  # a generator would cost more than most of the checks
        if check.test(job, offer, now_ns, preferences) is not None:
            return False
    return True


def cost_limit_of(job: Job, tariff: Tariff) -> Amount:
    """The most the job can cost under this tariff: what a quote must promise and a budget must cover."""
    return cost_ceiling_of(
        job.resources, price_for(job, tariff), job.duration_limit_ns, job.network_bytes if job.network else 0
    )


def exposure_limit_of(job: Job, tariff: Tariff, interval_ns: int, intervals: int) -> Amount:
    """Unpaid cost at which the workload stops: what these intervals can cost, with all the job's network bytes, because
    those can move at once and an honest job must not be stopped for it. At least one base unit."""
    duration_ns = min(interval_ns * intervals, job.duration_limit_ns)
    return max(Amount(1), cost_ceiling_of(job.resources, price_for(job, tariff), duration_ns, job.network_bytes))


def price_for(job: Job, tariff: Tariff) -> Tariff:
    """The tariff as it applies to the job: a job without network pays for none, whatever a counter says."""
    return tariff if job.network else without_network(tariff)


def without_network(tariff: Tariff) -> Tariff:
    """The tariff with free network."""
    return Tariff(tariff.vcpu_hour, tariff.memory_gib_hour, tariff.disk_gib_hour, tariff.gpu_hour, ZERO, ZERO)


def find_prices_above_bid(job: Job, tariff: Tariff) -> tuple[tuple[str, Amount, Amount], ...]:
    """Every price above the job's bid: (its name, the ask, the bid)."""
    if job.bid is None:
        return ()
    asked = price_for(job, tariff)
    prices = ((name, getattr(asked, name), getattr(job.bid, name)) for name in Tariff.__struct_fields__)
    return tuple((name, ask, bid) for name, ask, bid in prices if ask > bid)


def describe_prices_above_bid(prices: tuple[tuple[str, Amount, Amount], ...], asset: Address) -> str:
    """One line that names the first prices with both numbers, and how many more there are."""
    named = [
        f"{name} {say_amount(ask, asset)} is above the bid of {say_amount(bid, asset)}"
        for name, ask, bid in prices[:MAX_NAMED_PRICES]
    ]
    more = len(prices) - len(named)
    return ", ".join([*named, *([f"and {more} more are"] if more else [])])


@lru_cache(maxsize=1024)
def has_gpu_model(wanted: str, offered: str) -> bool:
    """True when every word of the wanted model is a word of the offered one ("h200" finds "NVIDIA H200")."""
    return set(wanted.lower().split()) <= set(offered.lower().split())


def _miss(code: str, detail: str, wanted: int, there: int) -> Misfit:
    return Misfit(code, detail, mul_div_down(abs(wanted - there), ALL_OF_IT, max(1, wanted)))


def _check_expired(_job: Job, offer: Offer, now_ns: int, _preferences: Preferences) -> Misfit | None:
    late_ns = now_ns - offer.expires_at_ns
    if late_ns < 0:
        return None
    return Misfit("offer_expired", f"the offer expired {late_ns / NANOS_PER_SECOND:.0f} s ago")


def _check_asset(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    if offer.body.asset == job.asset:
        return None
    return Misfit("offer_asset", f"it is paid in asset 0x{offer.body.asset.hex()}, the job pays in 0x{job.asset.hex()}")


def _check_region(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    if not job.regions or offer.body.region in job.regions:
        return None
    return Misfit("offer_region", f"it is in region {offer.body.region!r}, the job asks for {', '.join(job.regions)}")


def _check_gpus(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, free = job.resources.gpus, offer.body.free.gpus
    if wanted <= free:
        return None
    return _miss("offer_gpus", f"{_of(offer.body, 'gpus')} GPUs free, the job asks for {wanted}", wanted, free)


def _check_gpu_model(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, model = job.resources.gpu_model, offer.body.free.gpu_model or offer.body.capacity.gpu_model
    if not job.resources.gpus or has_gpu_model(wanted, model):
        return None
    return Misfit("offer_gpu_model", f"its GPUs are {model or 'none'!r}, the job asks for {wanted!r}")


def _check_vcpus(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, free = job.resources.vcpu_milli, offer.body.free.vcpu_milli
    if wanted <= free:
        return None
    return _miss("offer_vcpus", f"{free / 1000:g} vCPU free, the job asks for {wanted / 1000:g}", wanted, free)


def _check_memory(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, free = job.resources.memory_bytes, offer.body.free.memory_bytes
    if wanted <= free:
        return None
    return _miss("offer_memory", f"{_gib(free)} of memory free, the job asks for {_gib(wanted)}", wanted, free)


def _check_disk(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, free = job.resources.disk_bytes, offer.body.free.disk_bytes
    if wanted <= free:
        return None
    return _miss("offer_disk", f"{_gib(free)} of disk free, the job asks for {_gib(wanted)}", wanted, free)


def _check_duration_least(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    asked, least = job.duration_limit_ns, offer.body.min_duration_ns
    if asked >= least:
        return None
    return _miss(
        "offer_duration_least",
        f"it takes jobs from {say_duration(least)} up, the limit is {say_duration(asked)}",
        asked,
        least,
    )


def _check_duration_most(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    asked, most = job.duration_limit_ns, offer.body.max_duration_ns
    if asked <= most:
        return None
    return _miss(
        "offer_duration_most",
        f"it takes jobs up to {say_duration(most)}, the limit is {say_duration(asked)}",
        asked,
        most,
    )


def _check_network(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    if not job.network or offer.body.allows_network:
        return None
    return Misfit("offer_network", "it allows no network, the job asks for it")


def _check_image_source(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    if not job.image.reference or offer.body.fetches_images:
        return None
    return Misfit("offer_image_source", f"it pulls from no registry, the job's image is at {job.image.reference}")


def _check_architecture(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    machine, wanted = offer.body.profile.architecture, job.image.architecture
    if can_run(machine, wanted):
        return None
    return Misfit("offer_architecture", f"its processors are {architecture_of(machine)}, the image is for {wanted}")


def _check_stake(job: Job, offer: Offer, _now_ns: int, preferences: Preferences) -> Misfit | None:
    if not job.min_stake:
        return None
    stake = preferences.stakes.get(offer.provider)
    if stake is None:
        return Misfit("offer_stake", f"its stake is not known, the job asks for {say_stake(job.min_stake)}")
    if offer.provider in preferences.defaulted:
        detail = "it is in default of credits that it sold, so its stake belongs to their holders first"
        return Misfit("offer_stake", f"{detail}; the job asks for {say_stake(job.min_stake)}")
    if stake >= job.min_stake:
        return None
    has, wants = say_stake(stake), say_stake(job.min_stake)
    return _miss("offer_stake", f"its stake is {has}, the job asks for {wants}", job.min_stake, stake)


def _check_availability(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    wanted, there = job.min_availability_ppm, offer.body.promise.worth_ppm
    if wanted <= there:
        return None
    detail = f"it promises {show_percent(there)} of availability, the job asks for {show_percent(wanted)}"
    return _miss("offer_availability", detail, wanted, there)


def _check_exposure(_job: Job, offer: Offer, _now_ns: int, preferences: Preferences) -> Misfit | None:
    excess = preferences.exposure_bound.find_excess(offer.body.interval_ns, offer.body.exposure_intervals)
    return Misfit("offer_exposure", f"work that it lets go unpaid: {excess}") if excess else None


def _check_refused(_job: Job, offer: Offer, _now_ns: int, preferences: Preferences) -> Misfit | None:
    reason = preferences.refused.get(offer.node)
    return None if reason is None else Misfit("offer_refused_before", f"we do not ask it now: {reason}")


def _check_price(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    prices = find_prices_above_bid(job, offer.body.tariff)
    if not prices:
        return None
    gap = max(mul_div_down(ask - bid, ALL_OF_IT, max(1, bid)) for _, ask, bid in prices)
    return Misfit("offer_price", describe_prices_above_bid(prices, job.asset), gap)


def _check_budget(job: Job, offer: Offer, _now_ns: int, _preferences: Preferences) -> Misfit | None:
    limit = cost_limit_of(job, offer.body.tariff)
    if limit <= job.budget:
        return None
    most, budget = say_amount(limit, job.asset), say_amount(job.budget, job.asset)
    return _miss("offer_budget", f"the job may cost {most} there, the budget is {budget}", job.budget, limit)


def _of(body: OfferBody, name: str) -> str:
    return f"{getattr(body.free, name)} of {getattr(body.capacity, name)}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_GIB:.4g} GiB"


# The cheap ones that most offers fail come first: a search stops at an offer's first misfit.
CHECKS: tuple[Check, ...] = (
    Check("offer_expired", _check_expired, "the offer has expired"),
    Check("offer_asset", _check_asset, "paid in another asset"),
    Check("offer_gpus", _check_gpus, "fewer GPUs are free than the job asks for"),
    Check("offer_gpu_model", _check_gpu_model, "other GPUs than the job asks for"),
    Check("offer_region", _check_region, "in none of the job's regions"),
    Check("offer_vcpus", _check_vcpus, "fewer vCPUs are free than the job asks for"),
    Check("offer_memory", _check_memory, "less memory is free than the job asks for"),
    Check("offer_disk", _check_disk, "less disk is free than the job asks for"),
    Check("offer_duration_least", _check_duration_least, "takes only longer jobs"),
    Check("offer_duration_most", _check_duration_most, "takes only shorter jobs"),
    Check("offer_network", _check_network, "allows no network"),
    Check("offer_image_source", _check_image_source, "pulls from no registry"),
    Check("offer_architecture", _check_architecture, "has other processors than the image is for"),
    Check("offer_availability", _check_availability, "promises less availability than the job asks for"),
    Check("offer_exposure", _check_exposure, "leaves more work unpaid than this node accepts"),
    Check("offer_refused_before", _check_refused, "not asked now"),
    Check("offer_stake", _check_stake, "less stake than the job asks for"),
    Check("offer_price", _check_price, "a price is above the job's bid"),
    Check("offer_budget", _check_budget, "the job may cost more there than its budget"),
)
