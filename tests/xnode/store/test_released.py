"""Released: what each released version left opens with this one, whole, and stays as it was while it is only looked at.

tests/fixtures/versions: made by each release's own code (tests/make/released.py): both nodes' stores in the middle of a market,
and the evidence that they export.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from metering.audit import audit_evidence
from metering.codec import decode_strict
from metering.evidence import CoveredVoucher, LeaseDocument, LeaseEvidence, PrepaidVoucher
from metering.receipt import SignedReceipt
from tests.make.values import SEPARATOR
from tests.xnode.store.test_mark import RELEASES
from xnode.errors import Permanent
from xnode.node.records import NodeSettings, ProviderLease, SubmitterJob
from xnode.node.state import kind_of
from xnode.store.database import find_newest, open_database
from xnode.store.inspection import inspect_store, require_known_schema
from xnode.store.journal import Journal

VERSIONS = sorted(path.name for path in RELEASES.iterdir())
ROLES = ("submitter", "provider")
KINDS = {kind.__name__: kind for kind in (LeaseDocument, SignedReceipt, CoveredVoucher, PrepaidVoucher)}


def unpack_store(version: str, role: str, folder: Path) -> Path:
    """A copy of the store that this release left."""
    path = folder / "xnode.db"
    path.write_bytes(gzip.decompress((RELEASES / version / f"{role}.db.gz").read_bytes()))
    return path


def hash_files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_every_release_but_the_first_has_its_fixtures() -> None:
    assert {"0.2.0", "0.3.0", "0.4.0", "0.5.0"} <= set(VERSIONS)
    for version in VERSIONS:
        assert json.loads((RELEASES / version / "about.json").read_text())["version"] == version


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_look_reads_all_that_a_release_left_and_changes_no_byte_of_it(
    version: str, role: str, tmp_path: Path
) -> None:
    path = unpack_store(version, role, tmp_path)
    before = hash_files(tmp_path)
    found = inspect_store(f"sqlite:///{path}")
    assert found.contents is not None and found.contents.faults == ()
    assert found.contents.records > 10 and found.contents.running == {role: 1}
    assert found.contents.unsettled and found.contents.separator == SEPARATOR
    assert found.newest == find_newest() and not found.is_newer
    assert hash_files(tmp_path) == before, "and leaves no file beside it"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_store_of_each_release_opens_and_its_leases_go_on(version: str, role: str, tmp_path: Path) -> None:
    path = unpack_store(version, role, tmp_path)
    database = open_database(f"sqlite:///{path}")
    try:
        loaded = await Journal(database).load()
        kinds = {type(one) for one in loaded.records}
        assert (SubmitterJob if role == "submitter" else ProviderLease) in kinds
        assert loaded.seq > 50 and (role == "submitter" or loaded.effects), "the middle of a market"
        with database.connect() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == find_newest()
    finally:
        database.dispose()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_nodes_of_each_release_signed_is_read_and_holds(version: str) -> None:
    rows = json.loads(gzip.decompress((RELEASES / version / "signed.json.gz").read_bytes()))
    assert {row["side"] for row in rows} == set(ROLES)
    for side in ROLES:
        audit = audit_evidence(gather(row for row in rows if row["side"] == side))
        assert audit.refusal is None, f"{version} {side}: {audit.refusal}"
        assert sum(tally.covered for tally in audit.tallies) > 0


def gather(rows: Iterable[dict[str, str]]) -> list[LeaseEvidence]:
    """The documents of each lease, which begin with its terms, together."""
    found: list[LeaseEvidence] = []
    documents: list[Any] = [decode_strict(bytes.fromhex(row["bytes"]), KINDS[row["type"]]) for row in rows]
    leases = [one for one in documents if isinstance(one, LeaseDocument)]
    starts = [place for place, one in enumerate(documents) if isinstance(one, LeaseDocument)]
    for lease, start, end in zip(leases, starts, [*starts[1:], len(documents)], strict=True):
        parts = documents[start + 1 : end]
        by_kind = {kind: tuple(group) for kind, group in groupby(parts, key=type)}
        found.append(
            LeaseEvidence(
                lease, by_kind.get(SignedReceipt, ()), by_kind.get(CoveredVoucher, ()), by_kind.get(PrepaidVoucher, ())
            )
        )
    return found


def test_a_store_of_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = unpack_store(VERSIONS[-1], "provider", tmp_path)
    url = f"sqlite:///{path}"
    database = open_database(url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()
    before = hash_files(tmp_path)
    for refuse in (require_known_schema, open_database):
        with pytest.raises(Permanent, match="a newer xnode has used the database: its schema is 9999") as caught:
            refuse(url)
        assert "run that version, or restore the backup" in caught.value.hint
        if refuse is require_known_schema:
            assert hash_files(tmp_path) == before
    assert inspect_store(url).is_newer


def test_what_no_store_is_touches_nothing_either(tmp_path: Path) -> None:
    missing = tmp_path / "xnode.db"
    require_known_schema(f"sqlite:///{missing}")
    assert inspect_store(f"sqlite:///{missing}").revision == "" and not missing.exists()
    missing.touch()
    assert inspect_store(f"sqlite:///{missing}").revision == "", "as made by a look of 0.5.0"
    missing.write_bytes(b"SQLite format 3\0 but not really")
    with pytest.raises(Permanent):
        inspect_store(f"sqlite:///{missing}")


def test_a_store_that_was_killed_is_read_with_its_log(tmp_path: Path) -> None:
    path = unpack_store(VERSIONS[-1], "provider", tmp_path)
    database = open_database(f"sqlite:///{path}")
    with database.begin() as connection:
        connection.execute(text("UPDATE record SET value = x'90' WHERE kind = :kind"), {"kind": kind_of(NodeSettings)})
    killed = tmp_path / "killed"
    killed.mkdir()
    for one in tmp_path.glob("xnode.db*"):
        (killed / one.name).write_bytes(one.read_bytes())
    database.dispose()
    assert (killed / "xnode.db-wal").stat().st_size > 0
    before = {name: one for name, one in hash_files(killed).items() if not name.endswith("-shm")}
    found = inspect_store(f"sqlite:///{killed}/xnode.db")
    assert found.contents is not None and kind_of(NodeSettings) in found.contents.faults[0]
    assert {name: one for name, one in hash_files(killed).items() if not name.endswith("-shm")} == before
