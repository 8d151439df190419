"""Kept clock: what is dated while a lease is open goes on by one clock, whatever the host's does and whenever it restarts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from xnode import clock as clock_module
from xnode import kept_clock
from xnode.clock import STEP_NS, SystemClock
from xnode.kept_clock import NAME, Anchor, ClockKeeper, choose_start, open_clock, read_anchor

SECOND = 1_000_000_000
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Host:
    """A host whose wall clock can be set and which can be booted; `start` gives the node's clock after a kill."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self, folder: Path) -> None:
        self.folder, self.boot_file = folder, folder / "boot_id"
        self.boots, self.boot_ns, self.wall_ns, self.is_held = 0, 1000 * SECOND, 1_800_000_000 * SECOND, False
        self.reboot(0)
        self.clock = self.start()

    def time_ns(self) -> int:
        return self.wall_ns

    def clock_gettime_ns(self, _which: int) -> int:
        return self.boot_ns

    def pass_time(self, duration_ns: int) -> None:
        self.boot_ns += duration_ns
        self.wall_ns += duration_ns

    def reboot(self, boot_ns: int) -> None:
        self.boots, self.boot_ns = self.boots + 1, boot_ns
        self.boot_file.write_text(f"boot {self.boots}\n")

    def start(self) -> SystemClock:
        fields = SimpleNamespace(
            time_ns=self.time_ns, clock_gettime_ns=self.clock_gettime_ns, CLOCK_BOOTTIME=self.CLOCK_BOOTTIME
        )
        vars(clock_module)["time"] = fields
        self.clock = open_clock(self.folder, self.is_held, self.boot_file)
        self.keeper = ClockKeeper(self.clock, self.folder, lambda: self.is_held, self.boot_file)
        return self.clock

    def look(self) -> None:
        trio.run(self.keeper.look)


@pytest.fixture(autouse=True)
def real_time() -> Iterator[None]:
    before = vars(clock_module)["time"]
    yield
    vars(clock_module)["time"] = before


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("step_s", [50, -50])
def test_a_step_and_a_kill_while_a_lease_is_open_do_not_move_its_time(host: Host, step_s: int) -> None:
    host.is_held = True
    before = host.clock.now_ns()
    host.wall_ns += step_s * SECOND
    host.pass_time(3 * SECOND)
    assert host.start().now_ns() == before + 3 * SECOND
    host.look()
    host.pass_time(3 * SECOND)
    assert host.start().now_ns() == before + 6 * SECOND, "as often as it starts"
    way = "ahead" if step_s > 0 else "back"
    assert f"set {way} by 50.0 s while leases are open" in host.keeper.find_problem()


def test_a_step_ahead_is_followed_when_no_lease_is_open_and_then_there_is_no_problem(host: Host) -> None:
    host.is_held = True
    host.wall_ns += 50 * SECOND
    with capture_logs() as logs:
        host.look()
        host.look()
    assert host.clock.now_ns() == host.wall_ns - 50 * SECOND
    assert [one["event"] for one in logs] == ["the host's clock was set"], "it is said once"
    host.is_held = False
    with capture_logs() as logs:
        host.look()
    assert host.clock.now_ns() == host.wall_ns and host.keeper.find_problem() == ""
    assert logs[0]["step_s"] == 50.0
    host.is_held = True
    assert host.start().now_ns() == host.wall_ns, "where it stands now is what a restart goes on from"


def test_a_step_back_is_followed_at_a_start_without_leases_and_never_within_one_process(host: Host) -> None:
    before = host.clock.now_ns()
    host.wall_ns -= 3600 * SECOND
    host.look()
    assert host.clock.now_ns() == before and "at the next start" in host.keeper.find_problem()
    assert host.start().now_ns() == host.wall_ns


