"""Background tasks: one that fails is said and started again, and takes none of the others with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from tests.make.waiting import pass_time
from xnode.errors import Permanent
from xnode.supervisor import STEADY_S, Supervisor

pytestmark = pytest.mark.usefixtures("all_is_logged")


class Task:
    """Fails in the given ways, one start after the other, then goes on until cancelled."""

    def __init__(self, *errors: Exception) -> None:
        self.errors: Iterator[Exception] = iter(errors)
        self.started_at: list[float] = []

    async def __call__(self) -> None:
        self.started_at.append(trio.current_time())
        for error in self.errors:
            raise error
        await trio.sleep_forever()


async def test_a_task_that_fails_is_started_again_and_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    bad, good = Task(KeyError("blockNumber"), Permanent("no"), ExceptionGroup("x", [ValueError()])), Task()
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(nursery)
        supervisor.start("the bad one", bad)
        supervisor.start("the good one", good)
        await pass_time(20)
        assert len(bad.started_at) == 4 and len(good.started_at) == 1
        assert set(supervisor.problems()) == {"the bad one"}
        await pass_time(STEADY_S)
        assert not supervisor.problems()
        nursery.cancel_scope.cancel()
    gaps = [later - earlier for earlier, later in zip(bad.started_at, bad.started_at[1:], strict=False)]
    assert gaps == sorted(gaps) and gaps[0] >= 1


async def test_a_task_that_always_fails_is_logged_once(autojump_clock: trio.testing.MockClock) -> None:
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            Supervisor(nursery).start("the bad one", Task(*(KeyError("x") for _ in range(1000))))
            await pass_time(3600)
            nursery.cancel_scope.cancel()
    assert len(lines) == 1 and lines[0]["task"] == "the bad one" and "KeyError" in lines[0]["reason"]


async def test_a_task_that_returns_is_done(autojump_clock: trio.testing.MockClock) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(nursery)
        supervisor.start("the work", work)
    assert runs == 1 and not supervisor.problems()
