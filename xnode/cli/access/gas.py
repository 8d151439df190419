"""Gas: the node key is sent what it pays its transactions with."""

from __future__ import annotations

from metering.units import Address
from xnode.chain.intents.session import WalletSession
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import make_intent
from xnode.cli.terminal.screen import say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import NATIVE_DECIMALS, format_amount
from xnode.text.hex import to_hex

SUBMITTER_GAS_WEI = 10**16
"""What a submitter's node key is filled up to: it only takes back what a provider that vanished left reserved."""

LOW_PART = 5
"""Nothing is sent while there is more than one part in so many."""


async def fill_gas(session: WalletSession, node: Address, full_wei: int) -> None:
    """The node pays with its own key; where the wallet has too little, say what to send."""
    missing = await find_missing(session, node, full_wei)
    if not missing:
        return
    if await session.native_balance(session.address) < 2 * missing:
        say(f"send the node key {to_hex(node)} about {format_amount(missing, NATIVE_DECIMALS)} to pay gas with")
        return
    await send_gas(session, node, missing)


async def find_missing(reads: ChainReads, node: Address, full_wei: int) -> int:
    """How much fills it up, in wei; 0 while it has enough."""
    has = await reads.native_balance(node)
    return full_wei - has if has < full_wei // LOW_PART else 0


async def send_gas(session: WalletSession, node: Address, wei: int) -> None:
    """Raises UserError where the wallet has no more than that."""
    has, text = await session.native_balance(session.address), format_amount(wei, NATIVE_DECIMALS)
    if has <= wei:
        raise UserError(
            f"the wallet has {format_amount(has, NATIVE_DECIMALS)} of the chain's native token",
            where=to_hex(session.address),
            hint=f"name less, or send {to_hex(node)} some of it from another wallet",
            code=ExitCode.FUNDS,
        )
    say(f"sending the node key {text} to pay gas with ...")
    await session.send_native(make_intent("gas"), node, wei)
