"""Record reader: the node's records for reading, live or long ended: by key, by page, by the escrow they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import trio
from sqlalchemy import ColumnElement, Engine, Select, func, select

from metering.codec import decode
from metering.units import Hash32
from xnode.errors import Permanent
from xnode.node.records import ProviderLease, Record, SubmitterJob, SubmitterLease
from xnode.node.state import kind_of
from xnode.ports.store import Page, Pick
from xnode.store.database import Guard
from xnode.store.schema import RECORD

R = TypeVar("R", bound=Record)

_KEYS_AT_ONCE = 500
"""In one statement: a database takes only so many values."""

MAX_IDS = 10
"""Keys with one beginning that are told apart: whose id is meant is clear with two."""


class RecordReader:
    """ports.Records over the database. What is asked for is found by an index, and only what is given is decoded."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read_records(self, record_type: type[R], from_key: bytes = b"") -> tuple[R, ...]:
        """Every record of a kind of which there are few, from a key on, in order of key."""
        query = _of_kind(record_type).order_by(RECORD.c.key)
        return await self._read(record_type, query.where(RECORD.c.key >= from_key) if from_key else query)

    async def read_record(self, record_type: type[R], key: bytes) -> R | None:
        """One record."""
        return await trio.to_thread.run_sync(self.find, record_type, key)

    def find(self, record_type: type[R], key: bytes) -> R | None:
        """The same. Blocking."""
        found = self.fetch(_of_kind(record_type).where(RECORD.c.key == key))
        return cast("R | None", next(iter(found), None))

    async def read_some(self, record_type: type[R], keys: Iterable[bytes]) -> tuple[R, ...]:
        """Those of these keys that there are, in no order."""
        wanted, found = list(keys), list[R]()
        for first in range(0, len(wanted), _KEYS_AT_ONCE):
            these = RECORD.c.key.in_(wanted[first : first + _KEYS_AT_ONCE])
            found += await self._read(record_type, _of_kind(record_type).where(these))
        return tuple(found)

    async def read_page(self, record_type: type[R], pick: Pick) -> Page[R]:
        """A page of jobs or leases, the newest first, and how many there are in all."""
        return await trio.to_thread.run_sync(self._read_page, record_type, pick)

    async def count_by_status(self, record_type: type[R], since_ns: int = 0) -> dict[str, int]:
        """How many jobs or leases there are of each status."""
        return await trio.to_thread.run_sync(self._count, record_type, since_ns)

    async def read_about(self, record_type: type[R], about: Hash32) -> tuple[R, ...]:
        """The leases on this escrow, in no order."""
        return await self._read(record_type, _of_kind(record_type).where(RECORD.c.about == about))

    async def find_keys(self, record_type: type[R], first: bytes, last: bytes) -> tuple[Hash32, ...]:
        """Keys from the first to the last, MAX_IDS at most."""
        return await trio.to_thread.run_sync(self._find_keys, record_type, first, last)

    async def _read(self, record_type: type[R], query: Select[Any]) -> tuple[R, ...]:
        return cast("tuple[R, ...]", await trio.to_thread.run_sync(self.fetch, query))

    def fetch(self, query: Select[Any]) -> tuple[Record, ...]:
        """The records that a query for values finds. Blocking."""
        with Guard(), self._engine.connect() as connection:
            return tuple(decode_record(row.value) for row in connection.execute(query))

    def _read_page(self, record_type: type[R], pick: Pick) -> Page[R]:
        where = _conditions(record_type, pick.statuses, pick.since_ns)
        # The key too, so that two of one moment have one order on every page.
        rows = select(RECORD.c.value).where(*where).order_by(RECORD.c.at_ns.desc(), RECORD.c.key.desc())
        with Guard(), self._engine.connect() as connection:
            total = connection.execute(select(func.count()).where(*where)).scalar_one()
            found = connection.execute(rows.limit(pick.limit).offset(pick.offset)).all()
        return Page(cast("tuple[R, ...]", tuple(decode_record(row.value) for row in found)), total)

    def _count(self, record_type: type[R], since_ns: int) -> dict[str, int]:
        query = select(RECORD.c.status, func.count().label("count")).where(*_conditions(record_type, (), since_ns))
        with Guard(), self._engine.connect() as connection:
            rows = connection.execute(query.group_by(RECORD.c.status)).all()
        return {row[0]: row[1] for row in rows}

    def _find_keys(self, record_type: type[R], first: bytes, last: bytes) -> tuple[Hash32, ...]:
        query = select(RECORD.c.key).where(RECORD.c.kind == kind_of(record_type), RECORD.c.key.between(first, last))
        with Guard(), self._engine.connect() as connection:
            rows = connection.execute(query.order_by(RECORD.c.key).limit(MAX_IDS)).all()
        return tuple(Hash32(bytes(row.key)) for row in rows)


def make_columns(record: Any) -> dict[str, object]:
    """What rows of a record are found by: see schema.RECORD."""
    match record:
        case SubmitterJob():
            return {"at_ns": record.submitted_at_ns, "status": record.status, "about": None}
        case ProviderLease() | SubmitterLease():
            return {"at_ns": record.requested_at_ns, "status": record.status, "about": bytes(record.terms.escrow_id)}
    return {"at_ns": None, "status": None, "about": None}


def decode_record(value: bytes) -> Record:
    """A record of its bytes."""
    record: Record = decode_stored(value, Record)
    return record


def decode_stored(value: bytes, kind: Any) -> Any:
    """A value of its bytes. Raises Permanent when they are of a newer xnode."""
    try:
        return decode(value, kind)
    except msgspec.ValidationError as error:
        # Its schema may be ours all the same: fields are added without a migration.
        raise Permanent(
            f"the database holds what this version of xnode cannot read: {error}",
            hint="if a newer xnode has used it, run that version",
        ) from error


def _of_kind(record_type: type[Any]) -> Select[Any]:
    return select(RECORD.c.value).where(RECORD.c.kind == kind_of(record_type))


def _conditions(record_type: type[Any], statuses: Sequence[str], since_ns: int) -> list[ColumnElement[bool]]:
    found = [RECORD.c.kind == kind_of(record_type)]
    found += [RECORD.c.status.in_(statuses)] if statuses else []
    return found + ([RECORD.c.at_ns >= since_ns] if since_ns else [])
