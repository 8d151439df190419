"""A search knows what our own leases say of each node, which hold the image, and what the job's time is worth."""

from __future__ import annotations

from pathlib import Path

from metering.tariff import Tariff, cost_of
from metering.units import NANOS_PER_SECOND
from scheduler.book import Book
from scheduler.latency import next_latency
from scheduler.preferences import Preferences
from scheduler.reputation import NO_REPUTATION
from scheduler.score import full_usage_of, weights_of
from tests.make.scene import GPU_NODE, STRANGER, make_registry, make_scene, open_consoles
from tests.make.values import ENTROPY, NOW_NS, SEPARATOR, address_of, make_job, make_signed_offer, make_tariff
from xnode.node.experience import put_away_lease
from xnode.node.records import SubmitterLease
from xnode.node.state import Turn
from xnode.peers.search import search_offers

PROVIDER = address_of(1)


async def test_a_node_that_served_us_has_a_reputation_and_holds_the_images_it_ran(tmp_path: Path) -> None:
    scene = make_scene()
    async with open_consoles(tmp_path) as (submitter, _):
        ran, other = scene.world.job(scene.paid).job, make_job()
        for job, has_image in ((ran, True), (other, False)):
            found = await submitter.market.search.search(job, ())
            by_node = {one.offer.offer.node: one for one in found.ranked}
            assert by_node[PROVIDER].has_image is has_image
            assert by_node[PROVIDER].reputation != NO_REPUTATION
            assert by_node[address_of(GPU_NODE)].reputation == NO_REPUTATION


async def test_reputation_outlives_the_leases_that_made_it(tmp_path: Path) -> None:
    async with open_consoles(tmp_path) as (submitter, _):
        experience = submitter.market.experience
        scene = make_scene()
        experience.look()
        first = experience.reputations[PROVIDER]
        experience.look()
        assert experience.reputations[PROVIDER] == first, "a lease counts once"
        turn = Turn(submitter.loop.state, scene.now_ns, bytes(32))
        for lease in sorted(turn.state.all(SubmitterLease), key=lambda one: one.heard_at_ns):
            put_away_lease(turn, lease)
        assert not turn.state.count(SubmitterLease)
        submitter.loop.state = turn.state
        experience.look()
        assert experience.reputations[PROVIDER] == first
        assert PROVIDER in experience.holders_of(scene.world.job(scene.paid).job.image.digest)
        assert first.successes_milli > 0 and first.failures_milli > 0


async def test_what_the_chain_does_not_bear_out_is_not_asked(tmp_path: Path) -> None:
    async with open_consoles(tmp_path / "one") as (submitter, _):
        found = await submitter.market.search.search(make_job(), ())
        (short,) = found.shortfalls
        assert short.code == "offer_refused_before" and short.nodes == (address_of(STRANGER),)
    registry = make_registry()
    registry.is_away = True
    async with open_consoles(tmp_path / "two", registry) as (submitter, _):
        found = await submitter.market.search.search(make_job(min_stake=1), ())
        assert not found.ranked
        assert {short.code for short in found.shortfalls} == {"offer_refused_before", "offer_stake"}


def test_a_second_of_waiting_is_worth_a_second_of_the_job_at_the_lowest_price() -> None:
    job, cheap, expensive = make_job(), make_tariff(), make_tariff(10**19)
    weights = weights_of(job, (expensive, cheap))
    assert weights.wait_second == _compute_cost(job, cheap) * NANOS_PER_SECOND // job.duration_limit_ns
    assert weights == weights_of(job, (cheap,)) and weights.rtt_ms > 0
    assert weights_of(job, ()).wait_second == 0


def test_of_two_equal_offers_the_nearer_one_with_the_image_comes_first_by_parts_that_add_up() -> None:
    book, job = Book(SEPARATOR), make_job()
    for node in (1, 2):
        assert book.add(make_signed_offer(node), NOW_NS) is None
    near, far = address_of(1), address_of(2)
    latencies = {near: next_latency(None, 1_000, NOW_NS), far: next_latency(None, 150_000, NOW_NS)}
    known = Preferences(latencies=latencies, warm=frozenset({near}))
    ranked = {one.offer.offer.node: one for one in search_offers(book, job, known, NOW_NS, ENTROPY).ranked}
    assert ranked[near].parts.image == 0 < ranked[far].parts.image
    assert 0 < ranked[near].parts.distance < ranked[far].parts.distance
    assert ranked[near].parts.compute == ranked[far].parts.compute
    record = ranked[near].to_record()
    assert (record.score, record.has_image, record.rtt_ns) == (ranked[near].parts.total, True, 1_000_000)


def _compute_cost(job: object, tariff: Tariff) -> int:
    return cost_of(full_usage_of(job), tariff)  # type: ignore[arg-type]
