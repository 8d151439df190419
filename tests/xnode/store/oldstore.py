"""Old store: a store taken back to what versions before 0.4 had: no columns to find records by, and no sums."""

from __future__ import annotations

from sqlalchemy import Engine, text

_BACK = (
    "DROP INDEX record_live",
    "DROP INDEX record_at",
    "DROP INDEX record_about",
    "ALTER TABLE record DROP COLUMN at_ns",
    "ALTER TABLE record DROP COLUMN status",
    "ALTER TABLE record DROP COLUMN about",
    "DELETE FROM record WHERE kind IN ('earned_day', 'dealings')",
    "UPDATE alembic_version SET version_num = '0003'",
)


def take_back(database: Engine) -> None:
    """Undo migration 0004."""
    with database.begin() as connection:
        for statement in _BACK:
            connection.execute(text(statement))
