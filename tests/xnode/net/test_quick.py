"""Locks that are free and bytes that are there are taken at once, within what a peer may have before others' turn."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.io.trio import TrioTCPStream
from trio.testing import wait_all_tasks_blocked

from xnode.net.patches import apply_patches
from xnode.net.quick import (
    AHEAD_BYTES,
    READS_PARTNER,
    READS_STRANGER,
    QuickLock,
    QuickSemaphore,
    let_partners_go_on,
)


@pytest.fixture(autouse=True)
def patched() -> None:
    apply_patches()


async def count_turns(work: Callable[[], Awaitable[object]]) -> int:
    """How often every other task had its turn meanwhile."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        await trio.lowlevel.checkpoint()
        before = turns
        await work()
        found = turns - before
        nursery.cancel_scope.cancel()
    return found


@asynccontextmanager
async def open_pair() -> AsyncIterator[tuple[TrioTCPStream, trio.SocketStream]]:
    """What libp2p reads, and the other side of it."""
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one in socket.socketpair())
    async with ours, theirs:
        yield TrioTCPStream(ours), theirs


@pytest.mark.parametrize("lock", [QuickLock(), QuickSemaphore(1)], ids=["lock", "semaphore"])
async def test_a_free_lock_is_taken_at_once(lock: QuickLock | QuickSemaphore) -> None:
    async def take_ten() -> None:
        for _ in range(10):
            await lock.acquire()
            lock.release()

    assert await count_turns(take_ten) == 0


async def test_a_lock_that_is_held_goes_to_who_came_first() -> None:
    lock, order = QuickLock(), []

    async def hold(number: int) -> None:
        async with lock:
            order.append(number)
            await trio.lowlevel.checkpoint()

    async with lock, trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(hold, number)
            await wait_all_tasks_blocked()
        assert lock.locked() and not order
        lock.release()
        await wait_all_tasks_blocked()
        await lock.acquire()
    assert order == list(range(5)) and not lock.locked()


async def test_a_lock_is_given_back_by_who_fails() -> None:
    lock = QuickLock()
    with pytest.raises(ValueError, match="inside"):
        async with lock:
            raise ValueError("inside")
    assert not lock.locked()


async def test_bytes_come_whole_and_in_order_whatever_is_asked_for() -> None:
    rng = random.Random(7)
    sent = rng.randbytes(20 * AHEAD_BYTES)
    async with open_pair() as (stream, other), trio.open_nursery() as nursery:

        async def send() -> None:
            await other.send_all(sent)
            await other.send_eof()

        nursery.start_soon(send)
        found = bytearray()
        while piece := await stream.read(rng.choice((1, 2, 12, 500, AHEAD_BYTES - 1, AHEAD_BYTES, 3 * AHEAD_BYTES))):
            found += piece
        assert bytes(found) == sent
        assert await stream.read(2) == b""


async def test_no_more_than_is_asked_for_is_given_and_nothing_is_asked_without_need() -> None:
    async with open_pair() as (stream, other):
        await other.send_all(b"abcdef")
        assert await stream.read(2) == b"ab"
        assert await stream.read(0) == b""
        assert await stream.read(3) == b"cde"
        # What is left is there: nothing is waited for.
        with trio.fail_after(1):
            assert await stream.read(100) == b"f"


@pytest.mark.parametrize(
    ("is_partner", "reads"), [(None, READS_STRANGER), (lambda: False, READS_STRANGER), (lambda: True, READS_PARTNER)]
)
async def test_a_peer_reads_so_often_before_the_others_have_their_turn(
    is_partner: Callable[[], bool] | None, reads: int
) -> None:
    count = 8 * READS_PARTNER
    async with open_pair() as (stream, other):
        if is_partner is not None:
            let_partners_go_on(stream, is_partner)
        await other.send_all(bytes(count))

        async def read_all() -> None:
            for _ in range(count):
                assert await stream.read(1) == b"\0"

        turns = await count_turns(read_all)
    assert count // reads - 1 <= turns <= count // reads + 2


async def test_who_becomes_a_partner_goes_on_from_then() -> None:
    partners: list[bool] = []
    async with open_pair() as (stream, other):
        let_partners_go_on(stream, lambda: bool(partners))
        await other.send_all(bytes(4 * READS_PARTNER))

        async def read_some() -> None:
            for _ in range(2 * READS_PARTNER):
                await stream.read(1)

        slow = await count_turns(read_some)
        partners.append(True)
        assert await count_turns(read_some) < slow / 8
