"""Store disk: a simulated node's disk that is the product's own store, in a file."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, event

from tests.sim.disk import Disk, R
from xnode.store.database import open_database, set_pragmas
from xnode.store.journal import Batch, Journal, Loaded

T = TypeVar("T")


def open_fast(folder: Path) -> Engine:
    """The database of a folder. A simulation loses no power: nothing is waited for until it is on the platter."""
    database = open_database(f"sqlite:///{folder}/node.db")
    event.listen(database, "connect", _forget_the_platter)
    database.dispose()
    return database


def _forget_the_platter(connection: Any, record: Any) -> None:
    set_pragmas(connection, record)
    connection.execute("PRAGMA synchronous=OFF")


class StoreDisk(Disk):
    """tests.sim.disk.Disk over xnode.store."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True)
        self.folder = folder
        self.journal = Journal(open_fast(folder))

    def commit(self, batch: Batch) -> None:
        """As the loop's own, in its thread."""
        self.journal.commit_now(batch)

    def load(self) -> Loaded:
        """What a node finds when it starts."""
        return self.journal.load_now()

    def find(self, record_type: type[R], key: bytes) -> R | None:
        """The record of this kind and key, also when it has left the state."""
        return self.journal.find(record_type, key)

    def make_backup(self) -> Disk:
        """Nobody asks for one in a long run."""
        raise NotImplementedError


def finish(coro: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that never waits for anything but a thread."""
    import trio

    async def wait() -> T:
        return await coro

    return trio.run(wait)
