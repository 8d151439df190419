"""What is said of a chain node, by what our own requests show."""

from __future__ import annotations

import pytest

from xnode.chain.node.pulse import BlockPace, Pulse, find_standstill, pace_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_node_that_is_away_is_said_with_how_long_and_is_well_once_it_answers(clock: Clock) -> None:
    pulse = Pulse("http://a", clock)
    for _ in range(5):
        pulse.failed("", "chain node http://a cannot be reached: refused")
        clock.now_s += 10
    assert pulse.describe() == "chain node http://a cannot be reached: refused, for 50 s now"
    pulse.heard("eth_blockNumber")
    assert pulse.describe() == ""


def test_a_hiccup_is_not_said(clock: Clock) -> None:
    pulse = Pulse("http://a", clock)
    pulse.failed("", "refused")
    assert pulse.describe() == ""
    clock.now_s += 90
    pulse.failed("", "refused")
    assert pulse.describe() == "", "two hiccups are no outage"


def test_one_method_that_fails_is_said_though_the_others_answer(clock: Clock) -> None:
    pulse = Pulse("http://a", clock)
    for _ in range(5):
        pulse.failed("eth_getLogs", "chain node http://a answered eth_getLogs with null")
        pulse.heard("eth_blockNumber")
        clock.now_s += 10
    assert "eth_getLogs with null" in pulse.describe()
    pulse.heard("eth_getLogs")
    assert pulse.describe() == ""


def test_a_node_behind_is_said_until_it_has_caught_up_or_its_chain_has_gone_back_for_good(clock: Clock) -> None:
    pulse = Pulse("http://a", clock)
    assert pulse.saw_head(10) == 0
    assert pulse.saw_head(7) == 3
    clock.now_s += 5
    assert pulse.saw_head(8) == 2 and "behind block 10" in pulse.describe()
    assert pulse.saw_head(10) == 0 and pulse.describe() == ""
    pulse.saw_head(4)
    clock.now_s += 31
    assert pulse.saw_head(5) == 0 and pulse.head == 5


@pytest.mark.parametrize(("usual_s", "frozen_after_s"), [(1, 60), (12, 240)])
def test_a_chain_without_a_new_block_for_many_block_times_is_frozen(
    usual_s: int, frozen_after_s: int, clock: Clock
) -> None:
    pulse = Pulse("http://a", clock)
    pulse.pace = BlockPace(usual_s, usual_s)
    pulse.saw_head(5)
    clock.now_s += frozen_after_s - 1
    pulse.saw_head(5)
    assert pulse.describe() == ""
    clock.now_s += 1
    assert "has made no block for" in pulse.describe() and f"each {usual_s} s" in pulse.describe()
    pulse.saw_head(6)
    assert pulse.describe() == ""


def test_the_pace_of_blocks_that_come_within_a_second_is_their_mean() -> None:
    assert pace_of([0, 0, 0, 0, 1, 1, 1, 1, 1, 2]) == BlockPace(2 / 9, 1)
    assert pace_of([0, 0, 1, 1, 1, 2, 2, 3]) == BlockPace(3 / 7, 1)


def test_a_chain_that_makes_blocks_when_it_likes_is_never_frozen() -> None:
    assert pace_of([5]) is None and pace_of([0, 1, 2, 4]) == BlockPace(1, 2)
    assert find_standstill([0, 1, 2, 500], 9000) == ""
    assert find_standstill([0, 12, 24, 36], 36 + 3600) == "has made no block for 60 min (usually one comes each 12 s)"
