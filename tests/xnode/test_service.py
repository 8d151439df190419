"""What the service manager is told of a node, and when."""

from __future__ import annotations

import pytest
import trio.testing
from msgspec.structs import replace

from tests.make.records import (
    make_provider,
    make_running_lease,
    make_submitter,
    make_submitter_job,
    make_submitter_lease,
)
from tests.make.waiting import pass_time
from xnode.notify import Notifier
from xnode.service import BEATS, LOOK_EVERY_S, Doing, Service, describe, find_doing


class Heard(Notifier):
    """A manager that keeps what it is told, with the time."""

    def __init__(self, watchdog_s: float = 0.0) -> None:
        super().__init__("/manager", watchdog_s)
        self.beats: list[float] = []
        self.said: list[str] = []

    def _send(self, *lines: str) -> None:
        if lines == ("WATCHDOG=1",):
            self.beats.append(trio.current_time())
        else:
            self.said.append(" ".join(lines))


@pytest.mark.parametrize(
    ("doing", "line"),
    [
        (Doing(), "idle"),
        (Doing(serving=1), "serving 1 lease"),
        (Doing(serving=2, buying=3), "serving 2 leases; buying 3 jobs"),
        (Doing(is_drained=True), "idle; drained, until `xnode provider resume`"),
        (Doing(serving=1, problems={"chain": "away"}), "serving 1 lease; not well: chain: away"),
    ],
)
def test_the_status_is_one_useful_line(doing: Doing, line: str) -> None:
    assert describe(doing) == line


def test_what_a_node_does_is_counted_from_its_records() -> None:
    provider = make_provider(make_running_lease()).state
    assert find_doing(provider, {}) == Doing(serving=1)
    drained = provider.put(replace(provider.settings, drained_at_ns=1))
    assert find_doing(drained, {"gas": "none"}) == Doing(serving=1, is_drained=True, problems={"gas": "none"})
    waiting = make_submitter(make_submitter_job(status="searching")).state
    leased = make_submitter(make_submitter_job(status="running"), make_submitter_lease()).state
    assert find_doing(waiting, {}) == find_doing(leased, {}) == Doing(buying=1)


async def test_the_manager_hears_of_a_change_and_not_of_what_stays(autojump_clock: trio.testing.MockClock) -> None:
    now, heard = [Doing()], Heard()
    service = Service(heard, lambda: now[0])
    service.start()
    service.ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        await pass_time(3 * LOOK_EVERY_S)
        now[0] = Doing(serving=1)
        await pass_time(3 * LOOK_EVERY_S)
        nursery.cancel_scope.cancel()
    service.stop()
    assert heard.said == [
        "STATUS=starting",
        "READY=1 STATUS=idle",
        "STATUS=serving 1 lease",
        "STOPPING=1 STATUS=stopping; workloads go on",
    ]


async def test_the_watchdog_hears_several_signs_of_life_within_its_time(autojump_clock: trio.testing.MockClock) -> None:
    heard = Heard(watchdog_s=4.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Service(heard, Doing).run)
        await pass_time(4.5)
        nursery.cancel_scope.cancel()
    assert heard.beats == pytest.approx([heard.beats[0] + number for number in range(BEATS + 1)])


async def test_a_sign_of_life_comes_before_what_may_fail() -> None:
    def fail() -> Doing:
        raise KeyError("records")

    heard = Heard()
    with pytest.raises(KeyError, match="records"):
        await Service(heard, fail).run()
    assert len(heard.beats) == 1


async def test_without_a_manager_there_is_no_task() -> None:
    await Service(Notifier(), Doing).run()
