"""Payment: deposits, withdrawals and the node's cap, and what each came to."""

from __future__ import annotations

from typing import Any

import trio

from metering.units import Address, Amount
from xnode.chain.deployment.manifest import Asset
from xnode.chain.intents.payments import approve_opener, deposit, withdraw
from xnode.chain.intents.session import WalletSession
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.deployment import is_configured
from xnode.cli.access.gas import SUBMITTER_GAS_WEI, fill_gas, find_missing, send_gas
from xnode.cli.access.shortage import more_hint
from xnode.cli.node.setup import ensure_node_key, read_node_address
from xnode.cli.node.submitter_init import init_submitter
from xnode.cli.terminal.brief import brief_money
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import NATIVE_DECIMALS, format_amount, parse_amount, parse_wanted
from xnode.text.hex import to_hex


def deposit_for_jobs(access: Access, symbol: str, text: str, cap: str | None) -> dict[str, Any]:
    """Deposit, and let the node use up to the cap (None: all of the deposit)."""
    app = access.app
    if access.manifest_path and not is_configured(app):
        init_submitter(app, access.manifest_path, "", access.wallet)
        say(f"wrote {app.home.config}")
    asset = access.manifest.find_asset(symbol)
    amount = _parse_positive(text, asset, "AMOUNT")
    wanted_cap = parse_amount(cap, asset.decimals, where="--cap") if cap else None
    ensure_node_key(app.load_config())
    node = read_node_address(app.home)

    async def work(session: WalletSession) -> dict[str, Any]:
        await _require_held(session, asset, amount)
        before = await session.free_balance(session.address, asset.address)
        new_cap = wanted_cap if wanted_cap is not None else Amount(before + amount)
        say(f"depositing {asset.show(amount)}, of which this node may use {asset.show(new_cap)} ...")
        # Neither needs the other, so both can be in one block.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deposit, session, make_intent("deposit"), asset, amount)
            nursery.start_soon(approve_opener, session, make_intent("approve"), node, asset, new_cap)
        # What a provider that vanished leaves reserved is taken back by the node key.
        await fill_gas(session, node, SUBMITTER_GAS_WEI)
        return await _report(session, asset, node)

    return access.act(work)


def withdraw_free(access: Access, symbol: str, text: str) -> dict[str, Any]:
    """Pay free balance back to the wallet."""
    asset = access.manifest.find_asset(symbol)
    asked = parse_wanted(text, asset.decimals)

    async def work(session: WalletSession) -> dict[str, Any]:
        free = await session.free_balance(session.address, asset.address)
        amount = free if asked is None else asked
        if amount > free or not amount:
            back = "what is reserved for jobs comes back when they settle"
            raise UserError(
                f"only {asset.show(free)} are free" if free else f"no {asset.symbol} are free",
                where=to_hex(session.address),
                hint=f"xnode pay withdraw all --asset {asset.symbol}; {back}" if free else back,
                code=ExitCode.FUNDS,
            )
        say(f"withdrawing {asset.show(amount)} ...")
        await withdraw(session, make_intent("withdraw"), asset, amount)
        return await _report(session, asset, None)

    return access.act(work, leaves=True)


def approve_node(access: Access, symbol: str, text: str) -> dict[str, Any]:
    """Set what the node's key may still reserve."""
    asset = access.manifest.find_asset(symbol)
    cap = parse_amount(text, asset.decimals, where="CAP")
    node = read_node_address(access.app.home)

    async def work(session: WalletSession) -> dict[str, Any]:
        say(f"letting this node use {asset.show(cap)} ...")
        await approve_opener(session, make_intent("approve"), node, asset, cap)
        return await _report(session, asset, node)

    return access.act(work)


def send_node_gas(access: Access, text: str | None) -> dict[str, Any]:
    """Send the node key what it pays gas with. text: how much; None fills it up to what a submitter needs."""
    node = read_node_address(access.app.home)
    asked = parse_amount(text, NATIVE_DECIMALS, where="AMOUNT") if text else None
    if asked is not None and not asked:
        raise UserError("amount must be positive", where="AMOUNT")

    async def work(session: WalletSession) -> dict[str, Any]:
        wei = await find_missing(session, node, SUBMITTER_GAS_WEI) if asked is None else int(asked)
        if wei:
            await send_gas(session, node, wei)
        else:
            say("the node key has enough: name an amount to send it more")
        return {"node": to_hex(node), "for_gas": format_amount(await session.native_balance(node), NATIVE_DECIMALS)}

    return access.act(work)


def draw_done(screen: Screen, answer: dict[str, Any]) -> None:
    """Print what a payment came to."""
    amounts = {"deposited", "node_may_use", "for_gas"}
    screen.record(
        (name.replace("_", " "), brief_money(value) if name in amounts else value) for name, value in answer.items()
    )


def _parse_positive(text: str, asset: Asset, where: str) -> Amount:
    amount = parse_amount(text, asset.decimals, where=where)
    if not amount:
        raise UserError("amount must be positive", where=where)
    return amount


async def _require_held(session: WalletSession, asset: Asset, amount: Amount) -> None:
    held = await session.token_balance(asset.address, session.address)
    if amount > held:
        raise UserError(
            f"the wallet has {asset.show(held)}",
            where=to_hex(session.address),
            hint=f"deposit less, or {more_hint(session.manifest, asset.address, session.address)}",
            code=ExitCode.FUNDS,
        )


async def _report(session: WalletSession, asset: Asset, node: Address | None) -> dict[str, Any]:
    report = {
        "payer": to_hex(session.address),
        "asset": asset.symbol,
        "deposited": asset.format(await session.free_balance(session.address, asset.address)),
    }
    if node:
        cap = await session.opener_cap(session.address, node, asset.address)
        report |= {"node": to_hex(node), "node_may_use": asset.format(cap)}
    return report
