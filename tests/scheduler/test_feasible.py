"""What rules an offer out, and how it says so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from metering.resources import Resources
from metering.sla import Promise
from metering.units import BYTES_PER_GIB, NANOS_PER_SECOND, U128_MAX, Address, Amount
from scheduler.feasible import CHECKS, check_offer_for_job, cost_limit_of, fits_job, has_gpu_model
from scheduler.job import Image
from scheduler.preferences import ExposureBound, Preferences
from tests.make.values import NOW_NS, TOKEN, address_of, make_job, make_offer, make_resources, make_tariff

GPU_HOST = Resources(8_000, 16 * BYTES_PER_GIB, 100 * BYTES_PER_GIB, 2, "NVIDIA H200")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Preferences, tuple[str, ...]]] = {
    # code: (job, offer, preferences, numbers or words the detail must show)
    "offer_expired": ({}, {"expires_at_ns": NOW_NS}, Preferences(), ("0 s ago",)),
    "offer_asset": ({}, {"asset": Address(b"\x01" * 20)}, Preferences(), ("01" * 20, "aa" * 20)),
    "offer_region": ({"regions": ("us-east",)}, {}, Preferences(), ("eu-west", "us-east")),
    "offer_gpus": (
        {"resources": make_resources(gpus=4)},
        {"free": GPU_HOST, "capacity": GPU_HOST},
        Preferences(),
        ("2", "4"),
    ),
    "offer_gpu_model": (
        {"resources": make_resources(gpus=1, gpu_model="H100")},
        {"free": GPU_HOST, "capacity": GPU_HOST},
        Preferences(),
        ("H100", "H200"),
    ),
    "offer_vcpus": ({"resources": make_resources(vcpu_milli=9_500)}, {}, Preferences(), ("9.5", "8 ")),
    "offer_memory": ({"resources": make_resources(memory_bytes=17 * BYTES_PER_GIB)}, {}, Preferences(), ("17 ", "16 ")),
    "offer_disk": ({"resources": make_resources(disk_bytes=101 * BYTES_PER_GIB)}, {}, Preferences(), ("101", "100")),
    "offer_duration_least": ({"duration_limit_ns": NANOS_PER_SECOND // 2}, {}, Preferences(), ("0.5s", "1s")),
    "offer_duration_most": ({}, {"max_duration_ns": 599 * NANOS_PER_SECOND}, Preferences(), ("9m59s", "10m")),
    "offer_network": ({"network": True}, {"allows_network": False}, Preferences(), ("network",)),
    "offer_image_source": (
        {"image": Image("sha256:" + "ab" * 32, 1, "example.org/x")},
        {"fetches_images": False},
        Preferences(),
        ("example.org/x",),
    ),
    "offer_architecture": (
        {"image": Image("sha256:" + "ab" * 32, 1, architecture="arm64")},
        {},
        Preferences(),
        ("amd64", "arm64"),
    ),
    "offer_refused_before": ({}, {}, Preferences(refused={address_of(1): "it broke off"}), ("it broke off",)),
    "offer_stake": ({"min_stake": Amount(10)}, {}, Preferences(stakes={address_of(1001): Amount(9)}), ("9", "10")),
    "offer_availability": (
        {"min_availability_ppm": 999_000},
        {"promise": Promise(990_000, 100_000)},
        Preferences(),
        ("99 %", "99.9 %"),
    ),
    "offer_exposure": ({}, {"exposure_intervals": 61}, Preferences(), ("61 intervals", "at most 60")),
    "offer_price": ({"bid": make_tariff()}, {"tariff": make_tariff(TOKEN // 5)}, Preferences(), ("vcpu_hour",)),
    "offer_budget": ({"budget": Amount(7)}, {}, Preferences(), ("7",)),
}


def test_every_check_has_a_case() -> None:
    assert set(CASES) == {check.code for check in CHECKS}


def test_a_plain_offer_fits_a_plain_job() -> None:
    assert check_offer_for_job(make_job(), make_offer(), NOW_NS, Preferences()) == ()
    assert fits_job(make_job(), make_offer(), NOW_NS, Preferences())


@pytest.mark.parametrize("code", CASES)
def test_one_thing_wrong_gives_its_own_reason_with_both_numbers(code: str) -> None:
    job, offer, preferences, words = CASES[code]
    misfits = check_offer_for_job(make_job(**job), make_offer(**offer), NOW_NS, preferences)
    assert [misfit.code for misfit in misfits] == [code]
    assert all(word in misfits[0].detail for word in words), misfits[0].detail
    assert "\n" not in misfits[0].detail
    assert not fits_job(make_job(**job), make_offer(**offer), NOW_NS, preferences)


def test_every_reason_is_given_and_not_only_the_first() -> None:
    job = make_job(resources=make_resources(vcpu_milli=9_000), regions=("us-east",), budget=Amount(1))
    codes = {misfit.code for misfit in check_offer_for_job(job, make_offer(), NOW_NS, Preferences())}
    assert codes == {"offer_vcpus", "offer_region", "offer_budget"}


def test_every_dear_price_is_named() -> None:
    job = make_job(bid=make_tariff(1, gpu_hour=1))
    (misfit,) = check_offer_for_job(job, make_offer(), NOW_NS, Preferences())
    assert "vcpu_hour" in misfit.detail and "gpu_hour" in misfit.detail and "disk" not in misfit.detail


def test_network_prices_do_not_matter_to_a_job_without_network() -> None:
    expensive = make_offer(tariff=make_tariff(egress_gb=U128_MAX))
    assert check_offer_for_job(make_job(bid=make_tariff()), expensive, NOW_NS, Preferences()) == ()
    networked = make_job(bid=make_tariff(), network=True, network_bytes=10**9)
    assert {misfit.code for misfit in check_offer_for_job(networked, expensive, NOW_NS, Preferences())} == {
        "offer_price",
        "offer_budget",
    }


def test_a_promise_that_gives_nothing_back_counts_as_none() -> None:
    empty = make_offer(promise=Promise(1_000_000, 0))
    (misfit,) = check_offer_for_job(make_job(min_availability_ppm=1), empty, NOW_NS, Preferences())
    assert misfit.code == "offer_availability" and "promises 0 %" in misfit.detail


def test_the_stake_of_a_provider_in_default_does_not_count() -> None:
    offer = make_offer()
    preferences = Preferences(stakes={offer.provider: Amount(10)}, defaulted=frozenset({offer.provider}))
    (misfit,) = check_offer_for_job(make_job(min_stake=Amount(1)), offer, NOW_NS, preferences)
    assert misfit.code == "offer_stake" and "in default" in misfit.detail
    assert check_offer_for_job(make_job(), offer, NOW_NS, preferences) == (), "a job that asks for none does not care"


def test_a_stake_not_known_counts_as_too_small() -> None:
    (misfit,) = check_offer_for_job(make_job(min_stake=Amount(1)), make_offer(), NOW_NS, Preferences())
    assert misfit.code == "offer_stake" and "not known" in misfit.detail


def test_prices_without_end_are_a_reason_and_no_crash() -> None:
    offer = make_offer(tariff=make_tariff(U128_MAX, gpu_hour=U128_MAX, memory_gib_hour=U128_MAX))
    (misfit,) = check_offer_for_job(make_job(), offer, NOW_NS, Preferences())
    assert misfit.code == "offer_budget"


def test_a_strangers_text_cannot_break_the_line() -> None:
    job, offer = make_job(regions=("eu",)), make_offer(region="evil\nregion\x1b[2J")
    (misfit,) = check_offer_for_job(job, offer, NOW_NS, Preferences())
    assert misfit.detail.isprintable()


def test_a_gpu_model_is_found_by_its_words() -> None:
    assert has_gpu_model("h200", "NVIDIA H200")
    assert has_gpu_model("", "NVIDIA H200")
    assert not has_gpu_model("H20", "NVIDIA H200")
    assert not has_gpu_model("H200", "")


def test_the_gap_grows_with_the_distance() -> None:
    def gap(vcpu_milli: int) -> int:
        job = make_job(resources=make_resources(vcpu_milli=vcpu_milli))
        (misfit,) = check_offer_for_job(job, make_offer(), NOW_NS, Preferences())
        return misfit.gap

    assert 0 < gap(8_001) < gap(9_000) < gap(16_000)


def test_the_cost_limit_counts_network_only_with_network() -> None:
    tariff = make_tariff(egress_gb=TOKEN)
    plain = make_job()
    networked = msgspec.structs.replace(plain, network=True, network_bytes=2 * 10**9)
    assert cost_limit_of(networked, tariff) == cost_limit_of(plain, tariff) + 2 * TOKEN


@pytest.mark.parametrize(
    ("interval_s", "intervals", "bound", "excess"),
    [
        (30, 2, ExposureBound(), ""),
        (60, 1, ExposureBound(), ""),
        (31, 2, ExposureBound(), "1m2s, at most 1m"),
        (1, 3, ExposureBound(intervals=2), "3 intervals"),
        (1, 3, ExposureBound(intervals=3), ""),
        (7 * 86_400, 2, ExposureBound(), "14d"),
        (10, 0, ExposureBound(), "none"),
        (0, 2, ExposureBound(), "none"),
    ],
)
def test_unpaid_work_is_bounded_in_intervals_and_in_time(
    interval_s: int, intervals: int, bound: ExposureBound, excess: str
) -> None:
    offer = make_offer(interval_ns=interval_s * NANOS_PER_SECOND, exposure_intervals=intervals)
    misfits = check_offer_for_job(make_job(), offer, NOW_NS, Preferences(exposure_bound=bound))
    assert [misfit.code for misfit in misfits] == (["offer_exposure"] if excess else [])
    assert all(excess in misfit.detail for misfit in misfits)
