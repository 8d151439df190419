"""Backoff: pauses that grow, spread and start again; and what is tried forever."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
import trio
import trio.testing

from xnode.backoff import Backoff, retry_forever
from xnode.errors import Permanent, Retryable


def take(count: int, backoff: Backoff, *spread: object) -> list[float]:
    return list(islice(backoff.pauses(*spread), count))  # type: ignore[arg-type]


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    assert take(6, Backoff(0.5, 5.0)) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_two_equal_limits_make_every_pause_the_same() -> None:
    assert take(3, Backoff(5.0, 5.0)) == [5.0, 5.0, 5.0]


def test_a_new_run_of_failures_begins_with_the_first_pause() -> None:
    backoff = Backoff(1.0, 8.0)
    assert take(3, backoff) == take(3, backoff)


def test_a_spread_pause_is_between_half_and_whole() -> None:
    backoff = Backoff(1.0, 64.0)
    whole, spread = take(200, backoff), take(200, backoff, Random(7).random)
    assert all(most / 2 <= pause <= most for most, pause in zip(whole, spread, strict=True))
    assert max(spread) > 60 and min(spread[10:]) < 36
    assert take(2, backoff, lambda: 0.0) == [0.5, 1.0]


@pytest.mark.parametrize(("first_s", "most_s"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_a_backoff_that_cannot_grow_cannot_be_built(first_s: float, most_s: float) -> None:
    with pytest.raises(AssertionError):
        Backoff(first_s, most_s)


class Flaky:
    """Fails in the given ways, one after the other, then gives 42."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors, self.tried_at = list(errors), list[float]()

    async def __call__(self) -> int:
        self.tried_at.append(trio.current_time())
        if self._errors:
            raise self._errors.pop(0)
        return 42


async def test_faults_of_the_world_are_waited_out(autojump_clock: trio.testing.MockClock) -> None:
    nested = ExceptionGroup("nursery", [ExceptionGroup("inner", [Retryable("away")])])
    flaky = Flaky(Retryable("away"), Permanent("wrong chain"), nested)
    began = trio.current_time()
    assert await retry_forever("reading", flaky, Backoff(1.0, 2.0)) == 42
    assert [at - began for at in flaky.tried_at] == [0.0, 1.0, 3.0, 5.0]


@pytest.mark.parametrize("bug", [ValueError("bug"), ExceptionGroup("nursery", [ValueError("bug"), Retryable("away")])])
async def test_a_bug_is_not_tried_again(bug: Exception, autojump_clock: trio.testing.MockClock) -> None:
    flaky = Flaky(bug)
    with pytest.raises((ValueError, ExceptionGroup)):
        await retry_forever("reading", flaky, Backoff(1.0, 2.0))
    assert len(flaky.tried_at) == 1
