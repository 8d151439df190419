"""Schema: the tables of the store. Values are canonical bytes; columns beside them are only for finding rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, text

METADATA = MetaData()

# SQLite numbers rows automatically only for a primary key of exactly the type INTEGER.
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

JOURNAL = Table(
    "journal",
    METADATA,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", LargeBinary(32), nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Index("journal_subject", "subject", "kind"),
)

RECORD = Table(
    "record",
    METADATA,
    Column("kind", String(40), primary_key=True),
    Column("key", LargeBinary(64), primary_key=True),
    Column("is_live", Boolean, nullable=False),
    Column("value", LargeBinary, nullable=False),
    # Of jobs and leases: since when there is one, how it is, and of a lease the escrow that pays it.
    Column("at_ns", BigInteger),
    Column("status", String(20)),
    Column("about", LargeBinary(32)),
    # What has ended is many times what is live: a start reads past none of it. On PostgreSQL too it holds what is live alone, as
    # its migration says; said here as well, every start would load PostgreSQL's types.
    Index("record_live", "kind", sqlite_where=text("is_live IS 1")),
    # With the key: a page far down skips entries of this index and reads no record that it does not give.
    Index("record_at", "kind", "at_ns", "key", "status"),
    Index("record_about", "about"),
)

EFFECT = Table(
    "effect",
    METADATA,
    Column("id", String(200), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

PROMISE = Table(
    "promise",
    METADATA,
    Column("kind", String(40), primary_key=True),
    Column("subject", LargeBinary(64), primary_key=True),
    # keccak-256 of the value: what an operator compares when two nodes of one key are suspected.
    Column("digest", LargeBinary(32), nullable=False),
    Column("value", LargeBinary, nullable=False),
)
