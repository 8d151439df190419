"""Verification: having capacity challenged, and being one of those who judge challenges."""

from __future__ import annotations

from collections.abc import Sequence

from metering.units import Amount
from xnode.chain.contracts import capacity_registry, verifier_registry
from xnode.chain.intents.allowance import ensure_allowance
from xnode.chain.intents.session import WalletSession
from xnode.ports.chain import Sent


async def request_challenge(
    session: WalletSession, intent: str, declared: Sequence[tuple[int, int]], price: Amount
) -> Sent:
    """Asks for a challenge of these devices, as (class id, count), for the registry's price."""
    contracts = session.manifest.contracts
    await ensure_allowance(session, intent, contracts.openx_token, contracts.capacity_registry, price)
    return await session.send(
        f"{intent}/request", contracts.capacity_registry, capacity_registry.make_request(declared)
    )


async def enlist(session: WalletSession, intent: str) -> Sent:
    """Makes this provider a verifier."""
    return await session.send(intent, session.manifest.contracts.verifier_registry, verifier_registry.ENLIST.encode())


async def leave_verifiers(session: WalletSession, intent: str) -> Sent:
    """Takes this provider off the list of verifiers."""
    return await session.send(intent, session.manifest.contracts.verifier_registry, verifier_registry.LEAVE.encode())


async def withdraw_verifier_fees(session: WalletSession, intent: str) -> Sent:
    """Pays this provider's fees for verdicts to its payout."""
    data = verifier_registry.WITHDRAW_FEES.encode(session.address)
    return await session.send(intent, session.manifest.contracts.verifier_registry, data)
