"""What placing a job costs, and which of the best is taken."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from metering.tariff import cost_of
from metering.usage import Counters, usage_of
from scheduler.latency import next_latency
from scheduler.preferences import UNKNOWN_RTT_US, Preferences, Weights
from scheduler.reputation import NO_REPUTATION, next_reputation
from scheduler.score import Parts, Scored, rank, score_offer
from tests.make.values import ENTROPY, NOW_NS, TOKEN, address_of, make_job, make_offer, make_profile, make_tariff


def _scored(scores: list[int]) -> list[Scored[int]]:
    return [Scored(place, address_of(place), score, Parts(score, 0, 0, 0, 0)) for place, score in enumerate(scores)]


def test_the_compute_part_is_what_full_use_would_be_billed() -> None:
    job, offer = make_job(), make_offer()
    usage = usage_of(Counters(job.duration_limit_ns, job.duration_limit_ns // 2), job.resources)
    assert score_offer(job, offer, Preferences(), NOW_NS).parts.compute == cost_of(usage, offer.body.tariff)


def test_the_score_is_the_sum_of_its_parts_and_each_part_shows() -> None:
    job = make_job(network=True, network_bytes=10**9)
    one = score_offer(job, make_offer(), Preferences(weights=Weights(rtt_ms=7, wait_second=1_000_000)), NOW_NS)
    parts = one.parts
    assert one.score == parts.compute + parts.network + parts.retries + parts.distance + parts.image
    assert parts.network == TOKEN // 50
    assert parts.distance == 7 * UNKNOWN_RTT_US // 1_000
    assert parts.image == 800_000, "10 MB at 100 Mbit/s are 0.8 s"
    assert all(name in parts.describe() for name in ("compute", "network", "retries", "distance", "image"))


def test_nearer_warmer_and_more_reliable_nodes_score_less() -> None:
    job, node = make_job(), address_of(1)
    weights = Weights(rtt_ms=1_000, wait_second=1_000)

    def score(preferences: Preferences) -> int:
        return score_offer(job, make_offer(), preferences, NOW_NS).score

    plain = score(Preferences(weights=weights))
    assert score(Preferences(weights=weights, latencies={node: next_latency(None, 5_000, NOW_NS)})) < plain
    assert score(Preferences(weights=weights, warm=frozenset({node}))) < plain
    assert score(Preferences(weights=weights, reputations={node: next_reputation(NO_REPUTATION, True, NOW_NS)})) < plain
    assert (
        score(Preferences(weights=weights, reputations={node: next_reputation(NO_REPUTATION, False, NOW_NS)})) > plain
    )


def test_a_claimed_download_rate_helps_only_so_far() -> None:
    preferences = Preferences(weights=Weights(wait_second=10**6))
    images = [
        score_offer(make_job(), make_offer(profile=make_profile(network_mbps=mbps)), preferences, NOW_NS).parts.image
        for mbps in (10, 100, 1_000, 10**9)
    ]
    assert images == [8_000_000, 800_000, 80_000, 80_000]


def test_free_offers_have_a_description_too() -> None:
    free = make_tariff(0, memory_gib_hour=0, disk_gib_hour=0, gpu_hour=0, egress_gb=0)
    one = score_offer(make_job(), make_offer(tariff=free), Preferences(), NOW_NS)
    assert (one.score, one.parts.describe()) == (0, "free")


@given(st.lists(st.integers(0, 10**30), max_size=40), st.binary(min_size=16, max_size=32))
def test_ranking_keeps_all_and_only_shuffles_those_near_the_best(scores: list[int], entropy: bytes) -> None:
    ranked = [one.score for one in rank(_scored(scores), entropy)]
    assert sorted(ranked) == sorted(scores)
    if scores:
        near = sum(1 for score in scores if score * 100 <= min(scores) * 105)
        assert sorted(ranked[:near]) == sorted(scores)[:near]
        assert ranked[near:] == sorted(scores)[near:]


def test_the_entropy_choose_evenly_among_those_near_the_best() -> None:
    scored = _scored([1_000, 1_010, 1_050, 1_051])
    first = Counter(rank(scored, entropy.to_bytes(32, "big"))[0].subject for entropy in range(3_000))
    assert set(first) == {0, 1, 2}
    assert all(850 < count < 1_150 for count in first.values())


def test_the_same_entropy_give_the_same_order_whatever_the_order_of_arrival() -> None:
    scored = _scored([1_000] * 20)
    assert rank(scored, ENTROPY) == rank(reversed(scored), ENTROPY)
