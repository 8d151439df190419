"""Disk: what one node has made durable, as canonical bytes; it survives the node."""

from __future__ import annotations

from typing import Any, TypeVar

from metering.codec import decode, encode
from xnode.errors import Retryable
from xnode.node.changes import Entry
from xnode.node.effects import DurableEffect
from xnode.node.records import Record
from xnode.node.state import State, kind_of
from xnode.node.step import step
from xnode.store.journal import Batch, Loaded

R = TypeVar("R", bound=Record)


class Disk:
    """Same rules as xnode.store.journal: done marks first, then entries, records and effects, all or nothing."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self.records: dict[tuple[str, bytes], tuple[bytes, bool]] = {}
        self.effects: dict[str, tuple[int, bytes]] = {}
        self.is_full = False

    def commit(self, batch: Batch) -> None:
        """Durable when this returns. Raises Retryable when the disk is full: nothing was written."""
        if self.is_full:
            raise Retryable("database: disk is full")
        entries = [(seq, encode_checked(entry, Entry)) for seq, entry in batch.entries]
        records = {key: (encode_checked(record, Record), is_live) for key, (record, is_live) in batch.records.items()}
        effects = {
            key: (version, encode_checked(effect, DurableEffect)) for key, (version, effect) in batch.effects.items()
        }
        for effect_id, version in batch.done:
            if self.effects.get(effect_id, (None, b""))[0] == version:
                del self.effects[effect_id]
        self.entries += entries
        self.records |= records
        self.effects |= effects

    def load(self) -> Loaded:
        """What a node finds when it starts."""
        effects = sorted((version, value) for version, value in self.effects.values())
        return Loaded(
            self.entries[-1][0] if self.entries else 0,
            tuple(decode(value, Record) for value, is_live in self.records.values() if is_live),  # type: ignore[arg-type]
            tuple((version, decode(value, DurableEffect)) for version, value in effects),  # type: ignore[arg-type]
            decode(self.entries[-1][1], Entry).at_ns if self.entries else 0,
        )

    async def read_record(self, record_type: type[R], key: bytes) -> R | None:
        """As xnode.ports.store.Records."""
        return self.find(record_type, key)

    def find(self, record_type: type[R], key: bytes) -> R | None:
        """The record of this kind and key, also when it has left the state."""
        value, _ = self.records.get((kind_of(record_type), key), (None, False))
        return decode(value, Record) if value is not None else None  # type: ignore[arg-type]

    def make_backup(self) -> Disk:
        """What is on it now, on another disk."""
        backup = Disk()
        backup.entries, backup.records, backup.effects = list(self.entries), dict(self.records), dict(self.effects)
        return backup

    def check_replay(self) -> None:
        """The journal, stepped through from the start, gives exactly the records that are stored."""
        state = State()
        archived: dict[tuple[str, bytes], Record] = {}
        for _, data in self.entries:
            turn = step(state, decode(data, Entry))
            state = turn.state
            archived |= turn.dropped
        live: dict[tuple[str, bytes], Record] = {}
        for key, (value, is_live) in self.records.items():
            if is_live:
                live[key] = decode(value, Record)  # type: ignore[arg-type]
        assert {(kind_of(type(one)), one.key): one for one in state.records()} == live, (
            "the journal tells another story"
        )
        dead = {key for key, (_, is_live) in self.records.items() if not is_live}
        assert dead <= archived.keys()


def encode_checked(value: Any, kind: Any) -> bytes:
    """The bytes; a value that does not come back the same would be another one after a restart."""
    data = encode(value)
    back = decode(data, kind)
    assert back == value, f"{type(value).__name__} is another value after a restart: {value} {back}"
    return data
