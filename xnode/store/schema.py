"""Schema: the tables of the store. Values are canonical bytes; columns beside them are only for finding rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table

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
