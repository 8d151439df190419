"""Silences: claims against this provider that no answer has reached, in words."""

from __future__ import annotations

from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND
from xnode.loop import Loop
from xnode.node.records import SilenceClaim
from xnode.ports.clock import Clock

MINUTE_NS = 60 * NANOS_PER_SECOND

PATIENCE_NS = 10 * MINUTE_NS
"""An answer that takes no longer is on its way: a receipt is waited for, blocks are."""


def find_unanswered(loop: Loop, clock: Clock) -> str:
    """One line about the claims whose answer is in trouble, "" when all is well."""
    now_ns = clock.now_ns()
    rows = []
    for claim in loop.state.all(SilenceClaim):
        if claim.is_open and (reason := _find_trouble(loop, claim, now_ns)):
            rows.append((claim.answer_until_s * NANOS_PER_SECOND - now_ns, claim.lease_id, reason))
    if not rows:
        return ""
    left_ns, lease_id, reason = min(rows)
    left = say_duration(max(0, left_ns) // MINUTE_NS * MINUTE_NS)
    others = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return (
        f"somebody claims that lease 0x{lease_id.hex()[:16]} is silent{others}, and the answer is not on chain; unless it is in"
        f" {left}, a part of what it cost goes back to its payer: {reason}"
    )


def _find_trouble(loop: Loop, claim: SilenceClaim, now_ns: int) -> str:
    reason = claim.problem or loop.trouble_of(claim.effect_id)
    if reason or now_ns - claim.seen_at_ns < PATIENCE_NS:
        return reason
    return "its transaction is not mined" if claim.effect_id else "no receipt of it is new enough yet"
