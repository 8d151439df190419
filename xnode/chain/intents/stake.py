"""Stake: OPENX that a provider stakes as collateral, and takes out again."""

from __future__ import annotations

from metering.units import Amount
from xnode.chain.contracts import provider_registry
from xnode.chain.intents.allowance import ensure_allowance
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def add_stake(session: WalletSession, intent: str, amount: Amount) -> Sent:
    """Adds OPENX to the wallet's own stake."""
    contracts = session.manifest.contracts
    await ensure_allowance(session, intent, contracts.openx_token, contracts.provider_registry, amount)
    return await session.send(f"{intent}/stake", contracts.provider_registry, provider_registry.STAKE.encode(amount))


async def start_unstake(session: WalletSession, intent: str, amount: Amount) -> Sent:
    """Takes OPENX out of the stake; it can be withdrawn after the stake thaw."""
    data = provider_registry.START_UNSTAKE.encode(amount)
    return await session.send(intent, session.manifest.contracts.provider_registry, data)


async def withdraw_stake(session: WalletSession, intent: str) -> Sent:
    """Pays what has thawed to the wallet."""
    data = provider_registry.WITHDRAW_STAKE.encode()
    return await session.send(intent, session.manifest.contracts.provider_registry, data)
