"""Step: (state, entry) -> (state, effects): the one place where a change meets its handler."""

from __future__ import annotations

from metering.refusal import Refusal
from xnode.node import changes, provider, sides, submitter
from xnode.node.leaving import let_go
from xnode.node.registry import handles, on_failure, wakes
from xnode.node.state import State, Turn

HALVES = (provider, sides, submitter)
"""Imported for the handlers that they register."""


def step(state: State, entry: changes.Entry) -> Turn:
    """The turn that the entry makes of the state: its next state, touched records and effects. Never raises for what
    another party sent."""
    turn = Turn(state, entry.at_ns, entry.entropy)
    handles.find(entry.change)(turn, entry.change)
    let_go(state, turn)
    return turn


@handles(changes.Woke)
def _on_woke(turn: Turn, change: changes.Woke) -> None:
    record = turn.state.get_of_kind(change.kind, change.key)
    wake_at_ns: int | None = getattr(record, "wake_at_ns", None)
    # A timer that fires for a record since changed is late news.
    if record is not None and wake_at_ns is not None and wake_at_ns <= turn.at_ns:
        wakes.find(record)(turn, record)


@handles(changes.EffectFailed)
def _on_effect_failed(turn: Turn, change: changes.EffectFailed) -> None:
    on_failure.find(change.effect)(turn, change.effect, Refusal(change.code, change.detail))


@handles(changes.EffectDone)
def _on_effect_done(_turn: Turn, _change: changes.EffectDone) -> None:
    """There is nothing more to tell."""
