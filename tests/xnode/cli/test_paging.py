"""Lists that grow are shown by the page, and say what is not shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tests.xnode.cli.conftest import Run
from xnode.cli.terminal.paging import read_since
from xnode.console.paging import PageParams
from xnode.control.server import Method
from xnode.control.views import JobPage, JobRow
from xnode.errors import ExitCode, UserError

SECOND = 10**9
JOBS = 2_500

Serve = Callable[[Mapping[str, Method]], None]


class Daemon:
    """Answers job.list as a daemon does that has so many jobs."""

    def __init__(self) -> None:
        row = JobRow("", "hello", "failed", "OPENX", 0, reason="no_match: " + "none of the offers fits " * 40)
        self.rows = [replace(row, job_id=f"0x{number:064x}", created_at_ns=number) for number in range(JOBS, 0, -1)]
        self.asked: list[dict[str, Any]] = []

    async def list(self, params: dict[str, Any]) -> JobPage:
        self.asked.append(params)
        first = (params["page"] - 1) * params["limit"]
        rows = [one for one in self.rows if not params["states"] or one.state in params["states"]]
        return JobPage(tuple(rows[first : first + params["limit"]]), len(rows))


@pytest.fixture
def daemon_of_many(serve: Serve) -> Daemon:
    daemon = Daemon()
    serve({"job.list": daemon.list})
    return daemon


def test_the_newest_few_are_shown_and_how_many_more_there_are(xnode_here: Run, daemon_of_many: Daemon) -> None:
    done = xnode_here("job", "ls")
    assert len(done.stdout.splitlines()) == 2 + 30
    assert done.stderr.startswith("2,470 more: --page 2 ")
    assert "no_match" in done.stdout and "none of the offers" not in done.stdout, "`job show` has the whole reason"
    assert daemon_of_many.asked == [{"limit": 30, "page": 1, "states": []}]
    assert json.loads(xnode_here("job", "ls", "-o", "json", "--limit", "7").stdout)[0]["job_id"] == f"0x{JOBS:064x}"


def test_a_page_and_what_is_after_it(xnode_here: Run, daemon_of_many: Daemon) -> None:
    last = xnode_here("job", "ls", "--limit", "1000", "--page", "3", "-o", "json")
    assert (len(json.loads(last.stdout)), last.stderr) == (500, "")
    assert "no page 4: 2,500 rows are 3 pages" in xnode_here("job", "ls", "--limit", "1000", "--page", "4").stderr
    none = xnode_here("job", "ls", "--state", "running")
    assert (none.stdout, none.returncode) == ("", 0) and "leave none" in none.stderr
    assert daemon_of_many.asked[-1]["states"] == ["running"]


def test_all_are_read_page_by_page_and_each_is_there_once(xnode_here: Run, daemon_of_many: Daemon) -> None:
    # One that is made while they are read moves the others on.
    given = daemon_of_many.list

    async def list_and_add(params: dict[str, Any]) -> JobPage:
        page = await given(params)
        daemon_of_many.rows.insert(0, replace(daemon_of_many.rows[0], job_id="0x" + f"{params['page']:02x}" * 32))
        return page

    daemon_of_many.list = list_and_add  # type: ignore[method-assign]
    rows = json.loads(xnode_here("job", "ls", "--all", "-o", "json").stdout)
    assert len({row["job_id"] for row in rows}) == len(rows) == JOBS
    table = xnode_here("job", "ls", "--all", "--state", "failed").stdout
    assert sum("hello" in line for line in table.splitlines()) >= JOBS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--all", "--limit", "3"), "--all takes neither"),
        (("--limit", "0"), "--limit"),
        (("--limit", "1001"), "--limit"),
        (("--page", "0"), "--page"),
        (("--since", "yesterday"), "write 2d or 6h"),
        (("--since", "2026-13-01"), "write 2d or 6h"),
        (("--since", "99999999999999999999d"), "write 2d or 6h"),
    ],
)
def test_a_list_that_cannot_be_is_refused(
    arguments: tuple[str, ...], words: str, xnode_here: Run, daemon_of_many: Daemon
) -> None:
    done = xnode_here("job", "ls", *arguments)
    assert done.returncode == ExitCode.USAGE and words in done.stderr
    assert not daemon_of_many.asked


def test_since_is_an_age_a_day_or_a_moment() -> None:
    now_ns = 1_800_000_000 * SECOND
    assert read_since("1h30m", now_ns) == now_ns - 5_400 * SECOND
    assert read_since("2026-11-30") == 1_795_996_800 * SECOND == read_since("2026-11-30T01:00:00+01:00")
    assert read_since("1900-01-01") == 0
    with pytest.raises(UserError):
        read_since("")


def test_client_and_daemon_agree_on_a_page() -> None:
    from xnode.cli.terminal.paging import MAX_ROWS, ROWS
    from xnode.console import paging

    assert (PageParams().limit, paging.MAX_ROWS) == (ROWS, MAX_ROWS)


def test_a_wait_that_is_over_says_how_the_job_is(xnode_here: Run, serve: Serve) -> None:
    from xnode.control.views import Hosting, JobDetail

    asked: list[dict[str, Any]] = []
    row = JobRow("0x12", "hello", "collecting", "OPENX", 1)

    async def wait(params: dict[str, Any]) -> JobDetail:
        asked.append(params)
        return JobDetail(row, "", (), Hosting())

    serve({"job.wait": wait})
    done = xnode_here("job", "wait", "0x12", "--timeout", "0.5")
    assert done.returncode == ExitCode.TIMEOUT and asked == [{"job_id": "0x12", "within_ns": SECOND // 2}]
    assert "the job is still collecting after 0.5 s, and goes on" in done.stderr and "busy" not in done.stderr
    assert "collecting" in done.stdout
