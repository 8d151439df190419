"""Pruning: journal entries and records of what is over for long, deleted in small transactions, and their space given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import trio
from sqlalchemy import Engine, delete, func, select

from metering.codec import decode
from metering.units import NANOS_PER_SECOND, ZERO_HASH
from xnode.node.records import HeldQuote, ProviderLease, Record, SubmitterLease
from xnode.node.state import kind_of
from xnode.store.database import Guard
from xnode.store.schema import JOURNAL, RECORD

DAY_NS = 86_400 * NANOS_PER_SECOND

MARKET_NS = DAY_NS
"""What is about no lease, job or escrow is kept for so long: questions for quotes, prices, addresses. Strangers write it."""

QUOTE_NS = 3_600 * NANOS_PER_SECOND
"""And quotes that became no lease after their end."""

MARGIN_NS = 30 * DAY_NS
"""A job and an escrow outlive the leases that belong to them by the longest thaw."""

SCAN_ROWS = 2_000
"""Journal rows looked at in one go."""

DELETE_ROWS = 500
"""Rows deleted in one transaction: a commit of the loop waits behind it for a few milliseconds."""

VACUUM_PAGES = 500
"""Pages given back in one go: 2 MB."""

REST_S = 0.05
"""Between two goes: the loop's commits come first."""

_INCREMENTAL = 2

T = TypeVar("T")

EVIDENCE = frozenset({kind_of(ProviderLease), kind_of(SubmitterLease)})


@dataclass(frozen=True, slots=True)
class Subject:
    """A lease, job or escrow of which rows are stored. ended_at_ns: of its newest entry; refused: it is a lease that never
    was."""

    key: bytes
    ended_at_ns: int
    kinds: frozenset[str] = frozenset()
    is_live: bool = False
    refused: bool = False


