"""Stake: OPENX that a provider stakes for one of its roles, and takes out again."""

from __future__ import annotations

from metering.units import Amount
from xnode.chain.contracts import provider_registry
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.intents.allowance import ensure_allowance
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def add_stake(session: WalletSession, intent: str, amount: Amount, role: Role = Role.PROVIDER) -> Sent:
    """Adds OPENX to the wallet's own stake for that role."""
    contracts = session.manifest.contracts
    await ensure_allowance(session, intent, contracts.openx_token, contracts.provider_registry, amount)
    data = provider_registry.STAKE_INTO.encode(session.address, int(role), amount)
    return await session.send(f"{intent}/stake", contracts.provider_registry, data)


async def start_unstake(session: WalletSession, intent: str, amount: Amount, role: Role = Role.PROVIDER) -> Sent:
    """Takes OPENX out of the stake; it can be withdrawn after the stake thaw."""
    data = provider_registry.START_UNSTAKE_FROM.encode(int(role), amount)
    return await session.send(intent, session.manifest.contracts.provider_registry, data)


async def withdraw_stake(session: WalletSession, intent: str, role: Role = Role.PROVIDER) -> Sent:
    """Pays what has thawed to the wallet."""
    data = provider_registry.WITHDRAW_STAKE_FROM.encode(int(role))
    return await session.send(intent, session.manifest.contracts.provider_registry, data)
