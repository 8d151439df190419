"""`xnode provider drain`: what still runs and until when, and a wait that says how far it is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from tests.xnode.cli.conftest import Run
from xnode.control.server import Method
from xnode.control.views import DrainView, RunningRow
from xnode.errors import ExitCode

AT_NS = 1_800_000_000_000_000_000
MINUTE_NS = 60 * 10**9

ROWS = tuple(
    RunningRow(f"0x{number:064x}", "0x" + "ab" * 20, "running", AT_NS + number * MINUTE_NS) for number in (1, 2)
)


def answer(*views: DrainView) -> Callable[[dict[str, Any]], Awaitable[DrainView]]:
    """These one after the other, the last one again and again."""
    waiting = list(views)

    async def next_one(_params: dict[str, Any]) -> DrainView:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return next_one


@pytest.mark.usefixtures("daemon")
def test_a_drained_provider_says_what_runs_and_a_status_says_that_it_is_drained(xnode: Run) -> None:
    done = xnode("provider", "drain")
    assert done.returncode == 0, done.stderr
    assert "nothing new is taken since" in done.stderr and "running" in done.stdout
    assert "hint: `xnode provider resume` takes jobs again" in done.stderr
    status = xnode("provider", "status")
    assert "nothing new is taken since" in status.stdout and "provider resume" in status.stderr
    assert json.loads(xnode("provider", "drain", "-o", "json").stdout)["running"][0]["until_ns"] > 0
    assert "takes jobs again" in xnode("provider", "resume").stderr
    assert "nothing new is taken" not in xnode("provider", "status").stdout


def test_a_wait_says_what_is_left_and_returns_when_nothing_runs(
    xnode: Run, serve: Callable[[Mapping[str, Method]], None]
) -> None:
    serve(
        {
            "provider.drain": answer(DrainView(AT_NS, ROWS)),
            "provider.running": answer(DrainView(AT_NS, ROWS), DrainView(AT_NS, ROWS[:1]), DrainView(AT_NS)),
        }
    )
    done = xnode("provider", "drain", "--wait")
    assert done.returncode == 0
    said = [line.split(",")[0] for line in done.stderr.splitlines() if "still running" in line]
    assert said == ["2 leases still running", "1 lease still running"], "and nothing twice"
    assert "this host can be stopped" in done.stderr


def test_a_wait_ends_when_somebody_resumes(xnode: Run, serve: Callable[[Mapping[str, Method]], None]) -> None:
    serve({"provider.drain": answer(DrainView(AT_NS, ROWS)), "provider.running": answer(DrainView(0, ROWS))})
    done = xnode("provider", "drain", "--wait")
    assert done.returncode == ExitCode.CONFLICT and "takes jobs again" in done.stderr
