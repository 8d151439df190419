"""Payments: a payer's deposit and who may use it, and what a provider is still owed."""

from __future__ import annotations

from metering.units import Address, Amount
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.deployment.manifest import Asset
from xnode.chain.intents.allowance import ensure_allowance, find_permit_domain, sign_permit
from xnode.chain.intents.session import WalletSession
from xnode.errors import ExitCode, UserError
from xnode.ports.chain import Sent
from xnode.text.hex import checksum_address


async def deposit(
    session: WalletSession, intent: str, asset: Asset, amount: Amount, payer: Address | None = None
) -> Sent:
    """Moves amount from the wallet to a payer's free balance (its own by default), by permit where the asset can."""
    held = await session.token_balance(asset.address, session.address)
    if held < amount:
        raise UserError(
            f"{checksum_address(session.address)} has {asset.show(held)}, the deposit takes {asset.show(amount)}",
            where="amount",
            hint=f"get {asset.symbol} first",
            code=ExitCode.FUNDS,
        )
    payer, escrow = payer or session.address, session.manifest.contracts.payment_escrow
    allowance = await session.rpc.view(asset.address, openx_token.ALLOWANCE, session.address, escrow)
    permit = await find_permit_domain(session, asset) if allowance < amount else None
    if permit is not None:
        signed = await sign_permit(session, permit, escrow, amount)
        data = payment_escrow.DEPOSIT_WITH_PERMIT.encode(payer, asset.address, amount, *signed)
    else:
        await ensure_allowance(session, intent, asset.address, escrow, amount)
        data = payment_escrow.DEPOSIT.encode(payer, asset.address, amount)
    return await session.send(f"{intent}/deposit", escrow, data)


async def withdraw(
    session: WalletSession, intent: str, asset: Asset, amount: Amount, to: Address | None = None
) -> Sent:
    """Pays amount of the wallet's free balance out, to itself by default."""
    data = payment_escrow.WITHDRAW.encode(asset.address, amount, to or session.address)
    return await session.send(intent, session.manifest.contracts.payment_escrow, data)


async def approve_opener(session: WalletSession, intent: str, opener: Address, asset: Asset, cap: Amount) -> Sent:
    """Lets a node open escrows for up to `cap` of the wallet's free balance; it replaces the cap before."""
    data = payment_escrow.APPROVE_OPENER.encode(opener, asset.address, cap)
    return await session.send(intent, session.manifest.contracts.payment_escrow, data)


async def withdraw_owed(session: WalletSession, intent: str, provider: Address, asset: Asset) -> Sent:
    """Pays a provider what a failed payout left owed."""
    data = payment_escrow.WITHDRAW_OWED.encode(provider, asset.address)
    return await session.send(intent, session.manifest.contracts.payment_escrow, data)


async def transfer(session: WalletSession, intent: str, asset: Asset, to: Address, amount: Amount) -> Sent:
    """Moves amount of an asset from the wallet to another address."""
    return await session.send(intent, asset.address, openx_token.TRANSFER.encode(to, amount))
