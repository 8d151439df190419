"""Journal: what the loop loads at start, and the one transaction that makes a batch durable."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import msgspec
import trio
from sqlalchemy import ClauseElement, Connection, Engine, Table, bindparam, delete, func, insert, select

from metering.codec import decode, encode
from metering.units import ZERO_HASH
from xnode.node.changes import Entry
from xnode.node.effects import DurableEffect, Reply
from xnode.node.records import Record
from xnode.node.state import Turn, kind_of
from xnode.store.database import Guard
from xnode.store.held import hold
from xnode.store.record_reader import RecordReader, decode_record, decode_stored, make_columns
from xnode.store.schema import EFFECT, JOURNAL, RECORD

RECORD_VALUES = ("is_live", "value", "at_ns", "status", "about")


@dataclass(slots=True)
class Batch:
    """Everything one commit makes durable, or nothing of it."""

    entries: list[tuple[int, Entry]] = field(default_factory=list)
    records: dict[tuple[str, bytes], tuple[Record, bool]] = field(default_factory=dict)
    effects: dict[str, tuple[int, DurableEffect]] = field(default_factory=dict)
    done: list[tuple[str, int]] = field(default_factory=list)
    _held: dict[object, tuple[object, bytes]] = field(default_factory=dict)

    def add(self, seq: int, entry: Entry, turn: Turn) -> tuple[int, list[Reply]]:
        """Take in what a step made of an entry. seq: the last entry's number; gives the last number from now on, and the
        replies, which are given once the batch is durable.

        Raises NotHeld, and has taken in nothing, when the store could not hold all of it: one change is refused then, and
        not every one of this commit lost.
        """
        durable = [effect for effect in turn.effects if not isinstance(effect, Reply)]
        held: dict[object, tuple[object, bytes]] = {
            effect.id: (effect, hold(effect, DurableEffect)) for effect in durable
        }
        for key, record in turn.touched.items():
            held[key] = record, hold(record, Record, turn.before.get_of_kind(*key))
        if durable or turn.touched or entry.done:
            held[seq + 1] = entry, hold(entry, Entry)
        self._held |= held
        self.effects |= {effect.id: (seq + 1, effect) for effect in durable}
        self.records |= {key: (record, key not in turn.dropped) for key, record in turn.touched.items()}
        if entry.done:
            self.done.append(entry.done)
        # A question that changed nothing leaves no trace: strangers cannot fill our disk by asking.
        if durable or turn.touched or entry.done:
            seq += 1
            self.entries.append((seq, entry))
        return seq, [effect for effect in turn.effects if isinstance(effect, Reply)]

    def bytes_of(self, key: object, value: object) -> bytes:
        """The bytes to store: those that were checked when the value was taken in."""
        held = self._held.get(key)
        return held[1] if held is not None and held[0] is value else encode(value)

    def __bool__(self) -> bool:
        return bool(self.entries or self.records or self.effects or self.done)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store held: last sequence number, live records, effects not yet done; last_at_ns: when the last entry was
    taken in, 0 when there is none."""

    seq: int
    records: tuple[Record, ...]
    effects: tuple[tuple[int, DurableEffect], ...]
    last_at_ns: int = 0


