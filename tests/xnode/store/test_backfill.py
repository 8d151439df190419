"""A store of an older version has its columns and sums after the first start, as if they had always been kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metering.codec import decode
from metering.units import Hash32
from tests.make.scene import make_scene
from tests.sim.machine import Machine
from tests.xnode.store.oldstore import take_back
from xnode.node.experience import put_away_lease
from xnode.node.provider.earned import DAY_NS
from xnode.node.records import ProviderLease, Record, SubmitterJob, SubmitterLease
from xnode.node.state import State, Turn, kind_of, make_state
from xnode.node.sums import Dealings, EarnedDay
from xnode.ports.store import Pick
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal

SUBMITTER, PROVIDER = 0, 1


def put_all_away(state: State) -> Turn:
    """The state without a lease of ours: as a node has it that ran since 0.4."""
    turn = Turn(state, make_scene().now_ns, bytes(32))
    for lease in sorted(state.all(SubmitterLease), key=lambda one: one.heard_at_ns):
        put_away_lease(turn, lease)
    return turn


async def migrate(folder: Path, machine: Machine) -> Journal:
    """The journal of an old store with the machine's records, its leases archived."""
    url = f"sqlite:///{folder}/xnode.db"
    database = open_database(url)
    any_record: Any = Record
    records = {key: (decode(value, any_record), live) for key, (value, live) in machine.disk.records.items()}
    archived = {key: (one, is_live and not isinstance(one, SubmitterLease)) for key, (one, is_live) in records.items()}
    await Journal(database).commit(Batch(records=archived))
    take_back(database)
    database.dispose()
    return Journal(open_database(url))


async def test_what_was_earned_before_is_summed_from_its_leases_and_escrows(tmp_path: Path) -> None:
    machine = make_scene().world.machines[PROVIDER]
    assert machine.loop is not None
    kept = list(machine.loop.state.all(EarnedDay))
    journal = await migrate(tmp_path, machine)
    (day,) = await journal.read_records(EarnedDay)
    assert kept == [day] and day.earned > day.claimed > 0
    assert day.day == make_scene().now_ns // DAY_NS


async def test_what_is_known_of_nodes_is_folded_from_leases_that_are_put_away(tmp_path: Path) -> None:
    machine = make_scene().world.machines[SUBMITTER]
    assert machine.loop is not None
    turn = put_all_away(machine.loop.state)
    journal = await migrate(tmp_path, machine)
    loaded = make_state((await journal.load()).records)
    assert list(loaded.all(Dealings)) == list(turn.state.all(Dealings)) != []


@pytest.mark.parametrize(("number", "record_type"), [(SUBMITTER, SubmitterJob), (PROVIDER, ProviderLease)])
async def test_jobs_and_leases_of_before_are_found(
    number: int, record_type: type[SubmitterJob | ProviderLease], tmp_path: Path
) -> None:
    machine = make_scene().world.machines[number]
    journal = await migrate(tmp_path, machine)
    page = await journal.read_page(record_type, Pick(100))
    assert page.total == len(page.records) == sum(kind == kind_of(record_type) for kind, _ in machine.disk.records) > 2
    statuses = await journal.count_by_status(record_type)
    assert sum(statuses.values()) == page.total and len(statuses) > 1
    if record_type is ProviderLease:
        escrow_id = next(iter(make_scene().world.ledger.escrows))
        assert len(await journal.read_about(ProviderLease, Hash32(escrow_id))) == page.total
