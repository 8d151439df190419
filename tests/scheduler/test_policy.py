"""What a provider answers to a quote request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from metering.resources import Resources
from metering.sla import Promise
from metering.tariff import cost_ceiling_of, cost_of
from metering.units import BYTES_PER_GIB, NANOS_PER_SECOND, U64_MAX, ZERO_HASH, Address, Amount
from metering.usage import usage_ceiling_of
from scheduler.job import Blob, Image, InputFile, job_hash_of
from scheduler.policy import Policy, answer
from scheduler.quote import QuoteBody
from tests.make.values import ASSET, NOW_NS, TOKEN, address_of, make_job, make_resources, make_tariff

FREE = Resources(4_000, 8 * BYTES_PER_GIB, 50 * BYTES_PER_GIB, 1, "NVIDIA L4")
POLICY = Policy(asset=ASSET, tariff=make_tariff(), region="eu-west")
SECOND = NANOS_PER_SECOND
DIGEST = "sha256:" + "ab" * 32


def _file(path: str, size_bytes: int = 1) -> InputFile:
    return InputFile(path, Blob(ZERO_HASH, size_bytes))


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("draining", {}, {"draining": True}),
    ("submitter_denied", {}, {"denied": frozenset({address_of(0)})}),
    ("asset", {"asset": Address(bytes(20))}, {}),
    ("region", {"regions": ("us-east",)}, {}),
    ("duration", {"duration_limit_ns": SECOND - 1}, {}),
    ("duration", {"duration_limit_ns": U64_MAX}, {}),
    ("closing", {}, {"closes_at_ns": NOW_NS + 599 * SECOND}),
    ("availability", {"min_availability_ppm": 1}, {}),
    ("availability", {"min_availability_ppm": 990_001}, {"promise": Promise(990_000, 1)}),
    ("availability", {"min_availability_ppm": 990_000}, {"promise": Promise(990_000, 0)}),
    ("network", {"network": True}, {}),
    ("image_source", {"image": Image(DIGEST, 1, "docker.io/x")}, {"registries": ()}),
    ("image_registry", {"image": Image(DIGEST, 1, "example.org/x")}, {}),
    ("image_registry", {"image": Image(DIGEST, 1, "127.0.0.1:5000/x")}, {"registries": ("any public",)}),
    ("network_size", {"network": True, "network_bytes": 11}, {"allows_network": True, "max_network_bytes": 10}),
    ("image_size", {"image": Image(DIGEST, 11)}, {"max_image_bytes": 10}),
    ("input_size", {"inputs": (_file("a", 6), _file("b", 5))}, {"max_input_bytes": 10}),
    ("capacity", {"resources": make_resources(vcpu_milli=4_001)}, {}),
    ("capacity", {"resources": make_resources(memory_bytes=U64_MAX)}, {}),
    ("capacity", {"resources": make_resources(gpus=2)}, {}),
    ("gpu_model", {"resources": make_resources(gpus=1, gpu_model="H200")}, {}),
    ("price", {"bid": make_tariff(1)}, {}),
    ("budget", {"budget": Amount(9)}, {}),
    ("job_name", {"name": ""}, {}),
    ("job_name", {"name": "a\nb"}, {}),
    ("job_image", {"image": Image("latest", 1)}, {}),
    ("job_image", {"image": Image(DIGEST, 5, "", (Blob(ZERO_HASH, 2), Blob(ZERO_HASH, 4)))}, {}),
    ("job_image", {"image": Image(DIGEST, 257, "", (Blob(ZERO_HASH, 1),) * 257)}, {}),
    ("job_text", {"command": ("a\0b",)}, {}),
    ("job_text", {"command": ("x" * 70_000,)}, {}),
    ("job_text", {"command": ("x",) * 2_000}, {}),
    ("job_env", {"env": (("A B", "1"),)}, {}),
    ("job_resources", {"resources": make_resources(vcpu_milli=0)}, {}),
    ("job_resources", {"resources": make_resources(gpu_model="L4")}, {}),
    ("job_duration", {"duration_limit_ns": 0}, {}),
    ("job_network", {"network_bytes": 1}, {}),
    ("job_inputs", {"inputs": (_file("../etc/passwd"),)}, {}),
    ("job_inputs", {"inputs": (_file("/etc/passwd"),)}, {}),
    ("job_inputs", {"inputs": (_file("a//b"),)}, {}),
    ("job_inputs", {"inputs": (_file("a\x1b"),)}, {}),
    ("job_inputs", {"inputs": (_file("a"), _file("a"))}, {}),
    ("job_inputs", {"inputs": (_file("a"), _file("a/b"))}, {}),
    ("job_inputs", {"inputs": (_file("x" * 256),)}, {}),
    ("job_inputs", {"inputs": (_file("a"),), "resources": make_resources(disk_bytes=0)}, {}),
    ("job_inputs", {"inputs": tuple(_file(str(number)) for number in range(257))}, {}),
]


@pytest.mark.parametrize(("code", "job", "policy"), REFUSED)
def test_what_a_provider_does_not_want_is_refused_by_name(
    code: str, job: dict[str, Any], policy: dict[str, Any]
) -> None:
    refusal = answer(make_job(**job), FREE, replace(POLICY, **policy), NOW_NS)
    assert not isinstance(refusal, QuoteBody)
    assert refusal.code == code
    assert refusal.detail.isprintable()


def test_a_quote_promises_exactly_the_job() -> None:
    job = make_job(resources=make_resources(gpus=1, gpu_model="L4"), inputs=(_file("data/a"), _file("data/b")))
    body = answer(job, FREE, POLICY, NOW_NS)
    assert isinstance(body, QuoteBody)
    assert (body.job_hash, body.submitter) == (job_hash_of(job), job.submitter)
    assert (body.resources, body.duration_limit_ns) == (job.resources, job.duration_limit_ns)
    assert (body.tariff.ingress_gb, body.tariff.egress_gb) == (0, 0), "a job without network pays for none"


def test_the_cost_limit_covers_all_the_job_can_use() -> None:
    policy = replace(POLICY, allows_network=True)
    job = make_job(network=True, network_bytes=3 * 10**9)
    body = answer(job, FREE, policy, NOW_NS)
    assert isinstance(body, QuoteBody)
    most = usage_ceiling_of(job.resources, job.duration_limit_ns, job.network_bytes)
    assert cost_of(most, body.tariff) <= body.cost_limit <= job.budget


def test_the_exposure_limit_is_some_intervals_and_never_nothing() -> None:
    body = answer(make_job(), FREE, POLICY, NOW_NS)
    assert isinstance(body, QuoteBody)
    assert body.exposure_intervals == POLICY.exposure_intervals
    assert body.exposure_limit == cost_ceiling_of(body.resources, body.tariff, 20 * SECOND)
    free = make_tariff(0, memory_gib_hour=0, disk_gib_hour=0, gpu_hour=0, egress_gb=0)
    gift = answer(make_job(), FREE, replace(POLICY, tariff=free), NOW_NS)
    assert isinstance(gift, QuoteBody) and gift.exposure_limit == 1


def test_the_exposure_limit_of_a_short_job_is_at_most_its_cost_limit() -> None:
    body = answer(make_job(duration_limit_ns=2 * SECOND), FREE, POLICY, NOW_NS)
    assert isinstance(body, QuoteBody) and body.exposure_limit == body.cost_limit


def test_a_budget_of_exactly_the_limit_is_enough() -> None:
    body = answer(make_job(), FREE, POLICY, NOW_NS)
    assert isinstance(body, QuoteBody)
    assert isinstance(answer(make_job(budget=body.cost_limit), FREE, POLICY, NOW_NS), QuoteBody)
    less = answer(make_job(budget=Amount(body.cost_limit - 1)), FREE, POLICY, NOW_NS)
    assert not isinstance(less, QuoteBody) and str(body.cost_limit) in less.detail
    assert str(body.cost_limit - 1) in less.detail


def test_money_is_never_larger_than_the_budget_allows() -> None:
    body = answer(make_job(budget=Amount(TOKEN)), FREE, POLICY, NOW_NS)
    assert isinstance(body, QuoteBody) and body.cost_limit <= TOKEN
