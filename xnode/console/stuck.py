"""Stuck reserves: money of this submitter that the chain should give back and that its node cannot ask for, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from metering.units import Address, Amount
from xnode.loop import Loop
from xnode.node.effects import slot_id_of
from xnode.node.records import SubmitterEscrow

MAX_ASSETS = 4
"""Named in the line; a node pays in one or two."""

GAS_HINT = "a node key without gas is sent some by `xnode pay gas`"


def find_stuck(loop: Loop, show: Callable[[int, Address], str]) -> str:
    """One line about reserves whose thaw or closing does not get to the chain, "" when there are none. show: an amount of an
    asset, with its symbol."""
    sums: Counter[Address] = Counter()
    reason = ""
    for escrow in loop.state.all(SubmitterEscrow):
        trouble = next((one for name in _ids_of(escrow) if (one := loop.trouble_of(name))), "")
        if trouble:
            reason = trouble
            sums[escrow.escrow.asset] += escrow.deposited - escrow.claimed
    if not reason:
        return ""
    amounts = [show(Amount(amount), asset) for asset, amount in sorted(sums.items())]
    more = f" and {len(amounts) - MAX_ASSETS} more assets" if len(amounts) > MAX_ASSETS else ""
    return (
        f"{', '.join(amounts[:MAX_ASSETS])}{more} reserved for providers that did not settle cannot be taken back: {reason};"
        f" {GAS_HINT}"
    )


def _ids_of(escrow: SubmitterEscrow) -> Iterator[str]:
    """The effects by which the chain is asked for the rest."""
    for name in ("thaw", "close"):
        yield f"{slot_id_of(name, escrow.escrow_id)}:{escrow.withdrawals}"
