"""Allowance: lets a contract take an asset from the wallet, by an approval or by a signed permit."""

from __future__ import annotations

from metering.eip712 import Domain
from metering.units import Address, Amount
from xnode.chain.contracts import openx_token
from xnode.chain.deployment.manifest import Asset
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.answers import UnfitAnswer
from xnode.errors import Permanent

PERMIT_S = 3600
"""How long a permit is good: a stuck transaction must still find it so; it names one spender and one amount."""


async def ensure_allowance(
    session: WalletSession, intent: str, token: Address, spender: Address, amount: Amount
) -> None:
    """Approves the spender for the amount, unless it may take that much already."""
    allowance = await session.rpc.view(token, openx_token.ALLOWANCE, session.address, spender)
    if allowance >= amount:
        return
    if allowance:
        # Some tokens refuse to change an approval that is not zero.
        await session.send(f"{intent}/approve-zero", token, openx_token.APPROVE.encode(spender, 0))
    await session.send(f"{intent}/approve", token, openx_token.APPROVE.encode(spender, amount))


async def find_permit_domain(session: WalletSession, asset: Asset) -> Domain | None:
    """The domain in which the asset takes permits, when it has them and the wallet would sign in just that domain."""
    try:
        named = await session.rpc.view(asset.address, openx_token.EIP712_DOMAIN)
        domain = Domain(session.manifest.chain_id, asset.address, named.name, named.version)
        await session.rpc.view(asset.address, openx_token.NONCES, session.address)
        separator = await session.rpc.view(asset.address, openx_token.DOMAIN_SEPARATOR)
    except (Permanent, UnfitAnswer):
        return None  # an ordinary ERC-20
    return domain if separator == domain.separator() else None


async def sign_permit(
    session: WalletSession, domain: Domain, spender: Address, amount: Amount
) -> tuple[int, int, bytes, bytes]:
    """Deadline, v, r and s of a permit for the spender to take the amount once."""
    nonce = await session.rpc.view(domain.contract, openx_token.NONCES, session.address)
    deadline = await session.chain_time_s() + PERMIT_S
    permit = openx_token.Permit(session.address, spender, amount, nonce, deadline)
    signature = session.sign_typed(domain, "Permit", permit)
    return deadline, signature[64], signature[:32], signature[32:64]
