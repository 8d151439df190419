"""Who waits at the door, whose turn it is, and who gives way: rules without a socket."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnode.net.entrance import Pace, Turns, Waiting, source_of
from xnode.net.guests import STEADY_PARTS, STEADY_S, Guest, choose_leaver
from xnode.net.standing import Standing

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
NOW = 10_000.0


def test_the_one_that_waits_longest_from_a_place_gives_way_to_the_next_from_there() -> None:
    waiting = Waiting(at_once_source=2, at_once_total=10)
    assert [waiting.enter(A, ticket) for ticket in (1, 2, 3)] == [None, None, 1]
    assert waiting.enter(B, 4) is None and len(waiting) == 3


def test_with_no_room_at_all_the_place_with_the_most_gives_way() -> None:
    waiting = Waiting(at_once_source=5, at_once_total=4)
    for ticket in (1, 2, 3):
        waiting.enter(A, ticket)
    waiting.enter(B, 4)
    assert waiting.enter(C, 5) == 1
    assert waiting.enter(C, 6) == 2
    waiting.leave(B, 4)
    waiting.leave(A, 1)  # it had to leave already
    assert len(waiting) == 3


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=200))
def test_no_more_wait_than_may_and_whoever_comes_is_never_the_one_to_go(steps: list[tuple[str, bool]]) -> None:
    waiting, tickets = Waiting(at_once_source=3, at_once_total=7), count(1)
    inside: dict[int, str] = {}
    for source, leaves in steps:
        if leaves and inside:
            ticket, where = inside.popitem()
            waiting.leave(where, ticket)
        ticket = next(tickets)
        leaver = waiting.enter(source, ticket)
        assert leaver != ticket
        inside[ticket] = source
        if leaver is not None:
            del inside[leaver]
        assert len(waiting) == len(inside) <= 7
        assert all(list(inside.values()).count(one) <= 3 for one in inside.values())


def test_sources_take_turns_and_those_that_we_know_come_first() -> None:
    turns = Turns(most=10)
    for ticket in (1, 2, 3):
        turns.add(A, ticket, is_known=False)
    turns.add(B, 4, is_known=False)
    turns.add(C, 5, is_known=True)
    assert [turns.take() for _ in range(6)] == [5, 1, 4, 2, 3, None]


def test_when_too_many_wait_the_last_of_the_largest_crowd_is_turned_away() -> None:
    turns = Turns(most=3)
    for ticket in (1, 2, 3):
        assert turns.add(A, ticket, is_known=False) is None
    assert turns.add(A, 4, is_known=False) == 4
    assert turns.add(B, 5, is_known=False) == 3
    assert turns.add(C, 6, is_known=True) == 2
    assert [turns.take() for _ in range(4)] == [6, 1, 5, None]


def test_a_pace_is_kept_after_a_burst() -> None:
    pace = Pace(rate=10.0, burst=2.0)
    assert [pace.take(0.0) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.1, 0.2])
    assert pace.take(10.0) == 0.0
    strict = Pace(rate=10.0, burst=1.0)
    assert strict.try_take(0.0) and not strict.try_take(0.05) and strict.try_take(0.15)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_source_is_what_one_host_is_given(host: str, source: str) -> None:
    assert source_of(host) == source


def a_guest(key: str, standing: Standing = Standing.STRANGER, **more: Any) -> Guest:
    plain: dict[str, Any] = {"source": A, "since": NOW - 10, "used_at": NOW - 5}
    return Guest(key, standing, **{**plain, **more})


def leaver_of(*guests: Guest) -> str | None:
    leaver = choose_leaver(guests, NOW)
    return None if leaver is None else str(leaver.key)


def test_whom_we_work_with_is_never_dropped() -> None:
    assert leaver_of(a_guest("partner", Standing.PARTNER, used_at=0.0)) is None
    assert leaver_of(a_guest("partner", Standing.PARTNER, used_at=0.0), a_guest("stranger", used_at=NOW)) == "stranger"


def test_strangers_go_before_nodes_that_the_chain_knows_and_idle_ones_before_busy_ones() -> None:
    registered = a_guest("registered", Standing.REGISTERED, used_at=0.0)
    busy = a_guest("busy", used_at=0.0, is_busy=True)
    assert leaver_of(registered, busy, a_guest("idle", used_at=NOW)) == "idle"
    assert leaver_of(registered, busy) == "busy"
    assert leaver_of(registered) == "registered"


def test_of_idle_strangers_the_longest_idle_of_the_largest_crowd_goes() -> None:
    crowd = (a_guest("one", used_at=NOW - 1), a_guest("two", used_at=NOW - 2))
    assert leaver_of(*crowd, a_guest("alone", source=B, used_at=NOW - 9)) == "two"


def test_the_oldest_connections_outlast_a_flood() -> None:
    old = [a_guest(f"old {n}", used_at=0.0, since=NOW - STEADY_S - n) for n in range(2)]
    flood = [a_guest(f"flood {n}", used_at=NOW - n / 100) for n in range(2 * STEADY_PARTS)]
    assert str(leaver_of(*old, *flood)).startswith("flood")
    # No more than their part of all: connections that were hoarded beforehand do not keep others out.
    hoard = [a_guest(f"hoard {n}", used_at=0.0, since=NOW - STEADY_S - n) for n in range(40)]
    assert str(leaver_of(*hoard, a_guest("newcomer", used_at=NOW))).startswith("hoard")
