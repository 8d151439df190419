"""The threshold index against the scan: the same answers, whatever the market, the job and what is known of nodes."""

from __future__ import annotations

import random

import pytest

from metering.tariff import COST_DIVISOR, cost_of, weights_of
from metering.units import NANOS_PER_HOUR, NANOS_PER_SECOND, U128_MAX, Address, Amount
from scheduler.feasible import price_for
from scheduler.index import MAX_NEAR_BEST, ScanIndex
from scheduler.job import Job
from scheduler.latency import next_latency
from scheduler.offer import Offer
from scheduler.preferences import Preferences, Weights
from scheduler.reputation import Reputation
from scheduler.score import full_usage_of
from scheduler.threshold import ThresholdIndex
from tests.make.values import NOW_NS, TOKEN, address_of, make_job, make_offer, make_resources, make_tariff

MODELS = ("", "NVIDIA H200", "NVIDIA A100", "AMD MI300X")
REGIONS = ("eu-west", "us-east", "asia")


def make_random_offer(entropy: random.Random, node: int) -> Offer:
    """Prices that repeat, so that scores tie; some are nothing, some beyond all sense."""
    model = entropy.choice(MODELS)
    free = make_resources(
        vcpu_milli=entropy.choice((250, 1_000)), gpus=entropy.randrange(3) if model else 0, gpu_model=model
    )
    price = entropy.choice((0, TOKEN // 20, TOKEN // 10, entropy.randrange(1, TOKEN), U128_MAX))
    others = {
        name: entropy.choice((0, entropy.randrange(TOKEN))) for name in ("memory_gib_hour", "egress_gb", "gpu_hour")
    }
    return make_offer(
        node,
        expires_at_ns=NOW_NS + entropy.choice((0, NANOS_PER_HOUR, NANOS_PER_HOUR)),
        free=free,
        tariff=make_tariff(price, **others),
        region=entropy.choice(REGIONS),
        allows_network=entropy.random() < 0.7,
    )


def make_random_job(entropy: random.Random) -> Job:
    """With or without GPUs, network, regions and a bid."""
    gpus = entropy.choice((0, 0, 1, 2))
    network = entropy.random() < 0.3
    return make_job(
        resources=make_resources(gpus=gpus, gpu_model=entropy.choice(("", "nvidia", "H200")) if gpus else ""),
        network=network,
        network_bytes=10**9 if network else 0,
        regions=tuple(entropy.sample(REGIONS, entropy.randrange(3))),
        budget=Amount(entropy.choice((TOKEN // 100, 5 * TOKEN, 100 * TOKEN, U128_MAX))),
        bid=make_tariff(TOKEN // 2, gpu_hour=TOKEN, memory_gib_hour=TOKEN) if entropy.random() < 0.2 else None,
        duration_limit_ns=entropy.choice((1, 600, 36_000)) * NANOS_PER_SECOND,
    )


def make_random_preferences(entropy: random.Random, nodes: int) -> Preferences:
    """Round trips and past work of some, at weights from nothing to more than any price."""
    addresses = [address_of(node) for node in range(1, nodes + 1)]
    some = entropy.sample(addresses, nodes // 2)
    return Preferences(
        refused={node: "tried already" for node in entropy.sample(addresses, nodes // 10)},
        latencies={node: next_latency(None, entropy.randrange(300_000), NOW_NS) for node in some},
        reputations={
            node: Reputation(entropy.randrange(90_000), entropy.randrange(9_000), NOW_NS)
            for node in entropy.sample(addresses, entropy.choice((0, nodes // 3)))
        },
        warm=frozenset(entropy.sample(addresses, nodes // 5)),
        weights=Weights(entropy.choice((0, TOKEN // 10**6, TOKEN)), entropy.choice((0, TOKEN // 10**4))),
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_threshold_index_answers_as_the_scan_does(seed: int) -> None:
    entropy = random.Random(seed)
    nodes = entropy.choice((3, 40, 400))
    plain, fast = ScanIndex(), ThresholdIndex()
    for node in (*range(1, nodes + 1), *entropy.sample(range(1, nodes + 1), nodes // 3)):
        offer = make_random_offer(entropy, node)
        plain.put(offer)
        fast.put(offer)
    for node in entropy.sample(range(1, nodes + 3), nodes // 4):
        plain.drop(address_of(node))
        fast.drop(address_of(node))
    preferences = make_random_preferences(entropy, nodes)
    for _ in range(15):
        job, count = make_random_job(entropy), entropy.choice((1, 8, 1_000))
        assert fast.find_best(job, preferences, NOW_NS, count) == plain.find_best(job, preferences, NOW_NS, count)


def test_of_thousands_at_one_price_the_same_are_kept() -> None:
    plain, fast = ScanIndex(), ThresholdIndex()
    for node in range(1, 3 * MAX_NEAR_BEST):
        offer = make_offer(node, tariff=make_tariff(TOKEN // 10 + node % 3))
        plain.put(offer)
        fast.put(offer)
    found = fast.find_best(make_job(), Preferences(), NOW_NS, 4)
    assert len(found) == MAX_NEAR_BEST
    assert found == plain.find_best(make_job(), Preferences(), NOW_NS, 4)


class Refused(dict[Address, str]):
    """No node is refused; it counts which ones were asked about."""

    def get(self, node: Address, default: str | None = None) -> str | None:  # type: ignore[override]
        self[node] = self.pop(node, "")
        return None


def test_all_near_the_best_are_found_and_most_others_never_looked_at() -> None:
    plain, fast, looked_at = ScanIndex(), ThresholdIndex(), Refused()
    for node in range(1, 1_001):
        offer = make_offer(node, tariff=make_tariff(TOKEN // 100 * (100 + node)))
        plain.put(offer)
        fast.put(offer)
    found = fast.find_best(make_job(), Preferences(refused=looked_at), NOW_NS, 2)
    assert found == plain.find_best(make_job(), Preferences(), NOW_NS, 2)
    assert [one.node for one in found] == [address_of(node) for node in range(1, 7)]
    assert len(looked_at) < 20


def test_a_bucket_that_is_empty_is_forgotten() -> None:
    fast = ThresholdIndex()
    fast.put(make_offer(1))
    fast.drop(address_of(1))
    assert fast.find_best(make_job(), Preferences(), NOW_NS, 5) == ()
    assert not fast._buckets and not fast._kinds


@pytest.mark.parametrize("seed", range(20))
def test_weights_come_to_the_cost(seed: int) -> None:
    entropy = random.Random(seed)
    job, tariff = make_random_job(entropy), make_random_offer(entropy, 1).body.tariff
    usage, asked = full_usage_of(job), price_for(job, tariff)
    prices = [getattr(asked, name) for name in asked.__struct_fields__]
    weighed = sum(weight * price for weight, price in zip(weights_of(usage), prices, strict=True))
    assert cost_of(usage, asked) == min(weighed // COST_DIVISOR, U128_MAX)
