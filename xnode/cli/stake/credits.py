"""`xnode provider mint` and `burn`, `xnode pay redeem`: making credits, giving them back, and the stake behind them."""

from __future__ import annotations

from typing import Any

import click

from metering.units import Address, Amount
from xnode.chain.abi.codec import to_hex
from xnode.chain.accounts import Credit, read_credit, read_stake
from xnode.chain.contracts import capacity_registry, compute_credit, openx_token
from xnode.chain.contracts.compute_credit import DECIMALS, UNIT, collateral_of
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.payer import Payer
from xnode.cli.access.deployment import run_async
from xnode.cli.access.owner import Owner, owner_options
from xnode.cli.access.purse import make_intent
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.money.payment import find_payer
from xnode.cli.money.wallet import find_address
from xnode.cli.terminal.brief import brief_date
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import format_amount, parse_amount

_asset_option = click.option("--asset", default="tCPU", show_default=True, help="Which credit: tGPU or tCPU.")


@click.command("mint")
@click.argument("amount", default="")
@_asset_option
@click.option("--to", "recipient", default="", help="Who gets them, by address or wallet.  [default: the provider]")
@owner_options
@output_option
@pass_app
def mint(app: App, /, amount: str, asset: str, recipient: str, screen: Screen, **options: Any) -> None:
    """Make AMOUNT of credits (or "all" that can be made); without it, show what can be made and why no more."""
    owner = Owner(app, **options)
    deployment = owner.find_deployment()
    manifest = deployment.manifest
    credit = find_credit(manifest, asset)

    async def look() -> dict[str, Any]:
        async with deployment.connect() as rpc:
            return await _report(rpc, manifest, credit, owner.find_address())

    async def work() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            to = find_address(app, recipient) if recipient else payer.address
            wanted = await _find_mintable(payer.rpc, manifest, credit, payer.address, amount)
            say(f"minting {_show(wanted, credit)} for {to_hex(to)} ...")
            await payer.mint(make_intent("mint"), credit, to, wanted)
            return await _report(payer.rpc, manifest, credit, payer.address)

    answer = run_async(work if amount else look)
    screen.show(answer, lambda: draw_credit(screen, answer))


@click.command("burn")
@click.argument("amount")
@_asset_option
@click.option("--at", "provider", default="", help="Whose promise it keeps.  [default: the wallet's own]")
@owner_options
@output_option
@pass_app
def burn(app: App, /, amount: str, asset: str, provider: str, screen: Screen, **options: Any) -> None:
    """Give back AMOUNT of the wallet's credits at a provider, which then owes that much less.

    This is how a provider that cannot serve what it sold buys its promise back, and frees its stake.
    """
    owner = Owner(app, **options)
    deployment = owner.find_deployment()
    credit = find_credit(deployment.manifest, asset)

    async def work() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            at = find_address(app, provider) if provider else payer.address
            wanted = await _find_held(payer, credit, amount)
            say(f"burning {_show(wanted, credit)} at {to_hex(at)} ...")
            await payer.burn_at(make_intent("burn"), credit, at, wanted)
            return await _report(payer.rpc, deployment.manifest, credit, at)

    answer = run_async(work)
    screen.show(answer, lambda: draw_credit(screen, answer))


@click.command("redeem")
@click.argument("provider")
@click.argument("amount")
@_asset_option
@owner_options
@output_option
@pass_app
def redeem(app: App, /, provider: str, amount: str, asset: str, screen: Screen, **options: Any) -> None:
    """Give up AMOUNT of the wallet's credits for the stake of PROVIDER, which minted and can serve no more."""
    owner = Owner(app, **{**options, "wallet": options["wallet"] or find_payer(app)})
    deployment = owner.find_deployment()
    credit, at = find_credit(deployment.manifest, asset), find_address(app, provider)

    async def work() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            wanted = await _find_redeemable(payer, credit, at, amount)
            token = deployment.manifest.contracts.openx_token
            before = await payer.rpc.view(token, openx_token.BALANCE_OF, payer.address)
            worth = await payer.rpc.view(credit.address, compute_credit.VALUE_OF, at, wanted)
            say(f"redeeming {_show(wanted, credit)} for {format_amount(worth, DECIMALS)} OPENX ...")
            await payer.redeem(make_intent("redeem"), credit, at, wanted)
            paid = await payer.rpc.view(token, openx_token.BALANCE_OF, payer.address) - before
            report = await _report(payer.rpc, deployment.manifest, credit, at)
            return {**report, "paid": format_amount(paid, DECIMALS)}

    answer = run_async(work)
    screen.show(answer, lambda: draw_credit(screen, answer))


def find_credit(manifest: Manifest, symbol: str) -> Asset:
    """The credit of that symbol. UserError when it is none."""
    asset = manifest.find_asset(symbol)
    if not manifest.is_credit(asset.address):
        known = ", ".join(one.symbol for one in manifest.credits)
        raise UserError(f"{asset.symbol} is no credit", where="--asset", hint=f"choose one of: {known}")
    return asset