def is_over(subject: Subject, keep_history_ns: int, now_ns: int) -> bool:
    """True when its rows may go: no part of it is live, and nothing has happened to it for the time it is evidence."""
    if subject.is_live:
        return False
    keep_ns = keep_history_ns if subject.kinds & EVIDENCE else keep_history_ns + MARGIN_NS
    if subject.refused or not subject.kinds:
        keep_ns = MARKET_NS
    return now_ns - subject.ended_at_ns > keep_ns


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went."""

    entries: int = 0
    records: int = 0


class Pruner:
    """For one store. Every call may be cut off at any place and done again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def prune(self, keep_history_ns: int, now_ns: int) -> Pruned:
        """Delete what is over, a little at a time. Raises Retryable when the database cannot be written."""
        seen: set[bytes] = {bytes(ZERO_HASH)}
        entries = records = 0
        after = 0
        while True:
            scan = await _in_thread(self._scan, after, now_ns - MARKET_NS)
            if scan is None:
                break
            after, loose, keys = scan
            entries += await self._delete_entries(loose)
            for key in keys - seen:
                seen.add(key)
                subject = await _in_thread(self._look, key)
                if is_over(subject, keep_history_ns, now_ns):
                    gone = await self._delete_subject(key)
                    entries, records = entries + gone.entries, records + gone.records
        return Pruned(entries, records + await self._delete_quotes(now_ns))

    async def give_back(self) -> int:
        """Give the database's free pages back to the disk; how many there were. SQLite only: PostgreSQL does it itself."""
        given = 0
        while self._engine.dialect.name == "sqlite" and (count := await _in_thread(self._vacuum)):
            given += count
            await trio.sleep(REST_S)
        return given

    # ------------------------------------------------------------------------------------------------------- reading

    def _scan(self, after: int, before_ns: int) -> tuple[int, list[int], set[bytes]] | None:
        """(where to go on, entries about nothing that is stored, what the others are about) of the next old entries."""
        query = select(JOURNAL.c.seq, JOURNAL.c.at_ns, JOURNAL.c.subject).where(JOURNAL.c.seq > after)
        with Guard(), self._engine.connect() as connection:
            rows = connection.execute(query.order_by(JOURNAL.c.seq).limit(SCAN_ROWS)).all()
            newest = connection.execute(select(func.max(JOURNAL.c.seq))).scalar() or 0
        old = [row for row in rows if row.at_ns < before_ns]
        if not old:
            return None
        # The newest entry stays whatever it is: entries are numbered on from it.
        loose = [row.seq for row in old if row.subject == ZERO_HASH and row.seq < newest]
        return old[-1].seq, loose, {bytes(row.subject) for row in old}

    def _look(self, key: bytes) -> Subject:
        with Guard(), self._engine.connect() as connection:
            last = select(func.max(JOURNAL.c.seq)).where(JOURNAL.c.subject == key).scalar_subquery()
            at_ns = connection.execute(select(JOURNAL.c.at_ns).where(JOURNAL.c.seq == last)).scalar() or 0
            rows = connection.execute(select(RECORD).where(RECORD.c.key == key)).all()
        leases = [decode(row.value, Record) for row in rows if row.kind in EVIDENCE]  # type: ignore[arg-type, var-annotated]
        refused = bool(leases) and all(getattr(one, "status", "") == "refused" for one in leases)
        return Subject(key, at_ns, frozenset(row.kind for row in rows), any(row.is_live for row in rows), refused)

    def _list_quotes(self, now_ns: int) -> list[bytes]:
        """Quotes that are over and of no lease that is stored."""
        kind = kind_of(HeldQuote)
        query = select(RECORD.c.key, RECORD.c.value).where(RECORD.c.kind == kind, RECORD.c.is_live.is_(False))
        with Guard(), self._engine.connect() as connection:
            past = connection.execute(query)
            ended = [bytes(row.key) for row in past if decode(row.value, HeldQuote).wake_at_ns < now_ns - QUOTE_NS]
            if not ended:
                return []
            leases = connection.execute(select(RECORD.c.value).where(RECORD.c.kind == kind_of(ProviderLease)))
            leased = {bytes(decode(row.value, ProviderLease).terms.quote_hash) for row in leases}
        return [key for key in ended if key not in leased]

    # ------------------------------------------------------------------------------------------------------ deleting

    async def _delete_subject(self, key: bytes) -> Pruned:
        """Entries first: a record without entries is still found and goes the next time."""
        entries = 0
        while seqs := await _in_thread(self._list_entries, key):
            gone = await self._delete_entries(seqs)
            entries += gone
            if not gone:
                return Pruned(entries)
        records = await _in_thread(self._delete_archived, [key])
        return Pruned(entries, records)

    def _list_entries(self, key: bytes) -> list[int]:
        query = select(JOURNAL.c.seq).where(JOURNAL.c.subject == key).limit(DELETE_ROWS)
        with Guard(), self._engine.connect() as connection:
            return [row.seq for row in connection.execute(query)]

    async def _delete_entries(self, seqs: list[int]) -> int:
        gone = 0
        for start in range(0, len(seqs), DELETE_ROWS):
            gone += await _in_thread(self._delete_some, seqs[start : start + DELETE_ROWS])
            await trio.sleep(REST_S)
        return gone

    def _delete_some(self, seqs: list[int]) -> int:
        with Guard(), self._engine.begin() as connection:
            newest = connection.execute(select(func.max(JOURNAL.c.seq))).scalar() or 0
            statement = delete(JOURNAL).where(JOURNAL.c.seq.in_(seqs), JOURNAL.c.seq < newest)
            return connection.execute(statement).rowcount

    async def _delete_quotes(self, now_ns: int) -> int:
        keys = await _in_thread(self._list_quotes, now_ns)
        gone = 0
        for start in range(0, len(keys), DELETE_ROWS):
            gone += await _in_thread(self._delete_archived, keys[start : start + DELETE_ROWS])
            await trio.sleep(REST_S)
        return gone

    def _delete_archived(self, keys: Iterable[bytes]) -> int:
        # Only what is put away: a record that came to life meanwhile stays.
        statement = delete(RECORD).where(RECORD.c.key.in_(list(keys)), RECORD.c.is_live.is_(False))
        with Guard(), self._engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _vacuum(self) -> int:
        with Guard(), self._engine.begin() as connection:
            before = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
            if not before or connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() != _INCREMENTAL:
                return 0
            # It gives no rows and frees a page at each step: only the driver's own cursor steps to its end.
            assert connection.connection.driver_connection is not None
            connection.connection.driver_connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            return int(before - (connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0))


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    return await trio.to_thread.run_sync(work, *args)
