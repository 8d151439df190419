"""Database: an engine for SQLite (WAL, FULL) or PostgreSQL, brought to the newest schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from xnode.errors import Permanent

_BUSY_TIMEOUT_MS = 10_000
_CHECKPOINT_PAGES = 4_000
"""16 MB: with the default of 1,000 a busy node copies the same few pages back every second batch."""

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str) -> Engine:
    """The engine, its schema migrated. Raises Permanent with what to mend. Blocking: call it in a thread."""
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", set_pragmas)
            event.listen(engine, "begin", _begin_immediate)
        migrate(engine)
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        shown = create_url_for_people(url)
        raise Permanent(f"database {shown}: {reason}; check node.database_url and the folder's rights") from error
    return engine


def create_url_for_people(url: str) -> str:
    """The URL without its password."""
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction. Raises Permanent when it is of a newer xnode."""
    if _read_revision(engine) == _find_newest():
        return
    # Only here, because it takes 8 MB that a daemon would keep for ever.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise Permanent(
            f"the database's schema cannot be brought up to date: {error}; is it of a newer xnode?"
        ) from error


def migrate_apart(url: str) -> None:
    """Migrate in a forked child, so that what this takes goes away with it. What fails there fails again, and is told,
    in open_database. Call it before there are any threads."""
    child = os.fork()
    if child == 0:
        try:
            open_database(url)
        finally:
            # Whatever happened: the child must never go on as if it were the node.
            os._exit(0)
    os.waitpid(child, 0)


def _read_revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision


def _find_newest() -> str:
    """Versions are numbered in the order in which they follow each other."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def set_pragmas(connection: Any, _record: Any) -> None:
    """Make a fresh SQLite connection durable: whatever it has committed survives a power cut."""
    # The driver's own transaction handling would begin deferred ones, which fail "locked" when they come to write.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # NORMAL survives kill -9 but loses acknowledged rows in a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
