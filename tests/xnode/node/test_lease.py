"""The lease's table of transitions, the diagram printed from it, and that no handler goes around it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import xnode.node
from xnode.node.lease import HOLDING, OPEN, TRANSITIONS, LeaseStatus, Trigger, follow, make_diagram, next_status

ROOT = Path(__file__).parents[3]
STATUSES: tuple[LeaseStatus, ...] = get_args(LeaseStatus)
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
TERMINAL = {"settled", "refused"}


def find_reachable(start: str) -> set[str]:
    reached: set[str] = {start}
    fresh: set[str] = {start}
    while fresh:
        fresh = {str(after) for (before, _), after in TRANSITIONS.items() if before in fresh} - reached
        reached |= fresh
    return reached


def test_every_status_is_reachable() -> None:
    assert find_reachable("requested") == set(STATUSES)


def test_terminal_statuses_are_final_and_all_others_lead_to_one() -> None:
    for status in STATUSES:
        leads_on = any(before == status for before, _ in TRANSITIONS)
        assert leads_on != (status in TERMINAL)
        assert find_reachable(status) & TERMINAL


def test_every_trigger_means_something_somewhere() -> None:
    assert {trigger for _, trigger in TRANSITIONS} == set(TRIGGERS)


def test_a_trigger_that_comes_late_or_twice_means_nothing() -> None:
    assert next_status("settled", "stop") is None
    assert next_status("running", "started") is None
    assert follow("settled", *TRIGGERS) == "settled"


def test_a_lease_that_was_never_open_is_never_settled() -> None:
    assert follow("requested", "exited", "failed", "paid", "lost", "settled") == "requested"
    assert follow("refused", *TRIGGERS) == "refused"


def test_every_open_lease_can_be_lost_and_can_be_paid() -> None:
    for status in OPEN:
        assert follow(status, "lost") == "settling"
        assert follow(status, "exited", "failed", "paid") == "settling"


def test_a_lease_holds_capacity_until_its_workload_is_over() -> None:
    assert "ending" not in HOLDING
    assert {"requested", "stopping"} <= HOLDING


def test_the_diagram_in_the_architecture_is_the_table() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = text.partition("<!-- lease diagram -->")[2].partition("<!-- end -->")[0]
    assert shown.strip() == f"```mermaid\n{make_diagram()}\n```"


def test_both_sides_change_a_lease_only_by_the_table() -> None:
    folder = Path(xnode.node.__file__).parent
    written = [(path.name, call) for path in sorted(folder.rglob("*.py")) for call in _find_puts(path)]
    assert len(written) > 20, "the search for turn.put finds nothing"
    for name, call in written:
        for keyword in call.keywords:
            is_job = isinstance(call.args[0], ast.Name) and call.args[0].id == "job"
            if keyword.arg == "status" and not is_job:
                assert not isinstance(keyword.value, ast.Constant), f"{name}:{call.lineno} sets a status past the table"


def _find_puts(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in ("put", "archive")]