class _Stamp(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of an Entry: all that a start needs of the last one, be its change of any version."""

    at_ns: int


class Journal(RecordReader):
    """Append-only entries with the records and effects they led to. One writer; every call runs on a worker thread."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._limiter = trio.CapacityLimiter(1)
        # Only the dialect in use: the other one's types are 2 MB.
        dialect = import_module(f"sqlalchemy.dialects.{engine.dialect.name}")
        self._add_entry = _Prepared(insert(JOURNAL), engine)
        self._put_record = _Prepared(_make_upsert(dialect, RECORD, ("kind", "key"), RECORD_VALUES), engine)
        self._put_effect = _Prepared(_make_upsert(dialect, EFFECT, ("id",), ("version", "value")), engine)
        done = EFFECT.c.id == bindparam("id"), EFFECT.c.version == bindparam("version")
        self._drop_effect = _Prepared(delete(EFFECT).where(*done), engine)

    async def load(self) -> Loaded:
        """The state at the last commit."""
        return await trio.to_thread.run_sync(self.load_now, limiter=self._limiter)

    def load_records(self, record_type: type[Record]) -> tuple[Record, ...]:
        """Every live record of a kind. Blocking."""
        return self.fetch(
            select(RECORD.c.value).where(RECORD.c.kind == kind_of(record_type), RECORD.c.is_live.is_(True))
        )

    async def commit(self, batch: Batch) -> None:
        """Durable when this returns. Raises Retryable when the disk is full or the database away: nothing was written."""
        await trio.to_thread.run_sync(self.commit_now, batch, limiter=self._limiter)

    async def read_entries(self, subject: bytes, kinds: tuple[str, ...], limit: int = 10_000) -> tuple[Entry, ...]:
        """The journal's entries on one lease, job or escrow, oldest first."""
        return await trio.to_thread.run_sync(self._read_entries, subject, kinds, limit)

    def load_now(self) -> Loaded:
        """The same, blocking."""
        with Guard(), self._engine.begin() as connection:
            seq = connection.execute(select(func.max(JOURNAL.c.seq))).scalar() or 0
            rows = connection.execute(select(RECORD.c.value).where(RECORD.c.is_live.is_(True)))
            records = tuple(decode_record(row.value) for row in rows)
            rows = connection.execute(select(EFFECT.c.version, EFFECT.c.value).order_by(EFFECT.c.version))
            effects = tuple((int(row.version), _decode_effect(row.value)) for row in rows)
            last = connection.execute(select(JOURNAL.c.entry).where(JOURNAL.c.seq == seq)).scalar()
        return Loaded(seq, records, effects, decode(last, _Stamp).at_ns if last is not None else 0)

    def commit_now(self, batch: Batch) -> None:
        """The same, blocking."""
        entries = [_make_journal_row(seq, entry, batch.bytes_of(seq, entry)) for seq, entry in batch.entries]
        records: list[dict[str, object]] = [
            {
                "kind": kind,
                "key": key,
                "is_live": is_live,
                "value": batch.bytes_of((kind, key), record),
                **make_columns(record),
            }
            for (kind, key), (record, is_live) in batch.records.items()
        ]
        effects: list[dict[str, object]] = [
            {"id": effect_id, "version": version, "value": batch.bytes_of(effect_id, effect)}
            for effect_id, (version, effect) in batch.effects.items()
        ]
        done: list[dict[str, object]] = [{"id": effect_id, "version": version} for effect_id, version in batch.done]
        with Guard(), self._engine.begin() as connection:
            # Done first: an effect may be done and emitted anew by one and the same change.
            self._drop_effect.run(connection, done)
            self._add_entry.run(connection, entries)
            self._put_record.run(connection, records)
            self._put_effect.run(connection, effects)

    def _read_entries(self, subject: bytes, kinds: tuple[str, ...], limit: int) -> tuple[Entry, ...]:
        query = select(JOURNAL.c.entry).where(JOURNAL.c.subject == subject, JOURNAL.c.kind.in_(kinds))
        with Guard(), self._engine.connect() as connection:
            rows = connection.execute(query.order_by(JOURNAL.c.seq).limit(limit)).all()
        return tuple(decode(row.entry, Entry) for row in rows)


class _Prepared:
    """A statement in the driver's own words: on the way of every receipt, handling each value anew costs more than SQLite."""

    def __init__(self, statement: ClauseElement, engine: Engine) -> None:
        compiled: Any = statement.compile(dialect=engine.dialect)
        self._sql = str(compiled)
        self._order: list[str] | None = compiled.positiontup

    def run(self, connection: Connection, rows: list[dict[str, object]]) -> None:
        """Once for each row; nothing for none."""
        if rows and self._order:
            connection.exec_driver_sql(self._sql, [tuple([row[name] for name in self._order]) for row in rows])
        elif rows:
            connection.exec_driver_sql(self._sql, rows)


def _decode_effect(value: bytes) -> DurableEffect:
    effect: DurableEffect = decode_stored(value, DurableEffect)
    return effect


def _make_upsert(dialect: Any, table: Table, keys: tuple[str, ...], values: tuple[str, ...]) -> Any:
    statement = dialect.insert(table)
    return statement.on_conflict_do_update(
        index_elements=list(keys), set_={name: getattr(statement.excluded, name) for name in values}
    )


def _make_journal_row(seq: int, entry: Entry, data: bytes) -> dict[str, object]:
    return {
        "seq": seq,
        "at_ns": entry.at_ns,
        "kind": type(entry.change).__name__,
        "subject": find_subject(entry),
        "entry": data,
    }


def find_subject(entry: Entry) -> bytes:
    """What the entry is about: a lease, a job, an escrow, or nothing of these."""
    change = entry.change
    for name in ("lease_id", "job_hash", "escrow_id"):
        subject = getattr(change, name, None)
        if subject:
            return bytes(subject)
    receipts = getattr(change, "receipts", ())
    return bytes(receipts[0].receipt.lease_id) if receipts else bytes(ZERO_HASH)
