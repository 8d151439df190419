"""Columns to find jobs and leases by without reading them all, and the sums of what was earned and served so far."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from xnode.store.backfill import fill_columns, fill_sums

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and indexes, and fill them from what is there."""
    for column in (
        sa.Column("at_ns", sa.BigInteger),
        sa.Column("status", sa.String(20)),
        sa.Column("about", sa.LargeBinary(32)),
    ):
        op.add_column("record", column)
    fill_columns(op.get_bind())
    op.create_index(
        "record_live", "record", ["kind"],
        sqlite_where=sa.text("is_live IS 1"), postgresql_where=sa.text("is_live IS true"),
    )  # fmt: skip
    op.create_index("record_at", "record", ["kind", "at_ns", "key", "status"])
    op.create_index("record_about", "record", ["about"])
    fill_sums(op.get_bind())


def downgrade() -> None:
    """Older versions would write rows without the columns."""
    raise NotImplementedError("restore a backup instead")
