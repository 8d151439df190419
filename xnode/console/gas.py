"""Gas: what the node key can still pay for, as a view and in words."""

from __future__ import annotations

from xnode.control.views import Gas
from xnode.node.provider.quote import TRANSACTIONS
from xnode.ports.chain import Fuel
from xnode.text.amount import NATIVE_DECIMALS, brief_amount, format_amount

LOW_TRANSACTIONS = 20
"""Below this a person should send some: ten more leases, an afternoon of a busy provider."""


def make_gas(fuel: Fuel | None) -> Gas | None:
    """The view; None before the chain has told."""
    if fuel is None:
        return None
    return Gas(str(fuel.wei), fuel.transactions, fuel.transactions < LOW_TRANSACTIONS)


def is_empty(fuel: Fuel) -> bool:
    """True when no lease could be opened and claimed."""
    return fuel.transactions < TRANSACTIONS


def describe_empty(fuel: Fuel) -> str:
    """What that means, and what to do."""
    coins = brief_amount(format_amount(fuel.wei, NATIVE_DECIMALS))
    return (
        f"the node key has {coins} of the chain's coin, enough for about {fuel.transactions} transactions:"
        " no new leases are taken until it is sent some"
    )
