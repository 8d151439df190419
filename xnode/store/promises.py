"""Promises: a table whose rows are written once. What contradicts an earlier row is refused, and so never signed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import trio
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from metering.eip712 import keccak
from xnode.errors import Permanent, Retryable
from xnode.store.schema import PROMISE

MAX_LISTED = 10_000
"""Values of one kind read at once: documents against others are few, or something else is wrong."""

T = TypeVar("T")


class SqlPromises:
    """ports.Promises in table promise. The engine must commit durably (SQLite: WAL with synchronous=FULL)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect: Any = import_module(f"sqlalchemy.dialects.{engine.dialect.name}")

    async def keep(self, kind: str, subject: bytes, value: bytes) -> bytes:
        return await _in_thread(lambda: self._keep(kind, subject, value))

    async def promise(self, kind: str, subject: bytes, value: bytes) -> None:
        kept = await self.keep(kind, subject, value)
        if kept != value:
            raise Permanent(
                f"another {kind} than {keccak(value).hex()[:16]} was promised for {subject.hex()[:16]}: not signed",
                code="promised",
            )

    async def find(self, kind: str, subject: bytes) -> bytes | None:
        return await _in_thread(lambda: self._find(kind, subject))

    async def list_values(self, kind: str) -> tuple[bytes, ...]:
        return await _in_thread(lambda: self._list(kind))

    def _list(self, kind: str) -> tuple[bytes, ...]:
        query = select(PROMISE.c.value).where(PROMISE.c.kind == kind).order_by(PROMISE.c.subject).limit(MAX_LISTED)
        with self._engine.connect() as connection:
            return tuple(row.value for row in connection.execute(query))

    def _keep(self, kind: str, subject: bytes, value: bytes) -> bytes:
        row = {"kind": kind, "subject": subject, "digest": keccak(value), "value": value}
        with self._engine.begin() as connection:
            # Write first: the first row wins, whatever else is written at the same time.
            connection.execute(self._dialect.insert(PROMISE).values(**row).on_conflict_do_nothing())
            kept: bytes = connection.execute(_select(kind, subject)).scalar_one()
        return kept

    def _find(self, kind: str, subject: bytes) -> bytes | None:
        with self._engine.connect() as connection:
            found: bytes | None = connection.execute(_select(kind, subject)).scalar_one_or_none()
        return found


async def _in_thread(work: Callable[[], T]) -> T:
    # Never abandoned on cancellation: a promise that may or may not be kept later is none.
    try:
        return await trio.to_thread.run_sync(work)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise Retryable(f"the database would not keep a promise: {reason}", hint="check its disk") from error


def _select(kind: str, subject: bytes) -> Any:
    return select(PROMISE.c.value).where(PROMISE.c.kind == kind, PROMISE.c.subject == subject)
