"""Weather: random faults for a while, all drawn from the world's own entropy; then the sky clears and everything must settle."""

from __future__ import annotations

from collections.abc import Callable

from metering.units import NANOS_PER_SECOND
from tests.sim.containers import Behaviour
from tests.sim.machine import Machine
from tests.sim.world import World

SECOND = NANOS_PER_SECOND
STORM_NS = 120 * SECOND


def make_stormy_world(seed: int) -> World:
    """One to three providers, one or two submitters, one to four jobs, and everything that can go wrong for two minutes."""
    world = World(seed)
    entropy = world.entropy
    for number in range(1, entropy.randint(2, 4)):
        world.add_provider(number, interval_ns=entropy.choice((2, 5, 10)) * SECOND)
    submitters = [0] if entropy.randrange(3) else [0, 8]
    for number in submitters:
        world.add_submitter(number, silence_ns=entropy.choice((15, 40)) * SECOND)
    world.run_for(1)
    for _ in range(entropy.randint(1, 4)):
        _plan_job(world, entropy.choice(submitters))
    _plan_storm(world)
    return world


def _plan_job(world: World, submitter: int) -> None:
    entropy = world.entropy
    behaviour = Behaviour(
        run_ns=entropy.randint(1, 60) * SECOND,
        exit_code=entropy.choice((0, 0, 0, 1)),
        load_milli=entropy.randint(0, 1000),
        memory_hit_ns=entropy.choice((0, 0, 0, 9 * SECOND)),
        vanish_ns=entropy.choice((0, 0, 0, 0, 12 * SECOND)),
        image_is_missing=entropy.randrange(12) == 0,
        start_fails=entropy.randrange(12) == 0,
    )
    limit_ns = entropy.choice((20, 60, 600)) * SECOND

    def submit() -> None:
        job_hash = world.submit(submitter, behaviour, duration_limit_ns=limit_ns)
        if entropy.randrange(4) == 0:
            _at(world, entropy.randint(0, 40 * SECOND), lambda: world.stop(job_hash, submitter))

    _at(world, entropy.randint(0, 30 * SECOND), submit)


def _plan_storm(world: World) -> None:
    entropy, network, chain = world.entropy, world.network, world.chain
    network.loss, network.duplicates = entropy.choice((0, 2, 10, 30)), entropy.choice((0, 5, 30))
    network.latency_ns = (1_000_000, entropy.choice((5, 40, 400, 2_000)) * 1_000_000)
    for machine in world.machines.values():
        for _ in range(entropy.randint(0, 3)):
            _at(world, entropy.randint(0, STORM_NS), _make_crash(world, machine))
        for _ in range(entropy.randint(0, 1)):
            _plan_span(world, 10, lambda is_on, disk=machine.disk: setattr(disk, "is_full", is_on))  # type: ignore[misc]
    for _ in range(entropy.randint(0, 3)):
        ends = frozenset(entropy.sample([machine.address for machine in world.machines.values()], 2))
        cut = lambda is_on, ends=ends: (network.cut.add if is_on else network.cut.discard)(ends)  # noqa: E731
        _plan_span(world, 60, cut)
    for _ in range(entropy.randint(0, 2)):
        _plan_span(world, 40, lambda is_on: setattr(chain, "is_down", is_on))
    if entropy.randrange(4) == 0:
        _plan_span(world, 120, lambda is_on: setattr(chain, "holds_openings", is_on))
    _at(world, STORM_NS, lambda: _clear_up(world))


def _make_crash(world: World, machine: Machine) -> Callable[[], None]:
    def crash() -> None:
        machine.faults.down_ns = world.entropy.choice((1, 3, 20, 60)) * SECOND
        machine.crash()

    return crash


def _plan_span(world: World, most_s: int, switch: Callable[[bool], object]) -> None:
    begin_ns = world.entropy.randint(0, STORM_NS)
    _at(world, begin_ns, lambda: switch(True))
    _at(world, begin_ns + world.entropy.randint(1, most_s * SECOND), lambda: switch(False))


def _clear_up(world: World) -> None:
    world.network.loss = world.network.duplicates = 0


def _at(world: World, after_ns: int, call: Callable[[], object]) -> None:
    world.clockwork.at(world.clockwork.now_ns + after_ns, lambda: void(call()))


def void(_result: object) -> None:
    """Nothing is made of it."""
