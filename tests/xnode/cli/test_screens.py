"""What commands print: results on stdout, messages on stderr, the same facts as a table, JSON and JSON lines."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.make.layout import make_layout
from tests.make.scene import LOG
from tests.xnode.cli.conftest import DEADLINE_S, Run
from tests.xnode.cli.fake_daemon import COST, JOB, LEASE
from xnode.cli.job.submit import draw_answer
from xnode.cli.terminal.brief import brief_count, brief_duration, brief_money, brief_size
from xnode.cli.terminal.screen import Column, Screen, drop_empty, find_least_width
from xnode.control.views import PlanView
from xnode.home import Home

JOB_FILE = "image: oci:./image\ntime_limit: 1m\nbudget: 1 OPENX\noutputs: ./results\n"


@pytest.fixture
def job_file(home: Home) -> str:
    make_layout(home.folder / "image")
    (home.folder / "job.yaml").write_text(JOB_FILE)
    return "job.yaml"


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("job", "ls"), (JOB[:10], "hello", "done", brief_money(COST), "no_match")),
        (("job", "show", JOB[:8]), ("echo hi", "0.5 vCPU", "completed", "launch", " in ", "5 receipts")),
        (("job", "receipts", JOB), (" final", brief_money(COST), "yes", LEASE[:10])),
        (("offer", "ls"), ("8 × NVIDIA H200", "151.168", "61%", "80 ms", "250")),
        (("provider", "status"), ("7 vCPU", "quote_capacity", "running", "250 OPENX")),
        (("provider", "earnings"), ("0.00113893", "0.0001278")),
        (
            ("daemon", "status"),
            ("not ready", "podman is not installed", "31337", "/ip4/127.0.0.1/tcp/4001\n", "/ip4/192.0.2.1/tcp/4001\n"),
        ),
    ],
)
def test_a_table_has_the_facts_and_json_has_them_all(
    xnode: Run, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    table = xnode(*arguments)
    assert table.returncode == 0, table.stderr
    for word in words:
        assert word in table.stdout
    whole = json.loads(xnode(*arguments, "-o", "json").stdout)
    lines = [json.loads(line) for line in xnode(*arguments, "-o", "jsonl").stdout.splitlines()]
    assert lines == (whole if isinstance(whole, list) else [whole])


@pytest.mark.usefixtures("daemon")
def test_the_cheapest_offer_comes_first(xnode: Run) -> None:
    rows = xnode("offer", "ls").stdout.splitlines()
    assert [float(row.split("disk")[1].split()[0]) for row in rows[2:4]] == [0.948, 1.06]
    assert "H200" not in xnode("offer", "ls", "--region", "eu").stdout
    assert "none of the " in xnode("offer", "ls", "--region", "moon").stderr
    assert len(json.loads(xnode("offer", "ls", "--gpu", "h200", "-o", "json").stdout)) == 1


@pytest.mark.usefixtures("daemon")
def test_a_plan_shows_who_for_how_much_and_why_not(xnode: Run, job_file: str) -> None:
    done = xnode("job", "plan", job_file)
    assert done.returncode == 0
    for word in ("3 of 4 offers can run it", "0.0336837", "retries", "not registered on chain", "8 x cpu"):
        assert word in done.stdout
    assert "at most 0.0336837 OPENX; 10 OPENX deposited and free" in done.stderr


@pytest.mark.usefixtures("daemon")
def test_a_submission_prints_the_id_alone_on_stdout(xnode: Run, job_file: str) -> None:
    assert xnode("job", "submit", job_file, "--yes").stdout == JOB + "\n"


@pytest.mark.usefixtures("daemon")
def test_following_shows_timeline_and_log_and_what_became_of_the_outputs(xnode: Run, job_file: str) -> None:
    done = xnode("job", "submit", job_file, "--yes", "--follow")
    assert done.returncode == 0, done.stderr
    assert done.stdout.encode() == LOG
    for word in (
        "offers", "choice", "launch", "exit code 0", f"cost {brief_money(COST)} OPENX",
        "2 outputs, 7 B in /results/, 1 left out", "left out: pipe: a pipe",
    ):  # fmt: skip
        assert word in done.stderr


@pytest.mark.usefixtures("daemon")
def test_a_plan_says_what_is_taken_and_where_it_is_put(xnode: Run, home: Home, job_file: str) -> None:
    said = xnode("job", "plan", job_file).stderr
    assert f"put into {home.folder}/results" in said and "at most 100,000" in said and "pipes" in said


@pytest.mark.usefixtures("daemon")
def test_what_was_left_out_is_shown_with_its_reason(xnode: Run) -> None:
    shown = xnode("job", "show", JOB).stdout
    for word in (
        "latest.txt -> sub/result.txt",
        "pipe",
        "only files, links and folders",
        "of its middle were not kept",
    ):
        assert word in shown


@pytest.mark.usefixtures("daemon")
def test_a_log_is_printed_as_it_is_from_any_byte(xnode: Run) -> None:
    assert xnode("job", "logs", JOB).stdout.encode() == LOG
    assert xnode("job", "logs", "-f", JOB, "--offset", "6").stdout.encode() == LOG[6:]


@pytest.mark.usefixtures("daemon")
def test_a_reader_that_has_enough_is_no_error(environment: dict[str, str], home: Home) -> None:
    command = f"{sys.executable} -m xnode.cli.main job show {JOB} -o json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, timeout=DEADLINE_S, check=False
    )
    assert done.stdout == b"{" and done.stderr == b""


def _run_on_terminal(environment: dict[str, str], *arguments: str, cwd: Path | None = None) -> str:
    """Everything that the command writes to a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xnode.cli.main", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environment, "TERM": "xterm-256color"},
        close_fds=True,
        cwd=cwd,
    )
    os.close(follower)
    shown = b""
    while select.select([leader], [], [], DEADLINE_S)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        shown += piece
    os.close(leader)
    assert process.wait(DEADLINE_S) == 0
    return shown.decode()


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    "arguments",
    [
        ("offer", "ls"),
        ("job", "ls"),
        ("job", "plan", "job.yaml"),
        ("job", "show", JOB),
        ("job", "receipts", JOB),
        ("provider", "status"),
        ("provider", "earnings"),
    ],
)
def test_a_terminal_of_eighty_columns_shows_all_of_it(
    xnode: Run, environment: dict[str, str], home: Home, job_file: str, arguments: tuple[str, ...]
) -> None:
    assert job_file == "job.yaml"
    shown = _run_on_terminal({**environment, "COLUMNS": "80", "NO_COLOR": "1"}, *arguments, cwd=home.folder)
    piped = xnode(*arguments)
    lines = shown.splitlines()
    messages = set(piped.stderr.splitlines())
    assert max(len(line) for line in lines if line not in messages) <= 80
    # Lines are broken, and so in another order; but nothing is cut.
    assert Counter("".join(shown.split())) == Counter("".join((piped.stdout + piped.stderr).split()))


