"""A search knows what our own leases say of each node, which hold the image, and what the job's time is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from metering.codec import decode, encode
from metering.tariff import Tariff, cost_of
from metering.units import NANOS_PER_SECOND, U64_MAX, Address, Amount
from scheduler.book import Book
from scheduler.latency import next_latency
from scheduler.preferences import ExposureBound, Preferences
from scheduler.reputation import NO_REPUTATION
from scheduler.score import full_usage_of, weights_of
from tests.make.nodes import OWNER
from tests.make.scene import (
    GPU_NODE,
    STAKE,
    STRANGER,
    FixedClock,
    Registry,
    make_registry,
    make_scene,
    open_consoles,
)
from tests.make.values import ENTROPY, NOW_NS, SEPARATOR, address_of, make_job, make_signed_offer, make_tariff
from xnode.node.experience import put_away_lease
from xnode.node.records import Candidate, SubmitterLease
from xnode.node.state import Turn
from xnode.peers.book import LiveBook
from xnode.peers.registrations import Registrations
from xnode.peers.search import MAX_CANDIDATES, OfferSearch, search_offers
from xnode.ports.chain import Staked

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


@dataclass(slots=True)
class Counting(Registry):
    """A registry that remembers about whom it was asked, in how many batches; nobody has anything staked but these, and some are
    in default."""

    nodes: list[Address] = field(default_factory=list)
    providers: list[Address] = field(default_factory=list)
    staked: frozenset[Address] = frozenset()
    defaulted: frozenset[Address] = frozenset()

    async def providers_of(self, nodes: Sequence[Address]) -> tuple[Address | None, ...]:
        self.nodes += nodes
        return await Registry.providers_of(self, nodes)

    async def stakes_of(self, providers: Sequence[Address]) -> tuple[Staked, ...]:
        self._ask()
        self.providers += providers
        return tuple(Staked(Amount(STAKE if one in self.staked else 0), one in self.defaulted) for one in providers)


MARKET = 150
"""Offers, the cheaper the lower the number of the node."""


def make_search(registry: Registry) -> OfferSearch:
    nothing: Any = None
    clock: Any = FixedClock(NOW_NS)
    registrations = Registrations(registry, clock)  # type: ignore[arg-type]
    book = LiveBook(nothing, address_of(0), clock, SEPARATOR, registrations)
    for number in range(1, MARKET + 1):
        tariff = make_tariff(vcpu_hour=10**16 * (100 + 10 * number))
        assert book.offers.add(make_signed_offer(number, tariff=tariff), NOW_NS) is None
    return OfferSearch(book, registrations, NoExperience(), clock, ExposureBound())  # type: ignore[arg-type]


class NoExperience:
    """No lease has ended yet."""

    reputations: ClassVar[dict[Address, Any]] = {}

    def look(self) -> None: ...

    def holders_of(self, _digest: str) -> frozenset[Address]:
        return frozenset()


def owner_of(number: int) -> Address:
    return address_of(OWNER + number)


ALL = {address_of(number): owner_of(number) for number in range(1, MARKET + 1)}


async def test_the_chain_is_asked_once_and_only_about_the_offers_that_are_ranked() -> None:
    registry = Counting(ALL, staked=frozenset(ALL.values()))
    search = make_search(registry)
    found = await search.search(make_job(), ())
    assert len(found.ranked) == MAX_CANDIDATES and not found.unread
    assert registry.asked == 1 and len(registry.nodes) <= MAX_CANDIDATES + 1
    for _ in range(5):
        await search.search(make_job(), ())
    # Of equal ones others may be drawn; of all that are near the best the chain has soon spoken.
    assert registry.asked <= 4 and len(set(registry.nodes)) == len(registry.nodes) < MARKET
    asked = registry.asked
    await search.search(make_job(min_stake=STAKE), ())
    assert registry.asked <= asked + 2 and len(registry.providers) <= MAX_CANDIDATES + 1


async def test_offers_that_nobody_registered_are_passed_over_in_few_batches() -> None:
    honest = (MARKET - 1, MARKET)
    registry = Counting({address_of(number): owner_of(number) for number in honest})
    search = make_search(registry)
    for _ in range(3):
        found = await search.search(make_job(), ())
        assert {one.offer.offer.node for one in found.ranked} == {address_of(number) for number in honest}
        assert sum(one.count for one in found.shortfalls if one.code == "offer_refused_before") == MARKET - len(honest)
    assert registry.asked <= 4, "nobody is remembered too"


async def test_the_price_of_an_offer_that_nobody_registered_values_no_time() -> None:
    registry = Counting({node: owner for node, owner in ALL.items() if node != address_of(1)})
    honest = Counting(ALL)
    search, other = make_search(registry), make_search(honest)
    found = await search.search(make_job(), ())
    await other.search(make_job(), ())
    assert address_of(1) not in [one.offer.offer.node for one in found.ranked]
    assert [one.offer.node for one in found.cheapest] == [address_of(2)]


async def test_the_stake_that_a_job_asks_for_is_looked_up_until_enough_have_it() -> None:
    staked = frozenset(owner_of(number) for number in range(MARKET - 9, MARKET + 1))
    registry = Counting(ALL, staked=staked)
    found = await make_search(registry).search(make_job(min_stake=STAKE), ())
    assert {one.offer.offer.provider for one in found.ranked} == staked
    (short,) = (one for one in found.shortfalls if one.code == "offer_stake")
    assert short.count == MARKET - len(staked) and "its stake is 0" in short.nearest


async def test_a_provider_in_default_has_no_stake_that_a_job_could_count_on() -> None:
    everybody = frozenset(ALL.values())
    in_order = frozenset(owner_of(number) for number in range(MARKET - 4, MARKET + 1))
    registry = Counting(ALL, staked=everybody, defaulted=everybody - in_order)
    found = await make_search(registry).search(make_job(min_stake=STAKE), ())
    assert {one.offer.offer.provider for one in found.ranked} == in_order
    (short,) = (one for one in found.shortfalls if one.code == "offer_stake")
    assert short.count == MARKET - len(in_order) and "in default" in short.nearest


async def test_a_chain_that_is_away_has_what_it_said_before_counted_on() -> None:
    registry = Counting(ALL)
    search = make_search(registry)
    await search.search(make_job(), ())
    registry.is_away = True
    assert len((await search.search(make_job(), ())).ranked) == MAX_CANDIDATES
    found = await search.search(make_job(), tuple(address_of(number) for number in range(1, 40)))
    assert found.unread == "the chain node does not answer" and not found.ranked


def _compute_cost(job: object, tariff: Tariff) -> int:
    return cost_of(full_usage_of(job), tariff)  # type: ignore[arg-type]


def test_a_score_of_any_amount_of_money_can_be_kept() -> None:
    book, job = Book(SEPARATOR), make_job(budget=Amount(10**26))
    for node, price in ((1, 10**22), (2, 10**24)):
        assert book.add(make_signed_offer(node, tariff=make_tariff(price)), NOW_NS) is None
    first, second = (one.to_record() for one in search_offers(book, job, Preferences(), NOW_NS, ENTROPY).ranked)
    assert U64_MAX < 10 * first.score < second.score
    assert [decode(encode(one), Candidate) for one in (first, second)] == [first, second]


def test_a_candidate_of_an_older_journal_is_read_with_its_score() -> None:
    kept = encode((make_signed_offer(), 5, 18 * 10**18, "why"))
    assert decode(kept, Candidate).score == 18 * 10**18
