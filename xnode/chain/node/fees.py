"""Fees: what a transaction offers for its gas (EIP-1559), and how an offer is raised."""

from __future__ import annotations

from typing import Any, NamedTuple

GWEI = 10**9

FEE_HISTORY = ("eth_feeHistory", ("0x5", "latest", [50]))
"""The read that make_fees understands: five blocks and the median tip of each."""


class Fees(NamedTuple):
    """Wei per gas: the most paid in all, and the tip to the block's maker within it."""

    max_fee: int
    max_priority_fee: int


def make_fees(history: dict[str, Any], cap: int) -> Fees:
    """Twice the next base fee, which six full blocks in a row cannot outgrow, plus the median of the latest tips."""
    base = int(history["baseFeePerGas"][-1], 16)
    tips = sorted(int(block[0], 16) for block in history.get("reward") or [["0x0"]])
    tip = max(tips[len(tips) // 2], 1)
    max_fee = min(2 * base + tip, cap)
    return Fees(max_fee, min(tip, max_fee))


def raise_fees(before: Fees, market: Fees, cap: int) -> Fees | None:
    """The least that nodes take in place of `before` (an eighth more), at least the market's; None above the cap."""
    tip = max(before.max_priority_fee * 9 // 8 + 1, market.max_priority_fee)
    max_fee = max(before.max_fee * 9 // 8 + 1, market.max_fee, tip)
    return Fees(max_fee, tip) if max_fee <= cap else None
