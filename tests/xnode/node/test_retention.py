"""What may go from the disk: never what is needed or fresh, all that is over its time, and spares as room is short."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metering.units import NANOS_PER_HOUR, Hash32
from scheduler.job import Blob, Image, InputFile
from tests.make.records import LEASE_ID, make_running_lease, make_submitter_job
from tests.make.values import NOW_NS, make_job
from xnode.node.needed import find_needed, hashes_of
from xnode.node.retention import GRACE_NS, DiskReading, DiskRules, Kept, Rule, Shortage, find_removable
from xnode.node.state import make_state

DAY_NS = 24 * NANOS_PER_HOUR
RULES = {"cache": Rule(5 * DAY_NS, is_spare=True), "log": Rule(20 * DAY_NS)}
LAYER, INPUT = Blob(Hash32(b"l" * 32), 5), Blob(Hash32(b"i" * 32), 7)
WITH_FILES = make_job(image=Image("sha256:" + "ab" * 32, 5, blobs=(LAYER,)), inputs=(InputFile("data", INPUT),))
PLENTY = Shortage(1 << 60)

kept = st.builds(
    Kept,
    st.sampled_from(sorted(RULES)),
    st.text("ab", max_size=3),
    st.integers(0, 1000),
    st.integers(NOW_NS - 30 * DAY_NS, NOW_NS + DAY_NS),
    st.booleans(),
)
shortages = st.builds(Shortage, st.integers(0, 5000), st.integers(0, 5000))


@given(st.lists(kept, max_size=12), shortages)
def test_what_is_needed_or_fresh_never_goes_and_what_is_no_spare_not_before_its_time(
    stock: list[Kept], shortage: Shortage
) -> None:
    for one in find_removable(stock, RULES, shortage, NOW_NS):
        age_ns = NOW_NS - one.used_at_ns
        assert one in stock and not one.is_needed and age_ns > GRACE_NS
        assert RULES[one.kind].is_spare or age_ns > RULES[one.kind].keep_ns


@given(st.lists(kept, max_size=12), shortages)
def test_all_that_is_over_its_time_goes(stock: list[Kept], shortage: Shortage) -> None:
    gone = find_removable(stock, RULES, shortage, NOW_NS)
    over = [one for one in stock if not one.is_needed and NOW_NS - one.used_at_ns > RULES[one.kind].keep_ns]
    assert all(gone.count(one) == stock.count(one) for one in over)


@given(st.lists(kept, max_size=12), shortages)
def test_spares_go_until_room_is_made_the_longest_unused_first_and_no_further(
    stock: list[Kept], shortage: Shortage
) -> None:
    gone = find_removable(stock, RULES, shortage, NOW_NS)
    wanted = max(sum(one.size_bytes for one in stock) - shortage.budget_bytes, shortage.lacking_bytes)
    early = [one for one in gone if NOW_NS - one.used_at_ns <= RULES[one.kind].keep_ns]
    left = [
        one
        for one in stock
        if RULES[one.kind].is_spare and not one.is_needed and one not in gone and NOW_NS - one.used_at_ns > GRACE_NS
    ]
    assert sum(one.size_bytes for one in gone) >= wanted or not left
    assert not early or sum(one.size_bytes for one in gone if one is not early[-1]) < wanted
    assert all(first.used_at_ns <= second.used_at_ns for first in early for second in left)


def test_with_plenty_of_room_nothing_goes_before_its_time() -> None:
    stock = [Kept("cache", "a", 1, NOW_NS - 4 * DAY_NS), Kept("cache", "b", 1, NOW_NS - 6 * DAY_NS)]
    assert find_removable(stock, RULES, PLENTY, NOW_NS) == (stock[1],)


sizes = st.integers(0, 1 << 40)


@given(sizes, sizes, sizes, sizes, sizes)
def test_no_lease_is_sold_disk_that_our_own_files_and_the_watermark_need(
    free: int, leased: int, own: int, budget: int, watermark: int
) -> None:
    reading, rules = DiskReading(free, leased, own), DiskRules(budget, watermark)
    left = rules.left_for_leases(reading)
    assert leased <= left <= free + leased
    growth = max(0, rules.budget_of(reading) - own)
    assert left == leased or left - leased + growth + watermark <= free
    assert (rules.lacking_bytes(reading) == 0) == (free >= watermark)
    assert rules.budget_of(reading) <= (free + leased + own) // 4


def test_live_jobs_and_leases_need_their_files_and_ended_ones_do_not() -> None:
    hashes = set(hashes_of(WITH_FILES))
    assert len(hashes) == 2
    running = find_needed(make_state([make_running_lease(job=WITH_FILES), make_submitter_job(job=WITH_FILES)]))
    assert hashes <= running.blobs and LEASE_ID in running.leases and WITH_FILES.image.digest in running.images
    ended = find_needed(
        make_state(
            [make_running_lease(job=WITH_FILES, status="settled"), make_submitter_job(job=WITH_FILES, status="done")]
        )
    )
    assert not hashes & ended.blobs and hashes <= ended.brought
    assert not ended.images and LEASE_ID not in ended.leases
