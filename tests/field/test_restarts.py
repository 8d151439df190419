"""Kills, stops and pauses of both sides under default settings on a loaded host: no lease is lost, none is wrongly charged."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from tests.field.conftest import ROOT
from tests.field.field import Field, open_field
from tests.field.plan import DECISIVE, KINDS, Blow, Plan, read_plan
from tests.field.verdict import check_evidence, check_job, check_money

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

ON_MEMORY, ON_DISK = Path(f"/dev/shm/xnode-field{str(ROOT).replace('/', '-')}"), ROOT / "build" / "field"
"""Always the same, so that a run finds and removes what one that was killed has left."""


def say(text: str) -> None:
    """A line of a run's story, which pytest shows when it fails."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def run_field(plan: Plan, blows: Iterable[Blow], seconds: list[float], folder: Path) -> None:
    """Place the jobs, strike, and judge."""
    say(f"{plan}")
    image = ROOT / ".cache" / "images" / "python"
    with open_field(ON_MEMORY if plan.on_memory else ON_DISK, image, plan.load, say) as field:
        before = field.read_money()
        for number, lasts in enumerate(seconds):
            field.place(f"job-{number}", lasts)
            if number == 0:
                # What many cold starts of one image do to each other is another test's.
                field.wait_running()
        field.wait_running()
        say(f"{len(seconds)} jobs run")
        for blow in blows:
            field.strike(blow)
        field.wait_ended(max(seconds) + 300)
        say(show_row(plan, field))
        judge(field, before, folder)


def show_row(plan: Plan, field: Field) -> str:
    """The run as a row of docs/field.md."""
    kinds = ", ".join(f"{sum(kind in text for _, text in field.blows)} {kind}" for kind in KINDS)
    cells = (time.strftime("%Y-%m-%d"), f"`{plan} make test-field`", str(len(field.jobs)), kinds, str(len(field.lost)))
    return f"| {' | '.join(cells)} |"


def judge(field: Field, before: object, folder: Path) -> None:
    """None lost, none wrongly charged."""
    assert not field.lost, field.describe()
    cost = sum(check_job(name, job) for name, job in field.jobs.items())
    check_money(field, before, cost)  # type: ignore[arg-type]
    check_evidence(field, folder)
    say(f"{len(field.jobs)} jobs done and paid after {len(field.blows)} blows")


@pytest.mark.usefixtures("image")
def test_no_absence_of_either_side_ends_paid_work(tmp_path: Path) -> None:
    plan = Plan(minutes=1, leases=3, load=4, seed=0, on_memory=True)
    run_field(plan, DECISIVE, [45.0, 60.0, 75.0], tmp_path)


@pytest.mark.field_long
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("image")
def test_ten_minutes_of_kills_and_pauses_lose_no_lease(tmp_path: Path) -> None:
    plan = read_plan()
    # Most outlast the blows; some end among them.
    seconds = [60 * plan.minutes * (0.5 + 0.6 * number / plan.leases) for number in range(plan.leases)]
    run_field(plan, blows_of(plan), seconds, tmp_path)


def blows_of(plan: Plan) -> Iterator[Blow]:
    """The plan's blows for its minutes, from the first one on."""
    until = time.monotonic() + 60 * plan.minutes
    yield from takewhile(lambda _blow: time.monotonic() < until, plan.blows())