def test_after_a_reboot_the_hosts_clock_counts(host: Host) -> None:
    host.is_held = True
    host.wall_ns += 500 * SECOND
    host.reboot(7 * SECOND)
    assert host.start().now_ns() == host.wall_ns


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot_id": 1}', "\0" * 9000])
def test_an_anchor_that_cannot_be_read_costs_a_line_in_the_log_and_no_start(host: Host, text: str) -> None:
    host.is_held = True
    (host.folder / NAME).write_text(text)
    with capture_logs() as logs:
        assert host.start().now_ns() == host.wall_ns
    assert logs[0]["event"] == "where the clock stood cannot be read"
    assert read_anchor(host.folder / NAME) == Anchor("boot 1", host.clock.offset_ns)


def test_a_disk_that_is_full_at_the_start_is_written_to_later(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device", "clock.json")

    (host.folder / NAME).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(kept_clock, "replace_file", refuse)
        host.start()
        with pytest.raises(OSError, match="No space left"):
            host.look()
    host.look()
    assert json.loads((host.folder / NAME).read_text()) == {"boot_id": "boot 1", "offset_ns": host.clock.offset_ns}


def test_a_host_without_a_boot_id_goes_by_its_wall_clock() -> None:
    assert choose_start(Anchor("", 5 * SECOND), "", True, 90 * SECOND) == (90 * SECOND, 0)


MOVES = st.lists(
    st.tuples(st.sampled_from(["pass", "step", "kill", "look"]), st.integers(-100 * SECOND, 100 * SECOND)), max_size=12
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=MOVES)
def test_while_a_lease_is_open_as_much_time_passes_as_the_host_was_up(host: Host, moves: list[tuple[str, int]]) -> None:
    host.is_held = False
    host.start()
    host.is_held = True
    begun_ns, up_ns = host.clock.now_ns(), host.boot_ns
    for what, by_ns in moves:
        if what == "pass":
            host.pass_time(abs(by_ns))
        elif what == "step":
            host.wall_ns += by_ns
        elif what == "kill":
            host.start()
        else:
            host.look()
        assert host.clock.now_ns() - begun_ns == host.boot_ns - up_ns
    host.is_held = False
    host.look()
    assert host.clock.now_ns() >= host.wall_ns - STEP_NS, "and then the host's clock is followed"


# ------------------------------------------------------------------------------------------------------- real processes


@contextmanager
def running(folder: Path, library: Path) -> Iterator[Iterator[list[str]]]:
    """The process, dating, until it is killed; the fields of its lines."""
    known = {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(folder / "step"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.xnode.clock_process", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **known}, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield (line.split(" ", 3)[1:] for line in process.stdout if line.startswith("at "))
    finally:
        process.kill()
        process.wait(timeout=20)
        process.stdout.close()


def test_a_process_that_is_killed_while_the_hosts_clock_is_set_dates_on_as_before(tmp_path: Path) -> None:
    library = tmp_path / "stepped_clock.so"
    compiler = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "stepped_clock.c"), "-ldl"]
    subprocess.run(compiler, check=True, timeout=60)
    (tmp_path / "held").touch()
    with running(tmp_path, library) as lines:
        now_ns, boot_ns, problem = next(lines)
        assert problem.strip() == "" and abs(int(now_ns) - time.time_ns()) < 5 * SECOND
    offset_ns = int(now_ns) - int(boot_ns)
    (tmp_path / "step").write_text("50")
    with running(tmp_path, library) as lines:
        now_ns, boot_ns, problem = next(lines)
        assert abs(int(now_ns) - int(boot_ns) - offset_ns) < SECOND // 10, (
            "its receipts would claim 50 s that nobody ran"
        )
        assert "set ahead by 50" in problem
        (tmp_path / "held").unlink()
        end = time.monotonic() + 20
        while "set ahead" in problem:
            assert time.monotonic() < end
            now_ns, boot_ns, problem = next(lines)
        assert abs(int(now_ns) - int(boot_ns) - offset_ns - 50 * SECOND) < SECOND // 10
