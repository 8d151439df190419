"""Call: one request to a peer and its answer, with the usual deadline, refusals made errors."""

from __future__ import annotations

from typing import TypeVar

from metering.codec import decode_strict
from metering.refusal import Refusal
from metering.units import Hash32
from xnode.errors import Permanent, Retryable
from xnode.node import changes, effects
from xnode.ports.clock import Clock
from xnode.ports.net import Net, Peer, RpcRefused
from xnode.text.told import MAX_CODE_CHARS, cut_told

CALL_NS = 10_000_000_000
"""How long one call to a peer may take: a round trip around the world, a commit and a signature, with room to spare."""

EXIT_CODES = range(256)
"""A process has no others."""

T = TypeVar("T")


async def call(net: Net, clock: Clock, peer: Peer, method: str, body: bytes) -> bytes:
    """One call with the usual deadline; a peer's refusal becomes Permanent with its code."""
    try:
        return await net.call(peer, method, body, clock.now_ns() + CALL_NS)
    except RpcRefused as refused:
        refusal = read_answer(refused.body, Refusal)
        if refusal.code == "busy":
            # The peer could not decide in time: that is not an answer, and least of all a refusal.
            raise Retryable(cut_told(refusal.detail)) from None
        raise Permanent(cut_told(refusal.detail), code=cut_told(refusal.code, MAX_CODE_CHARS)) from None


def read_answer(body: bytes, kind: type[T]) -> T:
    """A peer's answer. Raises Permanent when it is not what the protocol says."""
    try:
        return decode_strict(body, kind)
    except ValueError as error:
        raise Permanent(f"the peer's answer is malformed: {error}", code="malformed_answer") from error


def make_news(reply_to: str, caller: bytes, report: effects.LeaseReport) -> changes.LeaseNews:
    """What a provider says of a lease, as a change."""
    return changes.LeaseNews(
        reply_to,
        caller,  # type: ignore[arg-type]
        Hash32(report.lease_id),
        report.status,
        report.end_reason,
        cut_told(report.end_detail),
        report.exit_code if report.exit_code in EXIT_CODES else None,
        report.outputs,
        cut_told(report.end_code, MAX_CODE_CHARS),
        report.left,
    )
