"""Leaving: which records that are over leave the state, so that it holds what is live and the newest of what has ended.

The store keeps what has left, for reading. What is late for it is answered from there, or changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from xnode.node.records import (
    Compensation,
    HeldQuote,
    KnownPayer,
    NodeSettings,
    Numbers,
    Record,
    SilenceClaim,
    StandingOffer,
)
from xnode.node.state import State, Turn
from xnode.node.sums import Dealings, EarnedDay

KEPT_AT_HAND = 256
"""Of a kind, of what is over: late messages are mostly about these; some 5 MB of jobs and leases with all that is in them."""

SLACK = 32
"""So many go at once: to find the oldest, all are looked at."""

R = TypeVar("R", bound=Record)

OverSince = Callable[[State, R], int | None]
"""Since when (nanoseconds UTC) nothing more becomes of a record by itself; None while something may."""

PutAway = Callable[[Turn, R], None]


@dataclass(frozen=True, slots=True)
class _Rule:
    over_since: OverSince[Any]
    put_away: PutAway[Any]


_RULES: dict[type[Any], _Rule] = {}

STAYS: dict[type[Any], str] = {}
"""Records that never leave by their number, each with what bounds them."""


def put_away(turn: Turn, record: Any) -> None:
    """Archive it, its alarm off."""
    turn.archive(record, **({"wake_at_ns": None} if hasattr(record, "wake_at_ns") else {}))


def leaves(record_type: type[R], away: PutAway[R] = put_away) -> Callable[[OverSince[R]], OverSince[R]]:
    """@leaves(ProviderLease): since when such a record is over. away: what is done with one that leaves."""

    def register(over_since: OverSince[R]) -> OverSince[R]:
        assert record_type not in _RULES, f"{record_type.__name__} has a rule already"
        _RULES[record_type] = _Rule(over_since, away)
        return over_since

    return register


def stay(record_type: type[Any], why: str) -> None:
    """Say that such records do not leave by their number, and what bounds them."""
    STAYS[record_type] = why


def leavers() -> frozenset[type[Any]]:
    """The records that have a rule."""
    return frozenset(_RULES)


def let_go(before: State, turn: Turn) -> None:
    """Put away the oldest of each kind of which this turn has ended one."""
    for record_type in _find_ended(before, turn):
        _let_go_of(turn, record_type)


def let_all_go(turn: Turn) -> None:
    """Put away the oldest of every kind: a node of an older version kept all of them."""
    for record_type in _RULES:
        if turn.state.count(record_type) >= KEPT_AT_HAND + SLACK:
            _let_go_of(turn, record_type)


def _let_go_of(turn: Turn, record_type: type[Any]) -> None:
    rule = _RULES[record_type]
    since = [(rule.over_since(turn.state, one), one) for one in turn.state.all(record_type)]
    over = sorted(((at_ns, one.key, one) for at_ns, one in since if at_ns is not None), key=lambda row: row[:2])
    if len(over) < KEPT_AT_HAND + SLACK:
        return
    for _, _, one in over[: len(over) - KEPT_AT_HAND]:
        rule.put_away(turn, one)


def _find_ended(before: State, turn: Turn) -> list[type[Any]]:
    found: list[type[Any]] = []
    for record in turn.touched.values():
        record_type = type(record)
        rule = _RULES.get(record_type)
        if rule is None or record_type in found or turn.state.count(record_type) < KEPT_AT_HAND + SLACK:
            continue
        known = before.get(record_type, record.key)
        was_over = known is not None and rule.over_since(before, known) is not None
        if not was_over and rule.over_since(turn.state, record) is not None:
            found.append(record_type)
    return found


stay(NodeSettings, "there is only one of it")
stay(Numbers, "there is only one of it")
stay(StandingOffer, "there is only one of it")
stay(HeldQuote, "it expires, and holds capacity until then")
stay(KnownPayer, "a payer that has paid, bounded where it is noted in money.py")
stay(SilenceClaim, "its time to answer ends, within a day")
stay(Compensation, "it lapses on chain a week after it can be collected; only breaches that were proved make one")
stay(EarnedDay, "the last day of each asset: earned.py puts the others away")
stay(Dealings, "one of each node, bounded in experience.py")
