"""Fees: what a transaction offers for its gas (EIP-1559), and how an offer is raised."""

from __future__ import annotations

from typing import NamedTuple

from xnode.chain.node.answers import FeeHistory, UnfitAnswer
from xnode.chain.node.json_rpc import JsonRpc, NodeRefused
from xnode.chain.node.questions import ask_fees, ask_gas_price
from xnode.errors import Retryable

GWEI = 10**9


class Fees(NamedTuple):
    """Wei per gas: the most paid in all, and the tip to the block's maker within it."""

    max_fee: int
    max_priority_fee: int


async def read_fees(rpc: JsonRpc, cap: int) -> Fees:
    """What is to be offered now; by the gas price alone where a node gives no fee history."""
    try:
        return make_fees(await rpc.ask(ask_fees()), cap)
    except (NodeRefused, UnfitAnswer):
        price = await rpc.ask(ask_gas_price())
        return make_fees(FeeHistory(price, ()), cap)


def make_fees(history: FeeHistory, cap: int) -> Fees:
    """Twice the next base fee, which six full blocks in a row cannot outgrow, plus the median of the latest tips."""
    tips = sorted(history.tips or (0,))
    tip = max(tips[len(tips) // 2], 1)
    max_fee = min(2 * history.base_fee + tip, cap)
    return Fees(max_fee, min(tip, max_fee))


def raise_fees(before: Fees, market: Fees, cap: int) -> Fees | None:
    """The least that nodes take in place of `before` (an eighth more), at least the market's; None above the cap."""
    tip = max(before.max_priority_fee * 9 // 8 + 1, market.max_priority_fee)
    max_fee = max(before.max_fee * 9 // 8 + 1, market.max_fee, tip)
    return Fees(max_fee, tip) if max_fee <= cap else None


def bound_fees(fees: Fees, gas: int, most_wei: int) -> Fees:
    """Fees that keep to what so much gas may cost, 0 for no limit. Raises Retryable when no block would take it for that."""
    if not most_wei:
        return fees
    base, most = (fees.max_fee - fees.max_priority_fee) // 2, most_wei // gas
    if most <= base:
        raise Retryable(
            f"a transaction would cost {gas * base} wei, which is more than the {most_wei} that it is worth",
            hint="it is sent when gas is cheaper",
        )
    max_fee = min(fees.max_fee, most)
    return Fees(max_fee, min(fees.max_priority_fee, max_fee))