@pytest.mark.usefixtures("daemon")
def test_color_is_for_terminals_and_only_for_those_who_want_it(environment: dict[str, str]) -> None:
    assert "\x1b[" in _run_on_terminal(environment, "job", "ls")
    assert "\x1b[" not in _run_on_terminal({**environment, "NO_COLOR": "1"}, "job", "ls")


@pytest.mark.usefixtures("daemon")
def test_agreeing_at_the_terminal_places_the_job(environment: dict[str, str], job_file: str, home: Home) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xnode.cli.main", "job", "submit", job_file],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        env=environment,
        cwd=home.folder,
    )
    os.close(follower)
    os.write(leader, b"y\n")
    stdout, _ = process.communicate(timeout=DEADLINE_S)
    os.close(leader)
    assert (process.returncode, stdout.decode()) == (0, JOB + "\n")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "0"),
        ("1", "1"),
        ("12.5", "12.5"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("0.00000000123456", "0.000000001234"),
        ("0.0000019999", "0.0000019999"),
        ("250.123456789012345678", "250.123"),
        ("1234567.891", "1234567"),
        ("0.00123456789", "0.00123456"),
        ("9.999999", "9.99999"),
    ],
)
def test_money_is_cut_to_what_a_person_reads_and_never_rounded_up(amount: str, shown: str) -> None:
    assert brief_money(amount) == shown


def test_sizes_and_times_are_short() -> None:
    assert (brief_size(512), brief_size(3 << 29)) == ("512 B", "1.5 GiB")
    assert [brief_duration(ns) for ns in (180_000_000, 4_200_000_000, 5_400 * 10**9)] == ["180ms", "4.2s", "1h 30m"]


def test_one_is_not_plural() -> None:
    assert [brief_count(count, "peer") for count in (0, 1, 2)] == ["0 peers", "1 peer", "2 peers"]


def test_a_record_of_nothing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Screen("table").record([("asset", "")])
    assert capsys.readouterr().out == ""


def test_a_wallet_is_listed_whole_on_eighty_columns(
    xnode: Run, environment: dict[str, str], home: Home, password: str
) -> None:
    address = xnode("wallet", "new", "cold", "--password-file", password).stdout.strip()
    shown = _run_on_terminal({**environment, "COLUMNS": "80", "NO_COLOR": "1"}, "wallet", "ls", cwd=home.folder)
    assert f"cold  {address}" in shown and "…" not in shown


def test_without_any_offer_the_way_to_one_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    draw_answer(Screen("table"), PlanView(name="hello", asset="OPENX", offers=0, candidates=(), shortfalls=()))
    assert "hint: `xnode daemon status`" in capsys.readouterr().err


def test_a_table_that_is_too_wide_is_stacked_and_nothing_of_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (Column("job"), Column("name", fold=True), Column("cost", right=True), Column("reason", fold=True))
    rows = [(f"0x{number:08x}", "long-name-" * 6, "123456789", "it did not answer " * 4) for number in range(3)]
    monkeypatch.setattr("xnode.cli.terminal.screen.PIPE_WIDTH", 80)
    assert find_least_width(*drop_empty(columns, rows)) <= 80
    Screen("table").table(columns, rows)
    assert "job" in capsys.readouterr().out.splitlines()[0]
    wide = (*columns[:3], Column("address"), columns[3])
    Screen("table").table(wide, [(*row[:3], "0x" + "ab" * 20, row[3]) for row in rows])
    shown = capsys.readouterr().out
    assert shown.count("address  0x" + "ab" * 20) == 3 and max(map(len, shown.splitlines())) <= 80
    assert shown.count("long-name-") == 18 and shown.count("answer") == 12
