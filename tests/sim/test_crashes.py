"""Crashes: power lost before and after every commit and every effect of a market's flow; nothing is lost or done twice."""

from __future__ import annotations

import typing

import pytest

from metering.units import NANOS_PER_SECOND
from tests.sim.containers import Behaviour
from tests.sim.world import World
from xnode.node.change import Change
from xnode.node.effect import Deed

CHANGES = [kind.__name__ for kind in typing.get_args(Change)]
DEEDS = [kind.__name__ for kind in typing.get_args(Deed)]
POINTS = [f"{when}_commit:{name}" for name in CHANGES for when in ("before", "after")]
POINTS += [f"{when}_effect:{name}" for name in DEEDS for when in ("before", "after")]


def make_busy_market(seed: int = 0) -> World:
    """One job that completes and one that is stopped, on one provider; another provider that will be lost."""
    world = World(seed)
    world.add_provider(1)
    world.add_submitter()
    world.run_for(1)
    world.submit()
    stopped = world.submit(behaviour=Behaviour(run_ns=100 * NANOS_PER_SECOND))
    world.clockwork.at(world.clockwork.now_ns + 12 * NANOS_PER_SECOND, lambda: world.stop(stopped))
    return world


@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("point", POINTS)
def test_power_lost_at_a_point_loses_nothing(point: str, node: int) -> None:
    world = make_busy_market()
    world.machines[node].faults.crash_at.append(point)
    world.run_until_settled()
