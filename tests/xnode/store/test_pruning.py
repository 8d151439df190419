"""What is over for long leaves the database and its space goes back; what is evidence within its time never does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Engine, select, text

from metering.usage import Counters
from scheduler.quote import Quote, quote_digest_of
from tests.make.records import ESCROW_ID, JOB, LEASE_ID, TERMS, make_provider_escrow, make_running_lease
from tests.make.values import NOW_NS, SEPARATOR, address_of, make_quote_body
from xnode.node import changes
from xnode.node.changes import Change, Entry
from xnode.node.records import HeldQuote, Record
from xnode.node.state import kind_of
from xnode.store.database import make_shrinkable, open_database
from xnode.store.journal import Batch, Journal
from xnode.store.pruning import DAY_NS, EVIDENCE, MARGIN_NS, MARKET_NS, Pruned, Pruner, Subject, is_over
from xnode.store.schema import JOURNAL, RECORD

KEEP_NS = 100 * DAY_NS
READ = changes.UsageRead(LEASE_ID, Counters(1, 1))
PRICE = changes.NodeResumed(7)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path}/node.db")
    yield engine
    engine.dispose()


async def write(database: Engine, *entries: tuple[int, Change], records: tuple[tuple[Record, bool], ...] = ()) -> None:
    """Entries so many days before now, and records: (record, is it live)."""
    with database.connect() as connection:
        first = connection.execute(text("SELECT coalesce(max(seq), 0) FROM journal")).scalar() or 0
    batch = Batch(
        entries=[
            (first + place + 1, Entry(NOW_NS - days * DAY_NS, bytes(32), change))
            for place, (days, change) in enumerate(entries)
        ],
        records={(kind_of(type(one)), one.key): (one, is_live) for one, is_live in records},
    )
    await Journal(database).commit(batch)


def rows(database: Engine) -> tuple[int, int]:
    """(entries, records)."""
    with database.connect() as connection:
        return len(connection.execute(select(JOURNAL.c.seq)).all()), len(connection.execute(select(RECORD.c.key)).all())


def copy_back(path: Path) -> None:
    """What lies in the log into the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_quote(number: int, ends_at_ns: int) -> HeldQuote:
    quote = Quote(address_of(1001), address_of(1), number, ends_at_ns, make_quote_body(JOB))
    return HeldQuote(quote_digest_of(SEPARATOR, quote), quote, JOB, ends_at_ns)


async def test_a_lease_that_is_put_away_goes_with_its_evidence_when_its_time_is_over(database: Engine) -> None:
    settled = make_running_lease(status="settled")
    await write(database, (102, READ), (101, READ), (0, PRICE), records=((settled, False),))
    assert await Pruner(database).prune(KEEP_NS, NOW_NS) == Pruned(2, 1)
    assert rows(database) == (1, 0)


@pytest.mark.parametrize(("days", "is_live"), [((102, 99), False), ((400, 390), True)], ids=["within its time", "live"])
async def test_evidence_within_its_time_stays_whole(database: Engine, days: tuple[int, ...], is_live: bool) -> None:
    lease = make_running_lease(status="settled")
    await write(database, *((each, READ) for each in days), (0, PRICE), records=((lease, is_live),))
    await Pruner(database).prune(KEEP_NS, NOW_NS)
    assert rows(database) == (len(days) + 1, 1)


async def test_an_escrow_outlives_its_leases(database: Engine) -> None:
    seen = changes.EscrowSeen(ESCROW_ID, 0, 0, 0)  # type: ignore[arg-type]
    await write(database, (101, READ), (101, seen), (0, PRICE), records=((make_provider_escrow(), False),))
    await Pruner(database).prune(KEEP_NS, NOW_NS)
    assert rows(database) == (2, 1)


async def test_what_strangers_asked_is_forgotten_after_a_day_and_the_newest_entry_never(database: Engine) -> None:
    await write(database, (5, PRICE), (4, PRICE), (3, PRICE))
    await Pruner(database).prune(KEEP_NS, NOW_NS)
    assert rows(database) == (1, 0), "entries are numbered on from the newest"
    assert (await Journal(database).load()).seq == 3


async def test_a_lease_that_was_refused_goes_after_a_day(database: Engine) -> None:
    refused = make_running_lease(status="refused")
    await write(database, (3, READ), (0, PRICE), records=((refused, False),))
    await Pruner(database).prune(KEEP_NS, NOW_NS)
    assert rows(database) == (1, 0)


async def test_a_quote_that_became_no_lease_goes_and_one_of_a_lease_stays(database: Engine) -> None:
    unused, used = make_quote(1, NOW_NS - DAY_NS), make_quote(2, NOW_NS - DAY_NS)
    held, fresh = make_quote(3, NOW_NS - DAY_NS), make_quote(4, NOW_NS)
    lease = make_running_lease(terms=replace(TERMS, quote_hash=used.digest))
    quotes = ((unused, False), (used, False), (held, True), (fresh, False))
    await write(database, (0, PRICE), records=((lease, True), *quotes))
    await Pruner(database).prune(KEEP_NS, NOW_NS)
    with database.connect() as connection:
        kept = set(connection.execute(select(RECORD.c.key).where(RECORD.c.kind == "held_quote")).scalars())
    assert kept == {used.digest, held.digest, fresh.digest}


async def test_space_of_deleted_rows_goes_back_to_the_disk(database: Engine, tmp_path: Path) -> None:
    await write(database, *((5, PRICE) for _ in range(8_000)), (0, PRICE))
    copy_back(tmp_path / "node.db")
    before = (tmp_path / "node.db").stat().st_size
    pruner = Pruner(database)
    assert (await pruner.prune(KEEP_NS, NOW_NS)).entries == 8_000
    assert await pruner.give_back() > 10
    copy_back(tmp_path / "node.db")
    assert (tmp_path / "node.db").stat().st_size < before // 4


async def test_a_file_of_an_older_version_is_rewritten_once_and_then_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE something (value)")
    engine = open_database(f"sqlite:///{path}")
    make_shrinkable(engine)
    await write(engine, *((5, PRICE) for _ in range(5_000)), (0, PRICE))
    await Pruner(engine).prune(KEEP_NS, NOW_NS)
    assert await Pruner(engine).give_back() > 0
    engine.dispose()


subjects = st.builds(
    Subject,
    st.just(b"x"),
    st.integers(NOW_NS - 400 * DAY_NS, NOW_NS),
    st.frozensets(st.sampled_from([*sorted(EVIDENCE), "submitter_job", "provider_escrow"])),
    st.booleans(),
    st.booleans(),
)


@given(subjects, st.integers(30 * DAY_NS, 200 * DAY_NS))
def test_nothing_live_goes_and_no_evidence_before_its_time(subject: Subject, keep_ns: int) -> None:
    age_ns = NOW_NS - subject.ended_at_ns
    if is_over(subject, keep_ns, NOW_NS):
        assert not subject.is_live and age_ns > MARKET_NS
        assert subject.refused or not subject.kinds or age_ns > keep_ns
        assert subject.refused or not subject.kinds or subject.kinds & EVIDENCE or age_ns > keep_ns + MARGIN_NS
    else:
        assert subject.is_live or age_ns <= keep_ns + MARGIN_NS
