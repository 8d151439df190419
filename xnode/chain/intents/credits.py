"""Credits: minting tGPU and tCPU, giving them back, and redeeming them for a defaulted provider's stake."""

from __future__ import annotations

from metering.units import Address, Amount
from xnode.chain.contracts import compute_credit
from xnode.chain.deployment.manifest import Asset
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def mint(session: WalletSession, intent: str, credit: Asset, to: Address, amount: Amount) -> Sent:
    """Makes credits against this provider's verified capacity and stake."""
    return await session.send(intent, credit.address, compute_credit.MINT.encode(to, amount))


async def burn_at(session: WalletSession, intent: str, credit: Asset, provider: Address, amount: Amount) -> Sent:
    """Gives credits of the wallet back at a provider, which owes that much less."""
    return await session.send(intent, credit.address, compute_credit.BURN_AT.encode(provider, amount))


async def redeem(session: WalletSession, intent: str, credit: Asset, provider: Address, amount: Amount) -> Sent:
    """Gives credits of the wallet up for a defaulted provider's stake."""
    return await session.send(intent, credit.address, compute_credit.REDEEM.encode(provider, amount))
