"""Database: an engine for SQLite (WAL, FULL) or PostgreSQL, brought to the newest schema."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from xnode.errors import Permanent, Retryable
from xnode.extras import require_module

_BUSY_TIMEOUT_MS = 10_000
_CHECKPOINT_PAGES = 4_000
"""16 MB: with the default of 1,000 a busy node copies the same few pages back every second batch."""

_LOG_BYTES = 64 << 20
"""What the log beside the database shrinks to once its pages are copied back."""

_POSTGRES_WAITS = {"connect_timeout": "10", "tcp_user_timeout": "20000"}
"""In libpq's terms: seconds for a connection, milliseconds for what was sent on one; by default both wait forever."""

_REWRITE_BYTES = 256 << 20
"""A larger database is not rewritten at the start: leases wait for it."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class Guard:
    """Turns the database's errors into Retryable: who waits tries again; nothing is acknowledged meanwhile."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, SQLAlchemyError):
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise Retryable(f"database: {reason}") from error


def open_database(url: str) -> Engine:
    """The engine, its schema migrated. Raises Permanent with what to fix. Blocking: call it in a thread."""
    try:
        engine = make_engine(url)
        migrate(engine)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        place = (
            "the folder's rights and free space"
            if url.startswith("sqlite")
            else "that the server runs and knows user and database"
        )
        raise Permanent(
            f"database {create_url_for_people(url)}: {reason}", hint=f"check node.database_url and {place}"
        ) from error
    return engine


def open_untouched(url: str) -> Engine | None:
    """The engine of a store that is there, of any version, as it is; None where none is. What is wrong with it is reported
    by open_database. Blocking."""
    place = find_file(url)
    if place is not None and not place.exists():
        # To look is to make one, for SQLite.
        return None
    try:
        engine = make_engine(url)
        with engine.connect() as connection:
            found = inspect(connection).has_table("record")
    except (SQLAlchemyError, ImportError, ValueError, Permanent):
        return None
    if not found:
        engine.dispose()
    return engine if found else None


def find_file(url: str) -> Path | None:
    """Where a SQLite store is; None for another database."""
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix)) if url.startswith(prefix) else None


def make_engine(url: str) -> Engine:
    """The engine of a store, whose schema is left as it is."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        engine = create_engine(parsed)
        event.listen(engine, "connect", set_pragmas)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if parsed.get_driver_name() == "psycopg":
        require_module("psycopg", f"database {create_url_for_people(url)}")
    waits = {name: value for name, value in _POSTGRES_WAITS.items() if name not in parsed.query}
    engine = create_engine(parsed, pool_pre_ping=True, connect_args=waits)
    event.listen(engine, "connect", make_durable)
    return engine


def create_url_for_people(url: str) -> str:
    """The URL without its password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Whatever it is, there may be a password in it.
        return "named in the settings"
    hidden = {name: "***" if "pass" in name else value for name, value in parsed.query.items()}
    return parsed.set(query=hidden).render_as_string(hide_password=True)


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction. Raises Permanent when it is of a newer xnode."""
    revision, newest = read_revision(engine), find_newest()
    if revision == newest:
        return
    if revision is not None and revision > newest:
        raise make_too_new(revision, newest)
    # Only here, because it takes 8 MB that a daemon would keep forever.
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
            f"the database's schema cannot be brought up to date: {error}",
            hint="if a newer xnode has used it, run that version",
        ) from error


def make_too_new(revision: str, newest: str) -> Permanent:
    """The refusal of a store that a newer version has used, which nothing has touched yet."""
    return Permanent(
        f"a newer xnode has used the database: its schema is {revision[:40]}, and this version knows {newest} at most",
        hint="run that version, or restore the backup from before the upgrade",
    )


def make_shrinkable(engine: Engine) -> None:
    """Rewrite a SQLite file of an older version once, so that it can give pages back; not when it is large, or the disk has no
    room for a copy: then it only stops growing. Blocking."""
    place = engine.url.database
    if engine.dialect.name != "sqlite" or not place or not Path(place).exists():
        return
    size = Path(place).stat().st_size
    if size > _REWRITE_BYTES or shutil.disk_usage(Path(place).parent).free < 3 * size:
        return
    with engine.connect() as connection:
        raw = connection.connection.cursor()
        if raw.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
            raw.execute("PRAGMA auto_vacuum=INCREMENTAL")
            raw.execute("VACUUM")


def migrate_apart(url: str) -> None:
    """Migrate in a forked child, so that what this takes goes away with it. What fails there fails again, and is reported,
    in open_database. Call it before there are any threads."""
    child = os.fork()
    if child == 0:
        try:
            make_shrinkable(open_database(url))
        finally:
            # Whatever happened: the child must never go on as if it were the node.
            os._exit(0)
    os.waitpid(child, 0)


def read_revision(engine: Engine) -> str | None:
    """The revision of its schema, None where it has none. Blocking."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision


def find_newest() -> str:
    """The revision that this version brings a store to. Versions are numbered in the order in which they follow each other."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def set_pragmas(connection: Any, _record: Any) -> None:
    """Make a fresh SQLite connection durable: whatever it has committed survives a power cut."""
    # The driver's own transaction handling would begin deferred ones, which fail "locked" when they come to write.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Before the file has its first page: deleted rows' pages can be given back to the disk (xnode.store.pruning).
    cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    cursor.execute("PRAGMA journal_mode=WAL")
    # NORMAL survives kill -9 but loses acknowledged rows in a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
    cursor.close()


def make_durable(connection: Any, _record: Any) -> None:
    """Make a fresh PostgreSQL connection durable, whatever the server's own default is.

    Raises Permanent when the whole server runs without fsync: then no setting of ours makes a commit last.
    """
    with connection.cursor() as cursor:
        # "off" answers before the log is on the disk, as SQLite's NORMAL does: a power cut loses what we acknowledged.
        cursor.execute("SET SESSION synchronous_commit TO on")
        cursor.execute("SHOW fsync")
        if cursor.fetchone() != ("on",):
            connection.close()
            raise Permanent(
                "the database server runs with fsync = off and loses commits in a power cut", hint="turn it on"
            )
    connection.commit()


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
