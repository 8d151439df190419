"""Bench of matching: searching the offer book against looking at every offer as an object, side by side in one run.

PYTHONPATH=. python tests/bench/matching.py
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from metering.resources import Resources
from metering.units import BYTES_PER_GIB, NANOS_PER_HOUR, NANOS_PER_SECOND, Address, Amount
from scheduler.feasible import check_offer_for_job
from scheduler.index import OfferIndex
from scheduler.job import Job
from scheduler.latency import next_latency
from scheduler.offer import Offer
from scheduler.preferences import Preferences, Weights
from scheduler.score import Scored, score_offer
from scheduler.threshold import ThresholdIndex
from tests.make.values import NOW_NS, TOKEN, make_job, make_offer_body, make_tariff

MODELS = ("NVIDIA L4", "NVIDIA A100", "NVIDIA H100", "NVIDIA H200", "AMD MI300X", "")
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "asia-east", "asia-south", "sa-east", "africa")
COUNT = 8
"""Candidates asked for: what a submitter sends quote requests to."""

SECONDS = 3.0
"""Of each measurement; enough for 100 searches of the slowest."""


def make_market(size: int, seed: int) -> tuple[list[Offer], Preferences]:
    """Offers of mixed hardware, price and place, and measured round trips to half of them."""
    entropy = random.Random(seed)
    offers, latencies = [], {}
    for number in range(size):
        model = entropy.choice(MODELS)
        capacity = Resources(
            entropy.choice((4_000, 16_000, 64_000)),
            entropy.choice((16, 64, 256)) * BYTES_PER_GIB,
            500 * BYTES_PER_GIB,
            entropy.choice((1, 2, 4, 8)) if model else 0,
            model,
        )
        price = int(TOKEN * entropy.lognormvariate(0, 0.3))
        body = make_offer_body(
            capacity=capacity,
            free=capacity,
            region=entropy.choice(REGIONS),
            allows_network=entropy.random() < 0.7,
            tariff=make_tariff(price // 20, gpu_hour=price * 2, memory_gib_hour=price // 100),
        )
        node = Address(number.to_bytes(20, "big"))
        offers.append(Offer(node, node, 1, NOW_NS + NANOS_PER_HOUR, body))
        if entropy.random() < 0.5:
            latencies[node] = next_latency(None, entropy.randrange(1_000, 200_000), NOW_NS)
    return offers, Preferences(latencies=latencies, weights=Weights(rtt_ms=TOKEN // 10**6))


def make_jobs(count: int, seed: int) -> list[Job]:
    """Jobs that ask for a model, some regions, and no more than a budget."""
    entropy = random.Random(seed)
    jobs = []
    for _ in range(count):
        model = entropy.choice(MODELS)
        resources = Resources(
            entropy.choice((1_000, 4_000, 8_000)),
            entropy.choice((4, 16, 32)) * BYTES_PER_GIB,
            10 * BYTES_PER_GIB,
            entropy.choice((1, 1, 2)) if model else 0,
            model,
        )
        jobs.append(
            make_job(
                nonce=entropy.randbytes(16),
                resources=resources,
                network=entropy.random() < 0.3,
                regions=tuple(entropy.sample(REGIONS, 3)) if entropy.random() < 0.5 else (),
                duration_limit_ns=entropy.choice((600, 3_600)) * NANOS_PER_SECOND,
                budget=Amount(int(TOKEN * entropy.uniform(3, 12))),
            )
        )
    return jobs


def scan_naively(offers: Iterable[Offer], job: Job, preferences: Preferences) -> list[Scored[Offer]]:
    """What one writes first: every reason of every offer, a score for each that has none, sort all."""
    fitting = [offer for offer in offers if not check_offer_for_job(job, offer, NOW_NS, preferences)]
    return sorted(
        (score_offer(job, one, preferences, NOW_NS) for one in fitting), key=lambda one: (one.score, one.node)
    )


def measure(search: Callable[[Job], Any], jobs: list[Job]) -> dict[str, float]:
    """Searches a second of CPU time, and the times of single ones."""
    gc.collect()
    times_ns: list[int] = []
    cpu_before, until = time.process_time(), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        before = time.perf_counter_ns()
        search(jobs[len(times_ns) % len(jobs)])
        times_ns.append(time.perf_counter_ns() - before)
    rate = len(times_ns) / (time.process_time() - cpu_before)
    times_ns.sort()
    return {
        "searches_per_s": round(rate, 1),
        "p50_ms": round(times_ns[len(times_ns) // 2] / 1e6, 3),
        "p99_ms": round(times_ns[len(times_ns) * 99 // 100] / 1e6, 3),
    }


def run(sizes: tuple[int, ...] = (1_000, 10_000)) -> list[dict[str, Any]]:
    """One row for each size and way."""
    rows: list[dict[str, Any]] = []
    jobs = make_jobs(200, seed=2)
    for size in sizes:
        offers, preferences = make_market(size, seed=1)
        index: OfferIndex = ThresholdIndex()
        for offer in offers:
            index.put(offer)
        for job in jobs[:20]:
            assert _best(index.find_best(job, preferences, NOW_NS, COUNT)) == _best(
                scan_naively(offers, job, preferences)
            ), job
        ways: dict[str, Callable[[Job], Any]] = {
            "naive scan of objects": partial(scan_naively, offers, preferences=preferences),
            "book": partial(index.find_best, preferences=preferences, now_ns=NOW_NS, count=COUNT),
        }
        rows += [{"offers": size, "way": way, **measure(search, jobs)} for way, search in ways.items()]
    return rows


def _best(found: Iterable[Scored[Offer]]) -> list[int]:
    return sorted(one.score for one in found)[:COUNT]


if __name__ == "__main__":
    for row in run():
        print(msgspec.json.encode(row).decode())
