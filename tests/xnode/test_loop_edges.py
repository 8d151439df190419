"""The real loop on a real store, given every change and every effect at the ends of their fields: it refuses, never ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from tests.make.edges import Edges
from tests.make.values import address_of
from tests.sim.test_strangers import KNOWN_HASHES, MOMENTS
from xnode.clock import SystemClock
from xnode.errors import Permanent
from xnode.loop import Loop
from xnode.node import changes, effects
from xnode.store.database import open_database
from xnode.store.journal import Journal, Loaded
from xnode.store.schema import EFFECT, JOURNAL, RECORD

DEADLINE_S = 20

EDGES = Edges([*KNOWN_HASHES[:6], *(address_of(number) for number in (0, 1, 500, 1001))])
CHANGES = [one for one in get_args(changes.Change) if one is not changes.NodeStarted]
"""A start that cannot be taken ends the node, and should."""

STATES = [state for provider, submitter, _ in MOMENTS for state in (provider, submitter)]


class FromMoment(Journal):
    """Loads a moment of a market instead of what was stored; stores for real."""

    loaded = Loaded(0, (), ())

    async def load(self) -> Loaded:
        return self.loaded

    async def load_stored(self) -> Loaded:
        """What the next start would find."""
        return await super().load()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FromMoment]:
    path: Path = tmp_path_factory.mktemp("edges") / "node.db"
    engine = open_database(f"sqlite:///{path}")
    yield FromMoment(engine)
    engine.dispose()


async def fail(effect: effects.DurableEffect) -> changes.Change:
    """No effect can be done, and each says so at length."""
    raise Permanent("x" * 100_000, code="y" * 1_000)


async def live(journal: FromMoment, told: list[changes.Change]) -> Loaded:
    """One life of a node that is told these changes; it must answer afterwards. Gives what it would load then."""
    with journal._engine.begin() as connection:
        for table in (JOURNAL, RECORD, EFFECT):
            connection.execute(delete(table))
    clock = SystemClock()
    loop = Loop(journal, clock, fail)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(DEADLINE_S):
            await nursery.start(loop.run)
            for change in told:
                await loop.tell(change)
            question = changes.LeaseAsked("", address_of(3), KNOWN_HASHES[0])  # type: ignore[arg-type]
            until_ns = clock.now_ns() + DEADLINE_S * 10**9
            reply = await loop.ask(lambda to: changes.LeaseAsked(to, question.caller, question.lease_id), until_ns)
        assert isinstance(reply, effects.ReplyRefusal)
        nursery.cancel_scope.cancel()
    return await journal.load_stored()


RELAXED = settings(
    deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: str(kind.__name__))
def test_no_change_at_the_ends_of_its_fields_ends_the_node(journal: FromMoment, kind: Any) -> None:
    @settings(RELAXED, max_examples=12)
    @given(told=st.lists(EDGES.of(kind), min_size=1, max_size=4), state=st.sampled_from(STATES))
    def check(told: list[changes.Change], state: Any) -> None:
        journal.loaded = Loaded(0, tuple(state.records()), ())
        trio.run(live, journal, told)

    check()


@pytest.mark.parametrize("kind", get_args(effects.DurableEffect), ids=lambda kind: str(kind.__name__))
def test_no_effect_at_the_ends_of_its_fields_ends_the_node(journal: FromMoment, kind: Any) -> None:
    @settings(RELAXED, max_examples=12)
    @given(effect=EDGES.of(kind), state=st.sampled_from(STATES))
    def check(effect: effects.DurableEffect, state: Any) -> None:
        journal.loaded = Loaded(1, tuple(state.records()), ((1, effect),))
        trio.run(live, journal, [])

    check()
