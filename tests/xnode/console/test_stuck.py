"""Stuck reserves on the real loop and store: whose node key cannot pay for a thaw is told what is held up, and by what."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from metering.units import Address, Amount
from tests.make.nodes import make_started, make_submitter_settings
from tests.make.records import SECOND, make_submitter_escrow
from tests.make.values import ASSET
from tests.make.waiting import wait_until
from xnode.clock import SystemClock
from xnode.console.stuck import find_stuck
from xnode.errors import Retryable
from xnode.loop import Loop
from xnode.node import changes, effects
from xnode.node.state import State, Turn
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal

NO_GAS = "0xab has 0 wei, its transaction needs 7"


def show(amount: int, asset: Address) -> str:
    return f"{amount} {'GOLD' if asset == ASSET else '?'}"


@pytest.mark.parametrize(
    ("effect", "fields"),
    [(effects.StartThaw, {}), (effects.CloseEscrow, {"thaw_asked": True, "thaw_end": 1, "withdrawals": 1})],
)
async def test_a_reserve_that_cannot_be_taken_back_is_named_with_its_reason_until_it_can(
    tmp_path: Path, effect: type, fields: dict[str, int]
) -> None:
    escrow = replace(
        make_submitter_escrow(), lines=(), deposited=Amount(12), claimed=Amount(5), wake_at_ns=SECOND, **fields
    )
    engine = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    turn, batch = Turn(State(), 0, bytes(32)), Batch()
    turn.put(escrow)
    batch.add(0, changes.Entry(turn.at_ns, bytes(32), changes.EffectDone(), ("e", 0)), turn)
    Journal(engine).commit_now(batch)
    has_gas, done = False, []

    async def perform(asked: effects.DurableEffect) -> changes.Change:
        if isinstance(asked, effect) and not has_gas:
            raise Retryable(NO_GAS)
        done.append(type(asked))
        return changes.EffectDone()

    loop = Loop(Journal(engine), SystemClock(), perform)
    assert find_stuck(loop, show) == ""
    async with trio.open_nursery() as nursery:
        await nursery.start(loop.run, make_started(submitter=make_submitter_settings()))
        told = await wait_until(lambda: find_stuck(loop, show))
        assert told.startswith("7 GOLD reserved") and NO_GAS in told and "xnode pay gas" in told
        has_gas = True
        await wait_until(lambda: effect in done and not find_stuck(loop, show))
        nursery.cancel_scope.cancel()
