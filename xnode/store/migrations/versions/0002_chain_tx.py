"""The chain transactions this node has sent, by intent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of xnode.chain.tx_journal."""
    op.create_table(
        "chain_tx",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sender", sa.LargeBinary(20), primary_key=True),
        sa.Column("intent", sa.String(200), primary_key=True),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("chain_id", "sender", "nonce"),
    )


def downgrade() -> None:
    """Going back would forget which transactions were sent."""
    raise NotImplementedError("restore a backup instead")
