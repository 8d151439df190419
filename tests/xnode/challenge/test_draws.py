"""Draws: who draws a challenge, when, and that nobody misses its answers for it."""

from __future__ import annotations

import pytest

from metering.units import NANOS_PER_SECOND
from tests.make.waiting import wait_until
from tests.sim.challenging import CHALLENGE_ID, World, judges, prove, running
from xnode.capacity import judging
from xnode.challenge import verifier
from xnode.errors import Retryable


def put_in_wave(monkeypatch: pytest.MonkeyPatch, wave: int) -> None:
    monkeypatch.setattr(judging, "find_wave", lambda place: wave)


async def test_the_first_wave_draws_for_the_first_block_that_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_wave(monkeypatch, 0)
    world.chain.head = world.chain.challenge.draw_block - 1
    async with running(*judges(world)):
        await world.chain.wait_looks(6)
        assert world.chain.draws == 0
        world.chain.head += 1
        await wait_until(lambda: world.chain.draws)
    assert world.chain.drawn_at_once


async def test_who_looks_later_draws_as_any_call_is_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_wave(monkeypatch, 0)
    world.chain.head = world.chain.challenge.draw_block + 1
    async with running(*judges(world)):
        await wait_until(lambda: world.chain.draws)
    assert not world.chain.drawn_at_once


async def test_a_later_wave_leaves_the_one_before_time_and_blocks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_wave(monkeypatch, 1)
    monkeypatch.setattr(verifier, "DRAW_STEP_S", 4.0)
    world.chain.head = world.chain.challenge.draw_block
    async with running(*judges(world)):
        await world.chain.wait_looks(9)
        world.clock.ahead_ns += 5 * NANOS_PER_SECOND
        await world.chain.wait_looks(9)
        assert world.chain.draws == 0, "time alone, and the first wave's draw may be in the next block"
        world.chain.head += verifier.DRAW_STEP_BLOCKS
        await wait_until(lambda: world.chain.draws)


async def test_a_verifiers_wave_is_its_own_dice_and_not_the_challenges(world: World) -> None:
    world.chain.nodes |= {bytes([1, number]) * 10: bytes(20) for number in range(256)}  # type: ignore[misc]
    one = world.make_verifier(2)
    waves = {(await one._choose_turn()).wave for _ in range(300)}
    assert len(waves) > 2


async def test_who_draws_does_not_wait_for_its_confirmation_to_take_the_answers(world: World) -> None:
    world.chain.is_confirmed = False
    async with running(prove(world), *judges(world)):
        await wait_until(lambda: world.chain.recorded)
    assert world.chain.draws and world.chain.recorded[0][0][1].verdict.passed


async def test_a_chain_node_that_goes_away_before_the_draw_is_said_so(world: World) -> None:
    world.chain.is_away = True
    with pytest.raises(Retryable, match="away"):
        await world.make_verifier(2)._wait_drawn(CHALLENGE_ID)
