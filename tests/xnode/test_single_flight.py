"""Many who want one thing at once: it is made once, and one who gives up takes nothing from the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from xnode.errors import Permanent, Retryable
from xnode.single_flight import SingleFlight


class Worker:
    """Work that lasts until it is let go, and counts how often it was begun."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.begun, self.at_once, self.most = 0, 0, 0
        self.let_go, self.fault = trio.Event(), fault

    async def __call__(self) -> int:
        self.begun += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.let_go.wait()
            if self.fault is not None:
                raise self.fault
            return self.begun
        finally:
            self.at_once -= 1


async def _gather(count: int, ask: Callable[[int], Awaitable[int]], work: Worker) -> list[int | str]:
    """How each of `count` askers fared, all of them in line before the work is let go."""
    ends: list[int | str] = []

    async def one(number: int) -> None:
        try:
            ends.append(await ask(number))
        except (Permanent, Retryable) as error:
            ends.append(error.message)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
        await trio.testing.wait_all_tasks_blocked()
        work.let_go.set()
    return ends


async def test_what_many_want_at_once_is_done_once() -> None:
    door, work = SingleFlight[str, int](), Worker()
    assert await _gather(20, lambda _: door.run("key", work), work) == [1] * 20
    assert work.begun == 1


async def test_two_keys_do_not_wait_for_each_other() -> None:
    door, work = SingleFlight[int, int](), Worker()
    await _gather(4, lambda number: door.run(number % 2, work), work)
    assert (work.begun, work.most) == (2, 2)


async def test_nothing_is_remembered_once_it_is_done() -> None:
    door, work = SingleFlight[str, int](), Worker()
    work.let_go.set()
    assert [await door.run("key", work) for _ in range(2)] == [1, 2]


async def test_a_permanent_fault_is_everybodys_who_asked_the_same_source() -> None:
    door, work = SingleFlight[str, int](), Worker(Permanent("refused", code="image", hint="ask another"))
    assert await _gather(5, lambda _: door.run("key", work, source="one peer"), work) == ["refused"] * 5
    assert work.begun == 1


async def test_a_permanent_fault_of_one_peer_is_not_anothers() -> None:
    door, bad, good = SingleFlight[str, int](), Worker(Permanent("refused")), Worker()
    good.let_go.set()
    got: list[int] = []

    async def ask_the_good_one() -> None:
        got.append(await door.run("key", good, source="good"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_refusal, door, bad)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(ask_the_good_one)
        await trio.testing.wait_all_tasks_blocked()
        bad.let_go.set()
    assert (bad.begun, len(got)) == (1, 3)


async def _expect_refusal(door: SingleFlight[str, int], work: Worker) -> None:
    with pytest.raises(Permanent, match="refused"):
        await door.run("key", work, source="bad")


async def test_a_fault_that_may_pass_is_tried_by_the_next_in_line_one_at_a_time() -> None:
    door, work = SingleFlight[str, int](), Worker(Retryable("away"))
    assert await _gather(3, lambda _: door.run("key", work), work) == ["away"] * 3
    assert (work.begun, work.most) == (3, 1)


async def test_when_the_one_who_works_is_cancelled_another_takes_over() -> None:
    door, work = SingleFlight[str, int](), Worker()
    scope, ends = trio.CancelScope(), []

    async def first() -> None:
        with scope:
            await door.run("key", work)

    async def other() -> None:
        ends.append(await door.run("key", work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(other)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert (work.begun, work.at_once) == (2, 1)
        work.let_go.set()
    assert ends == [2, 2, 2]


async def test_one_who_waits_and_gives_up_leaves_the_others_alone() -> None:
    door, work = SingleFlight[str, int](), Worker()
    ends: list[int] = []

    async def first() -> None:
        ends.append(await door.run("key", work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0) as scope:
            await door.run("key", work)
        assert scope.cancelled_caught
        work.let_go.set()
    assert ends == [1]
