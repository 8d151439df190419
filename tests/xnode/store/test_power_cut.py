"""Power cuts on the journal's own schema and pragmas: what was acknowledged is there, and nothing is there by halves."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import apsw
import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.xnode.store.cuttable import CuttableDisk, CuttableVfs, PowerCut
from xnode.store.database import set_pragmas
from xnode.store.schema import METADATA

CUTS = int(os.environ.get("XNODE_POWER_CUTS", "1000"))
"""10,000 take about a minute."""

ROWS_MOST = 11
CHECKPOINT_PAGES = 20
"""The default of 1,000 pages would hardly ever be reached between two cuts."""

_INSERT_ENTRY = "INSERT INTO journal (seq, at_ns, kind, subject, entry) VALUES (?, 0, 'ReceiptsReceived', ?, ?)"
_PUT_RECORD = (
    "INSERT INTO record (kind, key, is_live, value) VALUES ('provider_lease', x'00', 1, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)


class _Door:
    """What set_pragmas needs of a DB-API connection, over apsw's."""

    isolation_level: str | None = ""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def cursor(self) -> Any:
        return self._connection.cursor()


class Machine:
    """A journal writer whose power fails. acknowledged: the last sequence number whose commit had returned."""

    def __init__(self, synchronous: str | None, seed: int) -> None:
        self.entropy = random.Random(seed)
        self.disk = CuttableDisk(self.entropy)
        self.synchronous = synchronous
        self.vfs_name = f"cuttable-{synchronous}-{seed}"
        self.vfs = CuttableVfs(self.disk, self.vfs_name)
        self.acknowledged = 0
        self.rows = 0

    def open(self) -> apsw.Connection:
        """A connection as the store makes it, but alone, which spares the shared-memory file."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        connection = apsw.Connection("/disk/node.db", vfs=self.vfs_name, flags=flags)
        connection.execute("PRAGMA locking_mode=exclusive")
        set_pragmas(_Door(connection), None)
        if self.synchronous is not None:
            connection.execute(f"PRAGMA synchronous={self.synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        return connection

    def write_until_cut(self) -> None:
        """Commit batches until the power fails."""
        self.disk.cut_after = self.entropy.randint(3, 120)
        connection = None
        with contextlib.suppress(PowerCut, apsw.Error):
            connection = self.open()
            _make_schema(connection)
            last = _read_last(connection)
            while True:
                last = self._commit(connection, last)
                self.acknowledged = last
        self.disk.is_off = True
        if connection is not None:
            with contextlib.suppress(PowerCut, apsw.Error):
                connection.close(True)
        self.disk.power_on()

    def _commit(self, connection: apsw.Connection, last: int) -> int:
        count = self.entropy.randint(1, ROWS_MOST)
        connection.execute("BEGIN IMMEDIATE")
        rows = [
            (seq, self.entropy.randbytes(32), self.entropy.randbytes(300)) for seq in range(last + 1, last + count + 1)
        ]
        connection.executemany(_INSERT_ENTRY, rows)
        connection.execute(_PUT_RECORD, ((last + count).to_bytes(8, "big"),))
        connection.execute("COMMIT")
        self.rows += count
        return last + count

    def find_loss(self) -> str | None:
        """What is wrong with the journal after a cut, or None; what is there now counts as acknowledged."""
        self.disk.cut_after = 10**9
        try:
            connection = self.open()
            _make_schema(connection)
            whole = connection.execute("PRAGMA integrity_check").get
            last, count = _read_last(connection), connection.execute("SELECT count(*) FROM journal").get
            record = connection.execute("SELECT value FROM record").get
            connection.close(True)
        except apsw.Error as error:
            self.disk.files.clear()
            self.acknowledged = 0
            return f"the database is broken: {error}"
        acknowledged, self.acknowledged = self.acknowledged, last
        if whole != "ok":
            return f"integrity: {whole}"
        if last < acknowledged:
            return f"{acknowledged - last} acknowledged entries are lost"
        if count != last or (last and int.from_bytes(record, "big") != last):
            return "a batch is there by halves"
        return None


def _make_schema(connection: apsw.Connection) -> None:
    dialect = sqlite.dialect()
    if connection.execute("SELECT count(*) FROM sqlite_schema").get:
        return
    connection.execute("BEGIN IMMEDIATE")
    for table in METADATA.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in table.indexes:
            connection.execute(str(CreateIndex(index).compile(dialect=dialect)))
    connection.execute("COMMIT")


def _read_last(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM journal").get)


@pytest.fixture(autouse=True)
def _quiet_close() -> Iterator[None]:
    # SQLite writes once more when a connection is closed without power, and apsw can only report that aside.
    import sys

    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    yield
    sys.unraisablehook = before


def count_losses(machine: Machine, cuts: int) -> list[str]:
    losses = []
    for _ in range(cuts):
        machine.write_until_cut()
        loss = machine.find_loss()
        if loss is not None:
            losses.append(loss)
    machine.vfs.unregister()
    return losses


def test_no_acknowledged_entry_is_lost_in_a_power_cut() -> None:
    machine = Machine(None, seed=1)
    assert count_losses(machine, CUTS) == []
    assert machine.rows > CUTS, "hardly anything was written"


def test_the_same_cuts_lose_entries_when_commits_are_not_synced() -> None:
    losses = count_losses(Machine("NORMAL", seed=1), 200)
    assert any("acknowledged entries are lost" in loss for loss in losses)
