"""The journal on a real PostgreSQL server: the same promises as on SQLite, also when the server goes away."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from metering.units import Address, Amount, Hash32
from tests.make.nodes import make_provider_settings
from tests.make.values import address_of, make_job, make_tariff
from tests.make.waiting import wait_until
from tests.xnode.store.server import PASSWORD, PostgresServer
from xnode.chain.send.tx_journal import Attempt, SqlTxJournal, TxCall, TxRecord
from xnode.errors import Permanent, Retryable
from xnode.node import effects
from xnode.node.changes import Entry, EscrowSeen, PricesSet
from xnode.node.records import NodeSettings, Numbers, SubmitterJob
from xnode.ports.chain import Sent
from xnode.store.database import open_database
from xnode.store.inspection import inspect_store, open_read_only, require_known_schema
from xnode.store.journal import Batch, Journal
from xnode.store.promises import SqlPromises

pytestmark = pytest.mark.slow

DEADLINE_S = 60

ESCROW = Hash32(b"\xee" * 32)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """The database, until the block ends: an engine keeps its connections open."""
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(postgres: PostgresServer) -> Iterator[Engine]:
    with opened(postgres.new_database()) as engine:
        yield engine


def make_entry(number: int) -> Entry:
    return Entry(number, bytes(32), PricesSet(make_tariff(vcpu_hour=number)))


def make_search(version: int) -> effects.SearchOffers:
    return effects.SearchOffers(Hash32(bytes(32)), make_job(), (), id="search", lane="search", deadline_ns=version)


def make_batch(seq: int) -> Batch:
    """One entry with a record and an effect, as the loop commits them."""
    return Batch(
        entries=[(seq, make_entry(seq))],
        records={("numbers", b""): (Numbers(offer=seq), True)},
        effects={"search": (seq, make_search(seq))},
    )


async def test_a_look_reads_a_store_on_a_server_in_a_transaction_that_cannot_write(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    assert inspect_store(url).revision == ""
    with opened(url) as engine:
        await Journal(engine).commit(make_batch(1))
        found = inspect_store(url)
        assert (found.revision, found.is_newer) == (found.newest, False)
        assert found.contents is not None and (found.contents.records, found.contents.faults) == (1, ())
        newer = sa.text("UPDATE alembic_version SET version_num = '9999'")
        with (
            open_read_only(url, None) as looking,
            looking.connect() as connection,
            pytest.raises(sa.exc.DBAPIError, match="read-only transaction"),
        ):
            connection.execute(newer)
        with engine.begin() as connection:
            connection.execute(newer)
    assert inspect_store(url).is_newer
    with pytest.raises(Permanent, match="a newer xnode has used the database"):
        require_known_schema(url)


async def test_what_was_committed_is_there_after_a_restart_of_node_and_server(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    job = SubmitterJob(Hash32(b"\x01" * 32), make_job(), 5)
    settings = NodeSettings(address_of(1), Hash32(b"\x02" * 32), "test", make_provider_settings(1))
    batch = make_batch(2**40)
    batch.records |= {("submitter_job", job.key): (job, True), ("settings", b""): (settings, True)}
    with opened(url) as engine:
        await Journal(engine).commit(batch)
    postgres.stop(signal.SIGQUIT)
    postgres.start()
    with opened(url) as engine:
        loaded = await Journal(engine).load()
    assert loaded.seq == 2**40
    assert {type(one): one for one in loaded.records} == {
        Numbers: Numbers(offer=2**40), SubmitterJob: job, NodeSettings: settings,
    }  # fmt: skip
    assert loaded.effects == ((2**40, make_search(2**40)),)


async def test_a_promise_is_written_once(engine: Engine) -> None:
    promises = SqlPromises(engine)
    await promises.promise("Verdict", b"\0one", b"yes")
    assert await promises.keep("Verdict", b"\0one", b"no") == b"yes"
    with pytest.raises(Permanent):
        await promises.promise("Verdict", b"\0one", b"no")


async def test_a_record_and_an_effect_take_the_place_of_older_ones(engine: Engine) -> None:
    journal = Journal(engine)
    for seq in (1, 2, 3):
        await journal.commit(make_batch(seq))
    loaded = await journal.load()
    assert (loaded.seq, loaded.records, loaded.effects) == (3, (Numbers(offer=3),), ((3, make_search(3)),))


async def test_an_effect_is_done_by_id_and_version_and_may_be_asked_for_anew_at_once(engine: Engine) -> None:
    journal = Journal(engine)
    await journal.commit(make_batch(1))
    await journal.commit(Batch(done=[("search", 7), ("another", 1)]))
    assert len((await journal.load()).effects) == 1
    await journal.commit(Batch(done=[("search", 1)], effects={"search": (2, make_search(2))}))
    assert (await journal.load()).effects == ((2, make_search(2)),)
    await journal.commit(Batch(done=[("search", 2)]))
    assert (await journal.load()).effects == ()


async def test_an_archived_record_is_read_but_not_loaded(engine: Engine) -> None:
    journal = Journal(engine)
    await journal.commit(Batch(records={("numbers", b""): (Numbers(quote=1), False)}))
    assert (await journal.load()).records == ()
    assert await journal.read_records(Numbers) == (Numbers(quote=1),)


async def test_entries_are_found_by_what_they_are_about_oldest_first(engine: Engine) -> None:
    journal = Journal(engine)
    seen = [Entry(at, bytes(32), EscrowSeen(ESCROW, Amount(2**128 - 1), Amount(at), 0)) for at in range(5)]
    await journal.commit(Batch(entries=[*enumerate(seen, 1), (9, make_entry(9))]))
    assert await journal.read_entries(ESCROW, ("EscrowSeen",)) == tuple(seen)
    assert await journal.read_entries(ESCROW, ("EscrowSeen",), 2) == tuple(seen[:2])
    assert await journal.read_entries(ESCROW, ("PricesSet",)) == ()


async def test_a_batch_is_there_as_a_whole_or_not_at_all(engine: Engine) -> None:
    journal = Journal(engine)
    await journal.commit(make_batch(1))
    clash = make_batch(1)
    clash.records = {("numbers", b""): (Numbers(offer=99), True)}
    with pytest.raises(Retryable):
        await journal.commit(clash)
    assert (await journal.load()).records == (Numbers(offer=1),)


def make_transaction(intent: str, nonce: int, sent: Sent | None = None) -> TxRecord:
    attempt = Attempt(nonce, 2**63, 1, Hash32(bytes([nonce]) * 32), b"raw")
    return TxRecord(intent, TxCall(Address(bytes(20)), b"data", 2**63), 21_000, (attempt,), sent)


async def test_chain_transactions_are_kept_by_intent_and_nonces_are_not_shared(engine: Engine) -> None:
    journal = SqlTxJournal(engine, 31337, address_of(1))
    other = SqlTxJournal(engine, 31337, address_of(2))
    assert (await journal.next_nonce(), await journal.load_pending()) == (0, ())
    for nonce, intent in enumerate(("open:1", "claim:1", "claim:2")):
        await journal.save(make_transaction(intent, nonce))
    sent = Sent("open:1", Hash32(b"\x07" * 32), 5, True, 60_000)
    await journal.mark_confirmed("open:1", sent)
    again = SqlTxJournal(engine, 31337, address_of(1))
    assert await again.next_nonce() == 3
    assert await again.load("open:1") == make_transaction("open:1", 0, sent)
    assert [one.intent for one in await again.load_pending()] == ["claim:1", "claim:2"]
    assert [one.nonce for one in await again.load_from_nonce(1, 1)] == [1]
    assert (await other.next_nonce(), await other.load("open:1")) == (0, None)
    with pytest.raises(Retryable):
        await journal.save(make_transaction("claim:3", 2))


def test_migrations_run_twice_change_nothing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for _ in range(2):
        with opened(url) as engine:
            tables = sorted(sa.inspect(engine).get_table_names())
        assert tables == ["alembic_version", "chain_tx", "effect", "journal", "promise", "record"]


def test_the_schema_is_the_one_that_the_code_reads(engine: Engine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from xnode.chain.send.tx_journal import metadata
    from xnode.store.schema import METADATA

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        # It takes several, whatever its hints say.
        assert compare_metadata(context, [METADATA, metadata]) == []  # type: ignore[arg-type]


async def wait_done(action: Callable[[], Awaitable[None]]) -> None:
    """The loop's own answer to Retryable: again, until it is done."""

    async def is_done() -> bool:
        await action()
        return True

    await wait_until(is_done, DEADLINE_S, despite=Retryable)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_that_goes_away_is_waited_for_and_nothing_is_lost(
    postgres: PostgresServer, engine: Engine, how: signal.Signals
) -> None:
    journal, transactions = Journal(engine), SqlTxJournal(engine, 31337, address_of(1))
    await journal.commit(make_batch(1))
    postgres.stop(how)
    try:
        for _ in range(2):
            with pytest.raises(Retryable, match=r"^database: [^\n]*$") as caught:
                await journal.commit(make_batch(2))
            assert PASSWORD not in str(caught.value)
            with pytest.raises(Retryable):
                await transactions.save(make_transaction("claim:1", 0))
    finally:
        postgres.start()
    await wait_done(lambda: journal.commit(make_batch(2)))
    await wait_done(lambda: transactions.save(make_transaction("claim:1", 0)))
    loaded = await journal.load()
    assert (loaded.seq, loaded.records) == (2, (Numbers(offer=2),))
    assert await transactions.next_nonce() == 1


