"""State: every live record, immutable; and Turn, one step's own draft of the next state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec
from immutables import Map

from metering.refusal import Refusal
from xnode.node import effects
from xnode.node.records import NodeSettings, Numbers, Record, StandingOffer

R = TypeVar("R", bound=Record)

Table = Map[bytes, Any]


def kind_of(record_type: type[Any]) -> str:
    """The name a record type has in the store."""
    kind = _KINDS.get(record_type)
    if kind is None:
        kind = _KINDS[record_type] = str(record_type.__struct_config__.tag)
    return kind


_KINDS: dict[type[Any], str] = {}
"""Those that were asked for: it is asked some twenty times for each receipt."""


class State:
    """The live records by kind and key. Treat as a value: `put` and `drop` give a new one."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Map[str, Table] | None = None) -> None:
        self._tables: Map[str, Table] = tables if tables is not None else Map()

    def get(self, record_type: type[R], key: bytes) -> R | None:
        """The record of this kind and key, or None."""
        table = self._tables.get(kind_of(record_type))
        found: R | None = table.get(key) if table is not None else None
        return found

    def get_of_kind(self, kind: str, key: bytes) -> Record | None:
        """The record of this key whose type has this name in the store, or None."""
        table = self._tables.get(kind)
        return table.get(key) if table is not None else None

    def all(self, record_type: type[R]) -> Iterator[R]:
        """Every record of this kind, in no order."""
        table = self._tables.get(kind_of(record_type))
        return iter(table.values() if table is not None else ())

    def count(self, record_type: type[Any]) -> int:
        """How many records of this kind there are."""
        table = self._tables.get(kind_of(record_type))
        return len(table) if table is not None else 0

    def put(self, record: Record) -> State:
        """The state with this record in place of the one of its key."""
        kind = kind_of(type(record))
        table = self._tables.get(kind, Map())
        return State(self._tables.set(kind, table.set(record.key, record)))

    def drop(self, record: Record) -> State:
        """The state without the record of this key."""
        kind = kind_of(type(record))
        table = self._tables.get(kind, Map())
        return State(self._tables.set(kind, table.delete(record.key))) if record.key in table else self

    @property
    def settings(self) -> NodeSettings:
        return self.get(NodeSettings, b"") or NodeSettings()

    @property
    def numbers(self) -> Numbers:
        return self.get(Numbers, b"") or Numbers()

    @property
    def standing_offer(self) -> StandingOffer:
        return self.get(StandingOffer, b"") or StandingOffer()

    def records(self) -> Iterator[Record]:
        """Every live record."""
        for table in self._tables.values():
            yield from table.values()


def make_state(records: Iterable[Record]) -> State:
    """The state of these records, as loaded from the store."""
    state = State()
    for record in records:
        state = state.put(record)
    return state


class Turn:
    """What one step works on: the time, the entropy, the state before and so far, and the effects so far in their order of
    safety."""

    __slots__ = ("at_ns", "before", "dropped", "effects", "entropy", "state", "touched")

    def __init__(self, state: State, at_ns: int, entropy: bytes) -> None:
        self.before = self.state = state
        self.at_ns = at_ns
        self.entropy = entropy
        self.effects: list[effects.Effect] = []
        self.touched: dict[tuple[str, bytes], Record] = {}
        self.dropped: dict[tuple[str, bytes], Record] = {}

    def get(self, record_type: type[R], key: bytes) -> R | None:
        return self.state.get(record_type, key)

    def put(self, record: R, **changes: Any) -> R:
        """Remember the record, with these fields changed; gives it back."""
        if changes:
            record = msgspec.structs.replace(record, **changes)
        self.state = self.state.put(record)
        key = (kind_of(type(record)), record.key)
        self.touched[key] = record
        self.dropped.pop(key, None)
        return record

    def archive(self, record: R, **changes: Any) -> None:
        """Put the record away: kept in the store for reading, no longer in the state."""
        record = self.put(record, **changes)
        self.state = self.state.drop(record)
        self.dropped[kind_of(type(record)), record.key] = record

    def emit(self, effect: effects.Effect) -> None:
        self.effects.append(effect)

    def slot(
        self, name: str, key: bytes, *, lane: str = "", wait_ns: int = 0, until_ns: int = 0, number: int = 0
    ) -> effects.Slot:
        """Id, lane and deadline of an effect: one of this name for a lease, escrow or job at a time.

        lane: its own when empty; wait_ns: how long it may take, or until_ns: until when (both 0: forever); number: when
        one that has failed must not stand in the way of the next.
        """
        slot_id = effects.slot_id_of(name, key) + (f":{number}" if number else "")
        return effects.Slot(slot_id, lane or slot_id, until_ns or (self.at_ns + wait_ns if wait_ns else 0))

    def refuse(self, reply_to: str, code: str, detail: str) -> None:
        """Answer with a refusal: a code and one line for people."""
        self.emit(effects.ReplyRefusal(reply_to, Refusal(code, detail)))
