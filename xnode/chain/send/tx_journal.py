"""TxJournal: what became of every transaction intent, on disk before anything is broadcast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
import trio
from sqlalchemy.exc import SQLAlchemyError

from metering.codec import decode, encode
from metering.units import Address, Hash32
from xnode.errors import Retryable
from xnode.ports.chain import Sent

T = TypeVar("T")


class TxCall(msgspec.Struct, frozen=True):
    """What a transaction does. to: None makes a contract; value in wei; gas_floor: the least gas limit it gets, for
    calls that may do more when mined than when estimated; is_estimated: False for one that only the next block allows, which
    takes gas_floor.

    most_wei: what its gas may cost at most, 0 for what the pace allows; is_optional: it may lose its sense on
    the way, so that who asked for it is asked again before each sending (Transactor.send).
    """

    to: Address | None
    data: bytes
    value: int = 0
    gas_floor: int = 0
    is_estimated: bool = True
    most_wei: int = 0
    is_optional: bool = False

    def __post_init__(self) -> None:
        # An Amount is written in another form than the int that is read back: it would be sent, and never found again.
        for name in ("value", "gas_floor", "most_wei"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} of a transaction is a whole number, not {number!r}")
            if type(number) is not int:
                msgspec.structs.force_setattr(self, name, int(number))


class Attempt(msgspec.Struct, frozen=True):
    """One signed spelling of an intent. Attempts of one nonce exclude each other; fees in wei per gas; is_cancel: it does
    nothing, in the place of what is not wanted any more."""

    nonce: int
    max_fee: int
    max_priority_fee: int
    tx_hash: Hash32
    raw: bytes
    is_cancel: bool = False


class TxRecord(msgspec.Struct, frozen=True):
    """An intent with all its attempts, the last one current; sent: set once it is final."""

    intent: str
    call: TxCall
    gas: int
    attempts: tuple[Attempt, ...]
    sent: Sent | None = None

    @property
    def nonce(self) -> int:
        """The nonce it holds now."""
        return self.attempts[-1].nonce


class TxJournal(Protocol):
    """The transactor's memory, of one address on one chain. Durable when a method returns."""

    async def load(self, intent: str) -> TxRecord | None: ...

    async def load_pending(self) -> tuple[TxRecord, ...]:
        """Every intent without an end, lowest nonce first."""
        ...

    async def load_from_nonce(self, nonce: int, limit: int) -> tuple[TxRecord, ...]:
        """At most `limit` records, ended or not, that hold this nonce or a higher one, lowest first."""
        ...

    async def next_nonce(self) -> int:
        """The first nonce above all recorded ones."""
        ...

    async def save(self, record: TxRecord) -> None:
        """Insert, or replace the record of the same intent."""
        ...

    async def mark_confirmed(self, intent: str, sent: Sent) -> None:
        """The intent has ended."""
        ...


metadata = sa.MetaData()

chain_tx = sa.Table(
    "chain_tx",
    metadata,
    sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sender", sa.LargeBinary(20), primary_key=True),
    sa.Column("intent", sa.String(200), primary_key=True),
    sa.Column("nonce", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
    # Two intents on one nonce would be one lost transaction: let the database refuse it.
    sa.UniqueConstraint("chain_id", "sender", "nonce"),
)


class SqlTxJournal:
    """A TxJournal in table chain_tx. The engine must commit durably (SQLite: WAL with synchronous=FULL)."""

    def __init__(self, engine: sa.Engine, chain_id: int, sender: Address) -> None:
        self._engine, self._chain_id, self._sender = engine, chain_id, sender
        self._ours = sa.and_(chain_tx.c.chain_id == chain_id, chain_tx.c.sender == sender)

    async def load(self, intent: str) -> TxRecord | None:
        found = await self._select(sa.select(chain_tx.c.record).where(self._ours, chain_tx.c.intent == intent))
        return found[0] if found else None

    async def load_pending(self) -> tuple[TxRecord, ...]:
        pending = sa.select(chain_tx.c.record).where(self._ours, chain_tx.c.confirmed.is_(False))
        return await self._select(pending.order_by(chain_tx.c.nonce))

    def has_pending(self) -> bool:
        """Whether any intent is without an end. Blocking."""
        with self._engine.connect() as connection:
            found = sa.select(chain_tx.c.nonce).where(self._ours, chain_tx.c.confirmed.is_(False)).limit(1)
            return connection.scalar(found) is not None

    async def load_from_nonce(self, nonce: int, limit: int) -> tuple[TxRecord, ...]:
        above = sa.select(chain_tx.c.record).where(self._ours, chain_tx.c.nonce >= nonce)
        return await self._select(above.order_by(chain_tx.c.nonce).limit(limit))

    async def next_nonce(self) -> int:
        def work() -> int:
            with self._engine.connect() as connection:
                highest = connection.scalar(sa.select(sa.func.max(chain_tx.c.nonce)).where(self._ours))
            return 0 if highest is None else int(highest) + 1

        return await _in_thread(work)

    async def save(self, record: TxRecord) -> None:
        changed = {"nonce": record.nonce, "confirmed": record.sent is not None, "record": encode(record)}

        def work() -> None:
            # Write first, so that SQLite takes its write lock at once instead of failing to upgrade a read.
            with self._engine.begin() as connection:
                same = sa.and_(self._ours, chain_tx.c.intent == record.intent)
                if connection.execute(sa.update(chain_tx).where(same).values(**changed)).rowcount:
                    return
                keys = {"intent": record.intent, "chain_id": self._chain_id, "sender": self._sender}
                connection.execute(sa.insert(chain_tx).values(**keys, **changed))

        await _in_thread(work)

    async def mark_confirmed(self, intent: str, sent: Sent) -> None:
        record = await self.load(intent)
        assert record is not None, "only saved intents are confirmed"
        await self.save(msgspec.structs.replace(record, sent=sent))

    async def _select(self, query: sa.Select[Any]) -> tuple[TxRecord, ...]:
        def work() -> tuple[TxRecord, ...]:
            with self._engine.connect() as connection:
                return tuple(decode(row[0], TxRecord) for row in connection.execute(query))

        return await _in_thread(work)


async def _in_thread(work: Callable[[], T]) -> T:
    # Never abandoned on cancellation: a write that may or may not happen later is worse than a short wait.
    try:
        return await trio.to_thread.run_sync(work)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise Retryable(f"the database would not keep chain_tx: {reason}", hint="check its disk") from error


def make_table(engine: sa.Engine) -> None:
    """Makes chain_tx where it is not there yet. Blocking."""
    metadata.create_all(engine)


async def read_senders(engine: sa.Engine) -> tuple[Address, ...]:
    """Whose transactions a journal's file holds, on any chain."""

    def work() -> tuple[Address, ...]:
        with engine.connect() as connection:
            return tuple(Address(row[0]) for row in connection.execute(sa.select(chain_tx.c.sender).distinct()))

    return await _in_thread(work)


async def read_chains(engine: sa.Engine) -> tuple[int, ...]:
    """For which chains a journal's file holds transactions, of any sender."""

    def work() -> tuple[int, ...]:
        with engine.connect() as connection:
            return tuple(int(row[0]) for row in connection.execute(sa.select(chain_tx.c.chain_id).distinct()))

    return await _in_thread(work)


def make_engine(path: Path) -> sa.Engine:
    """An engine on a SQLite file of its own, for command-line tools that have no daemon's store. Makes the table."""
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def make_durable(connection: object, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

    make_table(engine)
    return engine