def find_faults(postgres: PostgresServer) -> dict[str, str]:
    return {
        "wrong password": postgres.make_url("postgres", "wrong-secret"),
        "no such database": postgres.make_url("absent"),
        "no server": "postgresql+psycopg://node:wrong-secret@127.0.0.1:1/node",
        "password behind": "postgresql+psycopg://node@127.0.0.1:1/node?password=wrong-secret",
        "no port": "postgresql+psycopg://node:wrong-secret@127.0.0.1:port/node",
        "no URL": "wrong-secret",
        "no such database program": "oracle9://node:wrong-secret@127.0.0.1/node",
    }


@pytest.mark.parametrize(
    "name",
    [
        "wrong password",
        "no such database",
        "no server",
        "password behind",
        "no port",
        "no URL",
        "no such database program",
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line_without_the_password(postgres: PostgresServer, name: str) -> None:
    with pytest.raises(Permanent) as caught:
        open_database(find_faults(postgres)[name])
    text = str(caught.value)
    assert "\n" not in text and "node.database_url" in text
    assert "wrong-secret" not in text and PASSWORD not in text


def test_commits_are_durable_whatever_the_server_prefers(postgres: PostgresServer) -> None:
    postgres.execute("ALTER ROLE node SET synchronous_commit TO off")
    try:
        with opened(postgres.new_database()) as engine, engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    finally:
        postgres.execute("ALTER ROLE node RESET synchronous_commit")


def test_a_server_without_fsync_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    for fsync in ("off", "on"):
        postgres.execute(f"ALTER SYSTEM SET fsync = {fsync}")
        postgres.stop()
        postgres.start()
        if fsync == "off":
            with pytest.raises(Permanent, match="fsync"):
                open_database(url)
    open_database(url).dispose()
