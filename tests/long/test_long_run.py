"""Thousands of short jobs leave a node as it was: its memory, its start and its lists do not grow with its past."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from tests.long.longrun import PROVIDER, SUBMITTER, Point, run
from tests.long.storedisk import open_fast
from xnode.node.leaving import KEPT_AT_HAND, SLACK

JOBS = 900
STEPS = 3
"""The first point has all that is kept at hand; the last, three times as many jobs."""

KINDS = 3
"""Jobs and leases of ours, and leases that we serve."""


def test_what_a_node_holds_does_not_grow_with_its_past(tmp_path: Path) -> None:
    first, *_, last = run(JOBS, tmp_path, STEPS, lambda _text: None)
    assert (first.jobs, last.jobs) == (JOBS // STEPS, JOBS)
    assert last.live < KINDS * (KEPT_AT_HAND + SLACK) + 20, last
    _check_flat(first, last)
    for number in (SUBMITTER, PROVIDER):
        _check_plans(tmp_path / str(number))


def _check_flat(first: Point, last: Point) -> None:
    """Twice is what a busy host may make of the same work; three times as many jobs would be three times."""
    assert last.live_kb < 1.2 * first.live_kb, (first, last)
    assert last.start_mb < first.start_mb + 2, (first, last)
    assert last.list_kb < 1.2 * first.list_kb, (first, last)
    assert last.files <= first.files, (first, last)
    assert last.store_kb < 1.1 * first.store_kb, (first, last)


def _check_plans(folder: Path) -> None:
    """What is done at each start and for each list is found by an index: no row of the past is read."""
    asked = {
        "SELECT value FROM record WHERE is_live IS 1": "record_live",
        "SELECT value FROM record WHERE kind = 'submitter_job' ORDER BY at_ns DESC, key DESC LIMIT 30": "record_at",
        "SELECT count(*) FROM record WHERE kind = 'submitter_job' AND status IN ('done')": "COVERING INDEX record_at",
        "SELECT value FROM record WHERE about = x'00'": "record_about",
        "SELECT max(seq) FROM journal": "SEARCH journal",
    }
    with open_fast(folder).connect() as connection:
        for statement, words in asked.items():
            plan = " ".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
            assert words in plan and "TEMP B-TREE" not in plan, (statement, plan)
