"""The provider's answers to claims of silence: which receipt shows that a lease is not silent, and when it is sent."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, PPM, mul_div_down
from xnode.node import changes, effects
from xnode.node.records import ProviderLease, SilenceClaim
from xnode.node.registry import handles, keep_time, on_failure, wakes
from xnode.node.state import Turn

RETRY_NS = 60 * NANOS_PER_SECOND
"""Pause before an answer that failed is sent again."""

LATE_NS = 600 * NANOS_PER_SECOND
"""After the last second for an answer, by our clock: the chain's may be behind, and only the chain's counts."""

ANSWER_LEAST_WEI = 10**15
"""What an answer may always cost in gas: a thousandth of a coin of 18 digits, some ten times what it takes on a quiet chain."""

OTHER_KEY = "another node key signed this lease: show its receipts by `xnode fault answer`"
"""What we sign anew would be no word of that key."""


@handles(changes.SilenceSeen)
def on_silence_seen(turn: Turn, change: changes.SilenceSeen) -> None:
    """Answer a claim that is new, or that a reorganisation brought back; one that is gone was answered, by whomever."""
    known = turn.get(SilenceClaim, change.lease_id)
    if not change.answer_until_s:
        if known is not None and turn.at_ns <= known.answer_until_s * NANOS_PER_SECOND:
            _note_answered(turn, known)
        return
    if known is not None and known.answer_until_s == change.answer_until_s and not known.is_answered:
        if known.number != change.number:
            # Somebody claimed with another receipt in its place. What is dated late enough is newer than either.
            turn.put(known, number=change.number)
        return
    lease = turn.get(ProviderLease, change.lease_id)
    claim = SilenceClaim(
        lease_id=change.lease_id,
        number=change.number,
        late_ns=change.late_ns,
        answer_until_s=change.answer_until_s,
        seen_at_ns=turn.at_ns,
        last=lease.last if lease is not None else change.last,
        node=change.node,
        wake_at_ns=None,
    )
    if _end_of(claim) > turn.at_ns:
        _answer(turn, turn.put(claim, wake_at_ns=_end_of(claim)))


def note_receipt(turn: Turn, lease: ProviderLease) -> None:
    """A lease has a new receipt: it may be the one that a claim waits for."""
    claim = turn.get(SilenceClaim, lease.lease_id)
    if claim is not None and claim.is_open:
        _answer(turn, turn.put(claim, last=lease.last))


def _answer(turn: Turn, claim: SilenceClaim) -> None:
    """Show the newest receipt, if it is an answer; else the next one is waited for."""
    if claim.effect_id or not claim.is_answered_by(claim.last):
        return
    if claim.node != turn.state.settings.node:
        turn.put(claim, problem=OTHER_KEY)
        return
    # Each try is another transaction: what was sent in vain must not stand for what is to be sent.
    slot = turn.slot("answer", claim.lease_id, until_ns=_end_of(claim), number=turn.at_ns)
    most_wei = _worth_wei_of(turn, claim)
    turn.emit(effects.ShowReceipt(claim.lease_id, claim.last, claim.answer_until_s, *slot, most_wei))
    turn.put(claim, effect_id=slot.id, wake_at_ns=_end_of(claim))


def _worth_wei_of(turn: Turn, claim: SilenceClaim) -> int:
    """What an answer may cost in gas: what would go back to the payer without it, a base unit taken for a wei."""
    lease = turn.get(ProviderLease, claim.lease_id)
    refund_ppm = lease.terms.refund_ppm if lease is not None else PPM
    return max(ANSWER_LEAST_WEI, mul_div_down(claim.last.cost, refund_ppm, PPM))


@handles(changes.SilenceAnswered)
def on_silence_answered(turn: Turn, change: changes.SilenceAnswered) -> None:
    """The chain has our answer."""
    claim = turn.get(SilenceClaim, change.lease_id)
    if claim is not None and claim.answer_until_s == change.answer_until_s:
        _note_answered(turn, claim)


def _note_answered(turn: Turn, claim: SilenceClaim) -> None:
    if claim.is_open:
        turn.put(claim, is_answered=True, effect_id="", problem="", wake_at_ns=_end_of(claim))


@on_failure(effects.ShowReceipt)
def on_answer_failed(turn: Turn, effect: effects.ShowReceipt, refusal: Refusal) -> None:
    """Tried again for as long as an answer counts."""
    claim = turn.get(SilenceClaim, effect.lease_id)
    if claim is not None and claim.effect_id == effect.id:
        wake_at_ns = min(turn.at_ns + RETRY_NS, _end_of(claim))
        turn.put(claim, effect_id="", problem=refusal.detail, wake_at_ns=wake_at_ns)


keep_time(SilenceClaim, "the chain's clock says until when an answer counts, and it goes on without us")


@wakes(SilenceClaim)
def on_claim_woke(turn: Turn, claim: SilenceClaim) -> None:
    """Time to try again, or it is over."""
    if turn.at_ns >= _end_of(claim):
        turn.archive(claim, wake_at_ns=None, effect_id="")
    else:
        _answer(turn, turn.put(claim, wake_at_ns=_end_of(claim)))


def _end_of(claim: SilenceClaim) -> int:
    return claim.answer_until_s * NANOS_PER_SECOND + LATE_NS
