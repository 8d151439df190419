"""What a node leaves alone while nothing is owed, and what its start leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from metering.receipt import make_first
from metering.units import Amount, Hash32
from tests.make.values import NOW_NS, make_escrow, make_terms
from xnode.chain.node.logs import POLL_S
from xnode.errors import Permanent
from xnode.node.records import PaidLine, Record, SubmitterEscrow, SubmitterLease
from xnode.node.state import State, make_state
from xnode.peers.escrow_watch import CALM_POLL_S, find_pause_s
from xnode.store.database import migrate_apart, open_database

LEASE_ID = Hash32(b"\1" * 32)


def make_owing_state(claimed: int = 10, status: str = "settled", thaw_end: int = 0) -> State:
    """One lease that has cost 10, in one escrow."""
    terms, line = make_terms(), PaidLine(LEASE_ID, Amount(10), Hash32(bytes(32)))
    lease = SubmitterLease(
        LEASE_ID, terms.job_hash, terms, (), None, NOW_NS, make_first(LEASE_ID, NOW_NS), Hash32(bytes(32))
    )
    escrow = SubmitterEscrow(terms.escrow_id, make_escrow(), claimed=Amount(claimed), thaw_end=thaw_end, lines=(line,))
    records: tuple[Record, ...] = (msgspec.structs.replace(lease, status=status), escrow)
    return make_state(records)


def test_the_chain_is_asked_seldom_while_nothing_is_owed() -> None:
    assert find_pause_s(State()) == CALM_POLL_S
    assert find_pause_s(make_owing_state()) == CALM_POLL_S


@pytest.mark.parametrize(
    "state",
    [
        make_owing_state(status="running"),
        make_owing_state(status="requested"),
        make_owing_state(claimed=9),
        make_owing_state(thaw_end=1),
    ],
)
def test_the_chain_is_asked_often_while_something_may_come(state: State) -> None:
    assert find_pause_s(state) == POLL_S < CALM_POLL_S


def test_a_migration_apart_leaves_the_schema_and_no_library(tmp_path: Path) -> None:
    program = (
        "import sys; from xnode.store.database import migrate_apart, open_database; url = sys.argv[1];"
        "migrate_apart(url); open_database(url).dispose(); assert 'alembic' not in sys.modules"
    )
    url = f"sqlite:///{tmp_path}/node.db"
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "node.db").exists()


def test_a_migration_apart_that_fails_is_told_when_the_database_is_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/node.db"
    migrate_apart(url)
    with pytest.raises(Permanent, match="unable to open"):
        open_database(url)
