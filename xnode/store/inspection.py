"""Inspection: what a store holds and what opening it would do, found on a copy: the store itself stays as it is."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from metering.codec import decode
from metering.units import ZERO_HASH, Hash32
from xnode.errors import Permanent
from xnode.node.changes import Entry
from xnode.node.deployment import ENDED, list_unsettled
from xnode.node.effects import DurableEffect
from xnode.node.records import ProviderLease, Record, SubmitterLease
from xnode.node.state import make_state
from xnode.store.database import find_file, find_newest, make_engine, make_too_new, migrate, read_revision
from xnode.store.record_reader import decode_stored

MAX_COPY_BYTES = 1 << 30
"""A larger store is not copied: only its revision is looked at."""

MAX_ENTRIES = 10_000
"""Of the journal, the newest, which are read; older ones are history."""

MAX_FAULTS = 3
"""Of what cannot be read, the first, which are named."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a store, read by this version. records: how many, live or not; running: leases that have not ended, by side;
    unsettled: leases and escrows with money on the contracts of `separator`; faults: what this version cannot read;
    migrated_s: how long bringing a copy up to date took."""

    records: int
    running: dict[str, int]
    unsettled: tuple[Hash32, ...]
    separator: Hash32
    faults: tuple[str, ...]
    migrated_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """revision: of its schema, "" where there is no store; newest: this version's; contents: None where they were not looked at,
    and `unread` says why."""

    revision: str
    newest: str
    contents: Contents | None = None
    unread: str = ""

    @property
    def is_newer(self) -> bool:
        """True for a schema of a later version than this one."""
        return self.revision > self.newest


def inspect_store(url: str) -> StoreFacts:
    """What the store at this URL holds, and whether this version could open it. The store is not changed. Blocking.

    Raises Permanent when it cannot be opened at all."""
    path, newest = find_file(url), find_newest()
    if path is not None and not path.exists():
        return StoreFacts("", newest)
    try:
        with _open_read_only(url, path) as engine:
            revision = read_revision(engine)
            if revision is None or revision > newest:
                return StoreFacts(revision or "", newest)
            if path is None:
                return StoreFacts(revision, newest, read_contents(engine))
            size = path.stat().st_size
            if size > MAX_COPY_BYTES:
                most = MAX_COPY_BYTES >> 20
                return StoreFacts(
                    revision, newest, unread=f"it has {size >> 20} MiB, and more than {most} are not copied"
                )
            return _rehearse(engine, revision, newest, size)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise Permanent(
            f"the store cannot be read: {reason}", hint="check node.database_url, and that it is running"
        ) from error


def require_known_schema(url: str) -> None:
    """Raise Permanent, and touch nothing, when a newer xnode has brought this store's schema to what this one does not know. What
    else is wrong with it is reported by who opens it. Blocking."""
    path, newest = find_file(url), find_newest()
    if path is not None and not path.exists():
        return
    try:
        with _open_read_only(url, path) as engine:
            revision = read_revision(engine)
    except (SQLAlchemyError, Permanent, ValueError):
        return
    if revision is not None and revision > newest:
        raise make_too_new(revision, newest)


def read_contents(engine: Engine) -> Contents:
    """Everything in a store of any revision that this version knows."""
    faults: list[str] = []
    running: Counter[str] = Counter()
    live: list[Record] = []
    count = 0
    with engine.connect() as connection:
        for row in connection.execute(text("SELECT kind, value, is_live FROM record")):
            count += 1
            record = _decode(bytes(row.value), Record, row.kind, faults)
            if record is not None and row.is_live:
                live.append(record)
        for row in connection.execute(text("SELECT id, value FROM effect")):
            _decode(bytes(row.value), DurableEffect, f"effect {row.id[:60]}", faults)
        entries = text(f"SELECT kind, entry FROM journal ORDER BY seq DESC LIMIT {MAX_ENTRIES}")
        for row in connection.execute(entries):
            _decode(bytes(row.entry), Entry, f"entry {row.kind}", faults)
    for one in live:
        if isinstance(one, ProviderLease | SubmitterLease) and one.status not in ENDED:
            running["provider" if isinstance(one, ProviderLease) else "submitter"] += 1
    state = make_state(live)
    separator = state.settings.separator if live else ZERO_HASH
    return Contents(count, dict(running), list_unsettled(state), separator, tuple(faults[:MAX_FAULTS]))


def _rehearse(engine: Engine, revision: str, newest: str, size: int) -> StoreFacts:
    """Copy the store, bring the copy up to date and read all of it."""
    with tempfile.TemporaryDirectory(prefix="xnode-") as folder:
        if shutil.disk_usage(folder).free < 3 * size:
            return StoreFacts(revision, newest, unread=f"there is no room for a copy of {size >> 20} MiB in {folder}")
        copy = Path(folder, "xnode.db")
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            target = sqlite3.connect(copy)
            try:
                raw.backup(target)
            finally:
                target.close()
        copied = make_engine(f"sqlite:///{copy}")
        try:
            begun = time.monotonic()
            migrate(copied)
            took_s = time.monotonic() - begun
            found = read_contents(copied)
        except Permanent as error:
            return StoreFacts(revision, newest, Contents(0, {}, (), ZERO_HASH, (error.message,)))
        finally:
            copied.dispose()
    return StoreFacts(revision, newest, _replace_time(found, took_s))


def _replace_time(found: Contents, took_s: float) -> Contents:
    return Contents(found.records, found.running, found.unsettled, found.separator, found.faults, took_s)


def _decode(value: bytes, kind: Any, what: str, faults: list[str]) -> Any:
    try:
        return decode(value, kind) if kind is Entry else decode_stored(value, kind)
    except (ValueError, Permanent) as error:
        faults.append(f"{what}: {error.message if isinstance(error, Permanent) else error}")
        return None


@contextmanager
def _open_read_only(url: str, path: Path | None) -> Iterator[Engine]:
    if path is None:
        engine = cast("Engine", make_engine(url).execution_options(postgresql_readonly=True))
    else:
        # Without a log beside it nobody has it open, and nothing is left to bring in: it is read as it lies. With one, the log is
        # read too, and no page goes back.
        has_log = path.with_name(f"{path.name}-wal").exists()
        place = f"file:{quote(str(path))}?mode=ro" + ("" if has_log else "&immutable=1")
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(place, uri=True, check_same_thread=False))
    try:
        tables = inspect(engine).get_table_names()
        if tables and "record" not in tables:
            raise Permanent(f"{path or 'the database'} is not a store of xnode", hint="check node.database_url")
        yield engine
    finally:
        engine.dispose()
