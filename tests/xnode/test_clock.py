"""The clock follows what it must and never goes back; the presence finds gaps."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnode import clock as clock_module
from xnode.clock import STEP_NS, SystemClock
from xnode.presence import GAP_NS, Presence

SECOND = 1_000_000_000


class Host:
    """A host's clocks: since boot, and on the wall."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.boot_ns, self.wall_ns = 1000 * SECOND, 1_800_000_000 * SECOND

    def pass_time(self, duration_ns: int) -> None:
        self.boot_ns += duration_ns
        self.wall_ns += duration_ns

    def time_ns(self) -> int:
        return self.wall_ns

    def clock_gettime_ns(self, which: int) -> int:
        assert which == time.CLOCK_BOOTTIME, "any other stands still while the host sleeps"
        return self.boot_ns


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    fields = {name: getattr(host, name) for name in ("time_ns", "clock_gettime_ns", "CLOCK_BOOTTIME")}
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(**fields))
    return host


def test_the_clock_goes_on_while_the_host_sleeps(host: Host) -> None:
    clock = SystemClock()
    host.pass_time(3600 * SECOND)
    assert clock.now_ns() == host.wall_ns


def test_the_clock_follows_one_that_is_set_forward_and_not_one_that_is_set_back(host: Host) -> None:
    clock = SystemClock()
    host.wall_ns += 3600 * SECOND
    assert clock.now_ns() == host.wall_ns
    before = clock.now_ns()
    host.wall_ns -= 3600 * SECOND
    host.boot_ns += SECOND
    assert clock.now_ns() == before + SECOND
    host.wall_ns = clock.now_ns() + STEP_NS
    assert clock.now_ns() == before + SECOND, "the clocks' own pace is not a step"


@given(st.lists(st.integers(0, 4 * SECOND)))
def test_absences_are_the_gaps_that_are_longer_than_a_busy_moment(gaps: list[int]) -> None:
    presence, now_ns, away_ns = Presence(0), 0, 0
    for gap_ns in gaps:
        now_ns += gap_ns
        expected = gap_ns if gap_ns > GAP_NS else 0
        away_ns += expected
        assert presence.away_ns(now_ns) == away_ns, "one that nobody has looked at counts already"
        assert presence.look(now_ns) == expected
        assert presence.away_ns(now_ns) == away_ns
