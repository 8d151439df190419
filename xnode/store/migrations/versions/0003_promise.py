"""What was said once and for all: capacity answers and verdicts, by subject."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of xnode.store.promises."""
    op.create_table(
        "promise",
        sa.Column("kind", sa.String(40), primary_key=True),
        sa.Column("subject", sa.LargeBinary(64), primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Going back would forget what was promised."""
    raise NotImplementedError("restore a backup instead")
