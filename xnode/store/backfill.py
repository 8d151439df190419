"""Backfill: what a store of an older version has no columns and no sums for, made once from its records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, insert, select, update

from metering.codec import encode
from metering.units import Address, Amount, Hash32
from xnode.node.experience import next_dealings
from xnode.node.provider.earned import DAY_NS
from xnode.node.records import ProviderEscrow, ProviderLease, Record, SubmitterJob, SubmitterLease
from xnode.node.state import kind_of
from xnode.node.sums import Dealings, EarnedDay
from xnode.store.record_reader import decode_record, make_columns
from xnode.store.schema import RECORD

R = TypeVar("R", bound=Record)

_AT_ONCE = 500
"""Records in memory together."""


def fill_columns(connection: Connection) -> None:
    """The columns of every job and lease."""
    here = RECORD.c.kind == bindparam("of_kind"), RECORD.c.key == bindparam("of_key")
    fill = update(RECORD).where(*here).values({name: bindparam(name) for name in ("at_ns", "status", "about")})
    kinds: tuple[type[Record], ...] = (SubmitterJob, SubmitterLease, ProviderLease)
    for record_type in kinds:
        kind = kind_of(record_type)
        for records in _read_all(connection, record_type):
            rows = [{"of_kind": kind, "of_key": key, **make_columns(record)} for key, record, _ in records]
            connection.execute(fill, rows)


def fill_sums(connection: Connection) -> None:
    """What was earned day by day, and what leases that are put away say of their nodes."""
    days = make_days(_list(connection, ProviderLease), _list(connection, ProviderEscrow))
    # In order of what was heard last: reputations fade from then on.
    past = (one for one, is_live in _list_marked(connection, SubmitterLease) if not is_live)
    dealings: dict[Address, Dealings] = {}
    images: dict[Hash32, str] = {}
    for job in _list(connection, SubmitterJob):
        images[job.job_hash] = job.job.image.digest
    for lease in sorted(past, key=lambda one: one.heard_at_ns):
        known = dealings.get(lease.terms.node) or Dealings(lease.terms.node)
        dealings[lease.terms.node] = next_dealings(known, replace(lease, image=images.get(lease.job_hash, "")))
    found: list[Record] = [*days, *dealings.values()]
    rows = [{"kind": kind_of(type(one)), "key": one.key, "is_live": True, "value": encode(one)} for one in found]
    if rows:
        connection.execute(insert(RECORD), rows)


def make_days(leases: Iterable[ProviderLease], escrows: Iterable[ProviderEscrow]) -> list[EarnedDay]:
    """The days of a provider's past. A lease counts on the day of its last receipt, an escrow's claims on that of the last
    lease that it paid: when each claim was is not noted in such a store."""
    days: dict[tuple[int, Address], EarnedDay] = {}
    last: dict[Hash32, int] = defaultdict(int)

    def add(at_ns: int, asset: Address, earned: int, claimed: int, leases: int, settled: int) -> None:
        place = at_ns // DAY_NS, asset
        day = days.get(place) or EarnedDay(*place)
        days[place] = replace(
            day,
            earned=Amount(day.earned + earned),
            claimed=Amount(day.claimed + claimed),
            leases=day.leases + leases,
            settled=day.settled + settled,
        )

    for lease in leases:
        if lease.status not in ("requested", "refused"):
            add(lease.last.at_ns, lease.terms.asset, lease.last.cost, 0, 1, lease.status == "settled")
            last[lease.terms.escrow_id] = max(last[lease.terms.escrow_id], lease.last.at_ns)
    for escrow in escrows:
        add(last[escrow.escrow_id], escrow.escrow.asset, 0, escrow.claimed, 0, 0)
    return [days[place] for place in sorted(days)]


def _list(connection: Connection, record_type: type[R]) -> Iterator[R]:
    return (record for record, _ in _list_marked(connection, record_type))


def _list_marked(connection: Connection, record_type: type[R]) -> Iterator[tuple[R, bool]]:
    for records in _read_all(connection, record_type):
        yield from ((record, is_live) for _, record, is_live in records)


def _read_all(connection: Connection, record_type: type[R]) -> Iterator[list[tuple[bytes, R, bool]]]:
    last = b""
    while True:
        columns = RECORD.c.key, RECORD.c.value, RECORD.c.is_live
        query = select(*columns).where(RECORD.c.kind == kind_of(record_type), RECORD.c.key > last)
        rows = connection.execute(query.order_by(RECORD.c.key).limit(_AT_ONCE)).all()
        if not rows:
            return
        yield [(bytes(row.key), cast("R", decode_record(row.value)), row.is_live) for row in rows]
        last = bytes(rows[-1].key)
