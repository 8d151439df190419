"""Nothing is left out: every change, alarm and failed effect has its one handler, registered beside what it decides."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.make.values import NOW_NS
from xnode.node import changes, effects
from xnode.node.leaving import STAYS, leavers
from xnode.node.records import Record
from xnode.node.registry import IGNORED_FAILURES, Registry, handles, ignore_failure, on_failure, wakes
from xnode.node.state import State
from xnode.node.step import step

ENTROPY = bytes(32)


def test_every_change_has_one_handler() -> None:
    assert handles.subjects() == set(get_args(changes.Change))


def test_every_record_that_can_wake_has_one_waker() -> None:
    assert wakes.subjects() == {one for one in get_args(Record) if "wake_at_ns" in one.__struct_fields__}


def test_every_durable_effect_says_what_follows_when_it_fails() -> None:
    assert on_failure.subjects() == set(get_args(effects.DurableEffect))


def test_every_record_leaves_the_state_once_it_is_over_or_says_what_bounds_it() -> None:
    assert leavers() | STAYS.keys() == set(get_args(Record)) and not leavers() & STAYS.keys()
    assert all(len(why.split()) > 3 for why in STAYS.values())


def test_an_ignored_failure_has_its_reason() -> None:
    assert IGNORED_FAILURES.keys() < on_failure.subjects()
    assert all(len(why.split()) > 3 for why in IGNORED_FAILURES.values())


def test_a_second_handler_for_the_same_thing_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="EffectDone has a handler already"):
        handles(changes.EffectDone)(lambda turn, change: None)
    with pytest.raises(AssertionError, match="PushNews has a handler already"):
        ignore_failure(effects.PushNews, "because it was said twice")


def test_looking_for_a_handler_that_is_not_there_is_a_bug() -> None:
    empty: Registry[[]] = Registry()
    with pytest.raises(KeyError):
        empty.find(changes.EffectDone())


def test_a_timer_of_a_record_that_is_gone_changes_nothing() -> None:
    for kind in ("held_quote", "no such kind"):
        turn = step(State(), changes.Entry(NOW_NS, ENTROPY, changes.Woke(kind, bytes(32))))
        assert (turn.effects, turn.touched) == ([], {})


def test_every_durable_effect_ends_in_its_slot_and_what_older_nodes_did_not_write() -> None:
    for effect in get_args(effects.DurableEffect):
        names = effect.__struct_fields__
        after = names.index("deadline_ns") + 1
        assert names[after - 3 : after] == effects.Slot._fields, effect.__name__
        assert len(names) - after <= len(effect.__struct_defaults__), effect.__name__
