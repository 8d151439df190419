"""The offer book: what gets in, what is found, and why not."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.units import BYTES_PER_GIB, NANOS_PER_HOUR
from scheduler.book import MAX_OFFER_LIFE_NS, MAX_PROOFS, Book, shortfalls_of
from scheduler.feasible import check_offer_for_job
from scheduler.index import ScanIndex
from scheduler.preferences import Preferences
from scheduler.score import rank, score_offer
from tests.make.values import (
    ENTROPY,
    NOW_NS,
    SEPARATOR,
    TOKEN,
    address_of,
    make_job,
    make_offer,
    make_resources,
    make_signed_offer,
    make_tariff,
    sign_offer,
)


def _make_book(*signed: object) -> Book:
    book = Book(SEPARATOR)
    for one in signed:
        assert book.add(one, NOW_NS) is None  # type: ignore[arg-type]
    return book


def _code(refusal: object) -> str | None:
    return refusal.code if refusal else None  # type: ignore[attr-defined]


@given(st.permutations(range(1, 7)))
@settings(max_examples=30)
def test_the_newest_number_wins_whatever_the_order(numbers: list[int]) -> None:
    book = Book(SEPARATOR)
    for number in numbers:
        book.add(make_signed_offer(number=number), NOW_NS)
    assert len(book) == 1
    newest = book.get(address_of(1))
    assert newest is not None and newest.offer.number == 6


def test_an_older_offer_is_refused_and_the_same_one_again_is_fine() -> None:
    book = _make_book(make_signed_offer(number=5))
    assert _code(book.add(make_signed_offer(number=4), NOW_NS)) == "offer_old"
    assert book.add(make_signed_offer(number=5), NOW_NS) is None


def test_two_offers_of_one_number_are_kept_as_proof() -> None:
    first, second = make_signed_offer(), make_signed_offer(region="us-east")
    book = _make_book(first)
    assert _code(book.add(second, NOW_NS)) == "offer_equivocation"
    assert book.get(address_of(1)) == first
    assert [(proof.first, proof.second) for proof in book.proofs] == [(first, second)]


def test_proofs_have_a_limit() -> None:
    book = Book(SEPARATOR)
    for node in range(1, MAX_PROOFS + 3):
        book.add(make_signed_offer(node), NOW_NS)
        assert _code(book.add(make_signed_offer(node, region="x"), NOW_NS)) == "offer_equivocation"
    assert len(book.proofs) == MAX_PROOFS


def test_a_forger_cannot_frame_or_replace_a_node() -> None:
    book = _make_book(make_signed_offer(1))
    assert _code(book.add(sign_offer(make_offer(1, region="us-east"), node=2), NOW_NS)) == "offer_signature"
    assert _code(book.add(sign_offer(make_offer(1, number=9), node=2), NOW_NS)) == "offer_signature"
    assert book.proofs == ()
    kept = book.get(address_of(1))
    assert kept is not None and kept.offer.number == 1


def test_limits_refuse_with_their_own_code() -> None:
    book = Book(SEPARATOR, max_offers=1)
    assert _code(book.add(make_signed_offer(expires_at_ns=NOW_NS), NOW_NS)) == "offer_expired"
    assert _code(book.add(make_signed_offer(expires_at_ns=NOW_NS + MAX_OFFER_LIFE_NS + 1), NOW_NS)) == "offer_life"
    assert _code(book.add(make_signed_offer(region="x" * 9_000), NOW_NS)) == "offer_size"
    assert book.add(make_signed_offer(1), NOW_NS) is None
    assert _code(book.add(make_signed_offer(2), NOW_NS)) == "book_full"
    assert book.add(make_signed_offer(1, number=2), NOW_NS) is None, "a full book still takes its nodes' newer offers"


def test_expired_offers_are_never_found_and_leave_when_told() -> None:
    book = _make_book(make_signed_offer(1), make_signed_offer(2, expires_at_ns=NOW_NS + 2 * NANOS_PER_HOUR))
    later = NOW_NS + NANOS_PER_HOUR
    found = book.search(make_job(), Preferences(), later, 5, ENTROPY)
    assert [one.node for one in found.candidates] == [address_of(2)]
    assert [(one.code, one.count) for one in shortfalls_of(found)] == [("offer_expired", 1)]
    assert (book.drop_expired(later), len(book)) == (1, 1)
    assert book.search(make_job(), Preferences(), later, 5, ENTROPY).unfit == ()


def test_a_dropped_offer_is_not_found() -> None:
    book = _make_book(make_signed_offer(1), make_signed_offer(2))
    book.drop(address_of(1))
    book.drop(address_of(7))
    assert [one.node for one in book.search(make_job(), Preferences(), NOW_NS, 5, ENTROPY).candidates] == [
        address_of(2)
    ]


def test_a_newer_offer_replaces_the_old_one_in_searches() -> None:
    book = _make_book(make_signed_offer(number=1), make_signed_offer(number=2, region="us-east"))
    assert book.search(make_job(regions=("eu-west",)), Preferences(), NOW_NS, 5, ENTROPY).candidates == ()
    assert len(book.search(make_job(regions=("us-east",)), Preferences(), NOW_NS, 5, ENTROPY).candidates) == 1


def test_reasons_are_only_looked_for_when_candidates_are_missing() -> None:
    book = _make_book(make_signed_offer(1), make_signed_offer(2, region="us-east"))
    job = make_job(regions=("eu-west",))
    assert book.search(job, Preferences(), NOW_NS, 1, ENTROPY).unfit == ()
    assert len(book.search(job, Preferences(), NOW_NS, 2, ENTROPY).unfit) == 1


def test_a_shortfall_names_the_nearest_and_counts_what_it_rules_out_alone() -> None:
    small = [
        make_signed_offer(node, free=make_resources(memory_bytes=node * BYTES_PER_GIB), region="eu-west")
        for node in (1, 2, 3, 4)
    ]
    far = make_signed_offer(9, free=make_resources(memory_bytes=BYTES_PER_GIB), region="us-east")
    job = make_job(resources=make_resources(memory_bytes=8 * BYTES_PER_GIB), regions=("eu-west",))
    memory, region = shortfalls_of(_make_book(*small, far).search(job, Preferences(), NOW_NS, 3, ENTROPY))
    assert (memory.code, memory.count, memory.only) == ("offer_memory", 5, 4)
    assert memory.nearest == "4 GiB of memory free, the job asks for 8 GiB"
    assert memory.nodes == (address_of(4), address_of(3), address_of(2))
    assert (region.code, region.count, region.only) == ("offer_region", 1, 0)


def _random_book(entropy: random.Random, size: int) -> Book:
    book = Book(SEPARATOR)
    for node in range(1, size + 1):
        free = make_resources(vcpu_milli=entropy.choice((250, 500, 1_000)))
        tariff = make_tariff(entropy.randrange(TOKEN // 20, TOKEN))
        region = entropy.choice(("eu-west", "us-east", "asia"))
        assert book.add(make_signed_offer(node, free=free, tariff=tariff, region=region), NOW_NS) is None
    return book


@pytest.mark.parametrize("seed", range(4))
def test_a_search_finds_what_looking_at_each_offer_finds(seed: int) -> None:
    book = _random_book(random.Random(seed), 60)
    job = make_job(regions=("eu-west", "asia"))
    fitting = [one.offer for one in book if not check_offer_for_job(job, one.offer, NOW_NS, Preferences())]
    expected = rank((score_offer(job, offer, Preferences(), NOW_NS) for offer in fitting), ENTROPY)
    for count in (1, 3, 1_000):
        found = book.search(job, Preferences(), NOW_NS, count, ENTROPY)
        assert found.candidates == expected[:count]
        assert found.offers_seen == 60
    assert len(found.unfit) + len(found.candidates) == 60


def test_the_scan_keeps_the_near_best_for_the_entropy() -> None:
    index = ScanIndex()
    for node in range(1, 11):
        index.put(make_offer(node, tariff=make_tariff(TOKEN // 10 + node)))
    assert len(index.find_best(make_job(), Preferences(), NOW_NS, 1)) == 10


def test_a_spelling_of_a_signature_is_no_equivocation() -> None:
    signed = make_signed_offer()
    book = _make_book(signed)
    forged = msgspec.structs.replace(signed, signature=bytes(65))
    assert _code(book.add(forged, NOW_NS)) == "offer_signature"
    assert book.proofs == ()
