"""RepeatedEvent: it wakes all who wait, does not stay set, and misses nothing for who took the next time first."""

from __future__ import annotations

import trio
import trio.testing

from xnode.repeated_event import RepeatedEvent


async def test_every_task_that_waits_is_woken() -> None:
    event, woken = RepeatedEvent(), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(wait, number)
        await trio.testing.wait_all_tasks_blocked()
        assert not woken
        event.set()
    assert sorted(woken) == [0, 1, 2]


async def test_it_does_not_stay_set(autojump_clock: trio.testing.MockClock) -> None:
    event = RepeatedEvent()
    event.set()
    with trio.move_on_after(60) as scope:
        await event.wait()
    assert scope.cancelled_caught


async def test_the_next_time_taken_first_is_not_missed() -> None:
    event = RepeatedEvent()
    before = event.next()
    event.set()
    assert before.is_set()
    assert not event.next().is_set()
    await before.wait()
