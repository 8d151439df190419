"""RecordBook: the node records we know, the newest of each node; bounded, and asked by others over rpc."""

from __future__ import annotations

from collections.abc import Iterator

from metering.refusal import Refusal
from metering.units import Address, Hash32
from xnode.net.records import NodeRecord, read_record
from xnode.net.standing import Standing, StandingOf, take_for_stranger

MAX_RECORDS = 2000
"""At 16 KiB each 32 MiB. The one that came longest ago goes first, those of strangers before any other."""


class RecordBook:
    """Valid records only. Pure: the time comes in."""

    def __init__(self, separator: Hash32, standing_of: StandingOf = take_for_stranger) -> None:
        self._separator, self._standing_of = separator, standing_of
        self._records: dict[Address, tuple[NodeRecord, bytes]] = {}

    def add(self, node: Address, data: bytes, now_ns: int) -> Refusal | None:
        """Take a record in, unless it is refused or older than the one we have."""
        record = read_record(data, node, self._separator, now_ns)
        if isinstance(record, Refusal):
            return record
        known = self._records.pop(node, None)
        if known is not None and known[0].number > record.number:
            self._records[node] = known
            return Refusal("record_old", f"record {record.number} is older than {known[0].number}")
        self._records[node] = (record, data)
        if len(self._records) > MAX_RECORDS:
            strangers = (each for each in self._records if self._standing_of(each) is Standing.STRANGER)
            del self._records[next(strangers, next(iter(self._records)))]
        return None

    def find(self, node: Address, now_ns: int) -> tuple[NodeRecord, bytes] | None:
        """The newest record that has not expired."""
        known = self._records.get(node)
        return known if known is not None and known[0].expires_at_ns > now_ns else None

    def rank(self, now_ns: int) -> list[NodeRecord]:
        """Every record that has not expired, the best last: of nodes that the chain knows, and of those the newest."""
        return sorted(self.walk(now_ns), key=lambda record: self._standing_of(record.node) is not Standing.STRANGER)

    def walk(self, now_ns: int) -> Iterator[NodeRecord]:
        """Every record that has not expired."""
        return (record for record, _ in list(self._records.values()) if record.expires_at_ns > now_ns)
