"""The submitter's compensations: what stake owes for broken promises is collected in its week, without anybody asking."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND
from xnode.node import changes, effects
from xnode.node.records import Compensation
from xnode.node.registry import handles, keep_time, on_failure, wakes
from xnode.node.state import Turn

MINUTE_NS = 60 * NANOS_PER_SECOND

EARLY_NS = MINUTE_NS
"""After the first second for it, by our clock: the chain's is behind by a block or two."""

RETRY_NS = 10 * MINUTE_NS
"""Pause before a collection that failed is tried again: what the contract would refuse costs nothing."""

REST_NS = 360 * MINUTE_NS
"""Pause before the rest of one that was paid in part: each costs gas, and a provider that freed its stake drop by drop would
have us pay for it 28 times at most."""

LATE_NS = 10 * MINUTE_NS
"""After its last second, by our clock: the chain's may be behind, and only the chain's counts."""


@handles(changes.CompensationSeen)
def on_compensation_seen(turn: Turn, change: changes.CompensationSeen) -> None:
    """Collect one that is new, or that a reorganisation brought back; one that is gone was paid, whoever asked for it."""
    known = turn.get(Compensation, change.lease_id)
    if not change.amount:
        if known is not None:
            _note_paid(turn, known)
        return
    if known is not None and known.payable_until_s == change.payable_until_s and not known.is_paid:
        if known.amount != change.amount:
            turn.put(known, amount=change.amount)
        return
    one = Compensation(change.lease_id, change.amount, change.payable_at_s, change.payable_until_s, wake_at_ns=None)
    if _end_of(one) > turn.at_ns:
        _collect(turn, one)


def _collect(turn: Turn, one: Compensation) -> None:
    """Ask the chain for it, as soon as it can be had."""
    begin_ns = one.payable_at_s * NANOS_PER_SECOND + EARLY_NS
    if turn.at_ns < begin_ns:
        turn.put(one, wake_at_ns=begin_ns)
        return
    # Each try is another transaction: what was sent in vain must not stand for what is to be sent.
    slot = turn.slot("compensate", one.lease_id, until_ns=_end_of(one), number=turn.at_ns)
    turn.emit(effects.CollectCompensation(one.lease_id, one.payable_until_s, *slot))
    turn.put(one, effect_id=slot.id, wake_at_ns=_end_of(one))


@handles(changes.CompensationCollected)
def on_compensation_collected(turn: Turn, change: changes.CompensationCollected) -> None:
    """All of it was paid, or what could be taken now."""
    known = turn.get(Compensation, change.lease_id)
    if known is None or known.payable_until_s != change.payable_until_s:
        return
    if not change.left:
        _note_paid(turn, known)
        return
    wake_at_ns = min(turn.at_ns + REST_NS, _end_of(known))
    turn.put(known, amount=change.left, effect_id="", problem="", wake_at_ns=wake_at_ns)


def _note_paid(turn: Turn, known: Compensation) -> None:
    if known.is_open:
        turn.put(known, is_paid=True, effect_id="", problem="", wake_at_ns=_end_of(known))


@on_failure(effects.CollectCompensation)
def on_collect_compensation_failed(turn: Turn, effect: effects.CollectCompensation, refusal: Refusal) -> None:
    """Tried again until it lapses."""
    known = turn.get(Compensation, effect.lease_id)
    if known is not None and known.effect_id == effect.id:
        wake_at_ns = min(turn.at_ns + RETRY_NS, _end_of(known))
        turn.put(known, effect_id="", problem=refusal.detail, wake_at_ns=wake_at_ns)


keep_time(Compensation, "the chain's clock says until when it can be collected, and it goes on without us")


@wakes(Compensation)
def on_compensation_woke(turn: Turn, one: Compensation) -> None:
    """Time to collect it, or it has lapsed, or was paid so long ago that no reorganisation brings it back."""
    if turn.at_ns >= _end_of(one):
        turn.archive(one, wake_at_ns=None, effect_id="")
    else:
        _collect(turn, one)


def _end_of(one: Compensation) -> int:
    return one.payable_until_s * NANOS_PER_SECOND + LATE_NS
