"""Compensations: what stake owes this submitter for broken promises, in words: what is awaited, and what does not come."""

from __future__ import annotations

from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND
from xnode.loop import Loop
from xnode.node.records import Compensation
from xnode.ports.clock import Clock
from xnode.text.amount import format_openx

MINUTE_NS = 60 * NANOS_PER_SECOND

PATIENCE_NS = 60 * MINUTE_NS
"""A collection that takes no longer is on its way."""

BY_HAND = "send the node key gas by `xnode pay gas`, or collect it by `xnode pay refund`, which any wallet may"


def find_uncollected(loop: Loop, clock: Clock) -> str:
    """One line about the compensations that could be collected and are not, "" when all is well."""
    now_ns, rows = clock.now_ns(), []
    for one in loop.state.all(Compensation):
        if one.is_open and (reason := _find_trouble(loop, one, now_ns)):
            rows.append((one.payable_until_s, one.lease_id, int(one.amount), reason))
    if not rows:
        return ""
    until_s, lease_id, _, reason = min(rows)
    what = (
        f"{format_openx(sum(row[2] for row in rows))} owed out of stake for broken promises{_name(lease_id, len(rows))}"
    )
    left = _say(until_s * NANOS_PER_SECOND - now_ns)
    return f"{what} is not collected, and lapses in {left}: {reason}; {BY_HAND}"


def describe_awaited(loop: Loop, clock: Clock, *, has_gas: bool) -> str:
    """One line about the compensations that cannot be collected yet, "" when there are none."""
    now_ns = clock.now_ns()
    waits = [
        one for one in loop.state.all(Compensation) if one.is_open and one.payable_at_s * NANOS_PER_SECOND > now_ns
    ]
    if not waits:
        return ""
    first = min(waits, key=lambda one: (one.payable_at_s, one.lease_id))
    since, until = (_say(at_s * NANOS_PER_SECOND - now_ns) for at_s in (first.payable_at_s, first.payable_until_s))
    amount, name = format_openx(sum(int(one.amount) for one in waits)), _name(first.lease_id, len(waits))
    what = f"{amount} comes out of stake for broken promises{name}"
    if has_gas:
        return f"{what}: this node collects it between {since} and {until} from now"
    return f"{what} between {since} and {until} from now, and the node key has no gas to collect it: {BY_HAND}"


def _name(lease_id: bytes, count: int) -> str:
    return f" (lease 0x{lease_id.hex()[:16]}{f' and {count - 1} more' if count > 1 else ''})"


def _say(left_ns: int) -> str:
    return say_duration(max(0, left_ns) // MINUTE_NS * MINUTE_NS)


def _find_trouble(loop: Loop, one: Compensation, now_ns: int) -> str:
    since_ns = now_ns - one.payable_at_s * NANOS_PER_SECOND
    if since_ns < 0:
        return ""
    reason = one.problem or loop.trouble_of(one.effect_id)
    if reason or since_ns < PATIENCE_NS:
        return reason
    return "its transaction is not mined" if one.effect_id else "what is left of the stake cannot be taken now"
