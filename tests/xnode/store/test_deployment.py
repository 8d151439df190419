"""A store with unsettled leases is not opened with other contracts, and stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from metering.units import Hash32
from tests.make.records import make_provider, make_running_lease
from tests.make.values import SEPARATOR
from tests.xnode.store.oldstore import take_back
from xnode.errors import ExitCode, Permanent, UserError
from xnode.node.records import ProviderLease
from xnode.node.state import kind_of
from xnode.store.database import open_database
from xnode.store.deployment import check_deployment_of_store
from xnode.store.journal import Batch, Journal

OTHER = Hash32(b"\7" * 32)


async def fill_store(folder: Path, lease: ProviderLease) -> str:
    """A store, as a version left it that knew no table of promises."""
    url = f"sqlite:///{folder}/xnode.db"
    database = open_database(url)
    node = make_provider(lease)
    batch = Batch(records={(kind_of(type(one)), one.key): (one, True) for one in node.state.records()})
    await Journal(database).commit(batch)
    take_back(database)
    with database.begin() as connection:
        connection.execute(text("DROP TABLE promise"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    database.dispose()
    return url


def read_revision(folder: Path) -> str:
    import sqlite3

    with sqlite3.connect(folder / "xnode.db") as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


async def test_unsettled_leases_keep_a_store_shut_for_other_contracts_and_untouched(tmp_path: Path) -> None:
    lease = make_running_lease(status="settling")
    url = await fill_store(tmp_path, lease)
    with pytest.raises(UserError, match="unsettled") as caught:
        check_deployment_of_store(url, OTHER, "/m.toml")
    assert caught.value.code == ExitCode.CONFLICT and lease.lease_id.hex()[:16] in caught.value.what
    assert caught.value.where == "/m.toml" and read_revision(tmp_path) == "0002"
    assert check_deployment_of_store(url, SEPARATOR, "/m.toml")


async def test_a_store_without_unsettled_leases_goes_with_any_contracts(tmp_path: Path) -> None:
    assert not check_deployment_of_store(f"sqlite:///{tmp_path}/none.db", OTHER, "")
    assert not check_deployment_of_store("no database at all", OTHER, "")
    assert not check_deployment_of_store(await fill_store(tmp_path, make_running_lease(status="settled")), OTHER, "")


def test_to_look_for_a_store_makes_none(tmp_path: Path) -> None:
    assert not check_deployment_of_store(f"sqlite:///{tmp_path}/none.db", OTHER, "")
    assert list(tmp_path.iterdir()) == []


async def test_a_record_of_a_newer_version_is_named_so(tmp_path: Path) -> None:
    url = await fill_store(tmp_path, make_running_lease())
    database = open_database(url)
    with database.begin() as connection:
        connection.execute(text("UPDATE record SET value = :value WHERE kind = 'provider_lease'"), {"value": b"\x90"})
    with pytest.raises(Permanent) as caught:
        await Journal(database).load()
    assert "newer xnode" in caught.value.hint
    database.dispose()
