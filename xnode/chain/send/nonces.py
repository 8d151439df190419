"""Nonces: which one a transaction takes, and how those are reached that the chain would never come to.

A chain node is believed about other programs that use our key, but one wrong count must not stop the key for good.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from xnode.chain.node.answers import UnfitAnswer

MAX_POOLED = 64
"""Unmined transactions of one account: nodes hold no more, so a count further ahead is no count."""


def choose_nonce(own: int, mined: int, pending: int) -> int:
    """The nonce of a new transaction. own: the first above all that we have used; mined, pending: the account's counts as
    the chain node says them. Raises UnfitAnswer when these cannot both be true."""
    if pending > max(own, mined) + MAX_POOLED:
        raise UnfitAnswer(
            f"the chain node counts {pending} transactions of this key, and {mined} that are mined",
            hint="look at what it serves, and at chain.rpc_url",
        )
    return max(own, pending)


def list_fillers(count: int, waiting: Sequence[int], known: Collection[int]) -> tuple[int, ...]:
    """The nonces of empty transactions that let the chain go on from its count to the first of ours that wait; () when
    there is no hole, or too wide a one: see list_moves. known: nonces that a transaction of ours holds already."""
    first = min(waiting, default=count)
    if not count < first <= count + MAX_POOLED:
        return ()
    return tuple(nonce for nonce in range(count, first) if nonce not in known)


def list_moves(count: int, waiting: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(nonce, its new one) of ours that wait behind a hole that is too wide to fill, in order: what waits there is never
    mined, so that it cannot happen twice."""
    if min(waiting, default=count) <= count + MAX_POOLED:
        return ()
    return tuple(zip(sorted(waiting), range(count, count + len(waiting)), strict=True))