def draw_credit(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a credit's report."""
    symbol = answer["asset"]
    screen.record(
        (
            ("provider", answer["provider"]),
            ("paid", f"{answer['paid']} OPENX" if "paid" in answer else ""),
            ("outstanding", f"{answer['outstanding']} {symbol}"),
            ("limit", f"{answer['limit']} {symbol}: verified capacity for {answer['window_hours']} hours"),
            (
                "cover",
                f"{answer['held']} of {answer['staked']} OPENX staked, {answer['collateral_ratio']} for each {symbol}",
            ),
            ("mintable", f"{answer['mintable']} {symbol}"),
            ("beyond capacity", f"{answer['shortfall']} {symbol}" if answer["shortfall"] != "0" else ""),
            ("defaulted", "yes: its credits can be redeemed for its stake" if answer["is_defaulted"] else ""),
        )
    )
    if answer["why"]:
        say(f"no more can be minted: {answer['why']}")


async def _report(rpc: JsonRpc, manifest: Manifest, credit: Asset, provider: Address) -> dict[str, Any]:
    found = await read_credit(rpc, credit, provider)
    stake = await read_stake(rpc, manifest, provider)
    return {
        "provider": to_hex(provider),
        "asset": credit.symbol,
        "outstanding": format_amount(found.outstanding, DECIMALS),
        "limit": format_amount(found.limit, DECIMALS),
        "mintable": format_amount(found.mintable, DECIMALS),
        "held": format_amount(stake.held, DECIMALS),
        "staked": format_amount(stake.details.staked, DECIMALS),
        "collateral_ratio": format_amount(found.collateral_ratio, DECIMALS),
        "window_hours": found.window_hours,
        "shortfall": format_amount(found.shortfall, DECIMALS),
        "is_defaulted": found.is_defaulted,
        "why": "" if found.mintable else _explain(found, UNIT, stake.can_leave),
    }


async def _find_mintable(rpc: JsonRpc, manifest: Manifest, credit: Asset, provider: Address, text: str) -> Amount:
    """The amount that the text asks for. UserError saying what is in the way of it."""
    found = await read_credit(rpc, credit, provider)
    wanted = found.mintable if text == "all" else parse_amount(text, DECIMALS, where="AMOUNT")
    if not wanted or wanted > found.mintable:
        stake = await read_stake(rpc, manifest, provider)
        raise UserError(
            _explain(found, max(wanted, 1), stake.can_leave) or "is zero", where="AMOUNT", code=ExitCode.REFUSED
        )
    return Amount(wanted)


def _explain(found: Credit, wanted: int, uncovered: int) -> str:
    """What keeps `wanted` from being minted. uncovered: OPENX of stake that nothing holds."""
    asset = found.asset
    if not found.limit:
        return "no verified capacity is in force; see `xnode provider capacity`"
    if wanted > found.limit - found.outstanding:
        room = max(0, found.limit - found.outstanding)
        return (
            f"verified capacity allows {_show(found.limit, asset)}, {_show(found.outstanding, asset)} are outstanding, "
            f"so at most {_show(room, asset)}; serve jobs paid in {asset.symbol}, or have more capacity verified"
        )
    needed = collateral_of(found.outstanding + wanted, found.collateral_ratio) - found.held
    if needed > uncovered:
        return (
            f"{format_amount(uncovered, DECIMALS)} OPENX of stake are free to cover it, {_show(wanted, asset)} take "
            f"{format_amount(needed, DECIMALS)}; xnode provider stake {format_amount(needed - uncovered, DECIMALS)}"
        )
    return ""


async def _find_held(payer: Payer, credit: Asset, text: str) -> Amount:
    """The amount that the text asks for, of what is in the wallet."""
    held = await payer.rpc.view(credit.address, openx_token.BALANCE_OF, payer.address)
    wanted = held if text == "all" else parse_amount(text, DECIMALS, where="AMOUNT")
    if not wanted or wanted > held:
        raise UserError(f"the wallet has {_show(held, credit)}", where=to_hex(payer.address), code=ExitCode.FUNDS)
    return Amount(wanted)


async def _find_redeemable(payer: Payer, credit: Asset, provider: Address, text: str) -> Amount:
    """The amount that the text asks for, of what is in the wallet and can be redeemed from a provider that defaulted."""
    found = await read_credit(payer.rpc, credit, provider)
    if not found.is_defaulted:
        raise await _explain_grace(payer, credit, provider, found)
    wanted = await _find_held(payer, credit, text)
    if wanted > found.shortfall:
        if text == "all":
            return Amount(found.shortfall)
        raise UserError(
            f"only {_show(found.shortfall, credit)} are more than it can serve",
            where=to_hex(provider),
            hint="name less",
        )
    return wanted


async def _explain_grace(payer: Payer, credit: Asset, provider: Address, found: Credit) -> UserError:
    """Why nothing can be redeemed yet; the provider's grace has begun when this returns."""
    if not found.shortfall:
        hint = "spend the credits on jobs"
        return UserError("can serve all it sold", where=to_hex(provider), hint=hint, code=ExitCode.REFUSED)
    registry = payer.manifest.contracts.capacity_registry
    lapsed_s = await payer.rpc.view(registry, capacity_registry.LAPSED_SINCE, provider)
    since_s, _ = await payer.rpc.view(credit.address, compute_credit.SHORTAGE_OF, provider)
    if not since_s and not lapsed_s:
        say("noting that its capacity is too small for what it sold ...")
        await payer.note_shortage(make_intent("shortage"), credit, provider)
        since_s, _ = await payer.rpc.view(credit.address, compute_credit.SHORTAGE_OF, provider)
    grace_s = await payer.rpc.view(credit.address, compute_credit.DEFAULT_GRACE)
    due = brief_date((min(filter(None, (since_s, lapsed_s)), default=0) + grace_s + 1) * 10**9)
    return UserError(
        f"cannot serve {_show(found.shortfall, credit)} of what it sold, and has until {due} to mend that",
        where=to_hex(provider),
        hint="spend the credits elsewhere, or come back then",
        code=ExitCode.REFUSED,
    )


def _show(amount: int, asset: Asset) -> str:
    return format_amount(amount, DECIMALS, asset.symbol)
