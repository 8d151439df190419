"""`xnode provider mint` and `burn`, `xnode pay redeem`: making credits, giving them back, and the stake behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from metering.units import Address, Amount
from xnode.chain.contracts import capacity_registry, compute_credit
from xnode.chain.contracts.compute_credit import added_collateral
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.intents.credits import burn_at
from xnode.chain.intents.credits import mint as send_mint
from xnode.chain.intents.credits import redeem as send_redeem
from xnode.chain.intents.session import WalletSession
from xnode.chain.provider_record import Credit, read_credit, read_stake
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.keys import find_address
from xnode.cli.access.options import owner_options, payer_options
from xnode.cli.access.shortage import find_more
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_date, brief_money
from xnode.cli.terminal.given import GivenText
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX, OPENX_DECIMALS, format_amount, format_openx, parse_wanted
from xnode.text.hex import to_hex

_asset_option = click.option("--asset", default="tCPU", show_default=True, help="Which credit: tGPU or tCPU.")


@click.command("mint")
@click.argument("amount", type=GivenText(), required=False)
@_asset_option
@click.option(
    "--to", "recipient", type=GivenText(), help="Who gets them, by address or wallet.  [default: the provider]"
)
@owner_options
@output_option
@pass_app
def mint(app: App, /, amount: str | None, asset: str, recipient: str | None, screen: Screen, **options: Any) -> None:
    """Mint credits against verified capacity and stake.

    AMOUNT may be "all" that can be minted; without it, shows how much that is, and why no more.
    """
    access = Access.of_owner(app, **options)
    credit = find_credit(access.manifest, asset)
    asked = parse_wanted(amount, credit.decimals) if amount else None
    named = find_address(app, recipient) if recipient else None

    async def work(session: WalletSession) -> dict[str, Any]:
        to = named or session.address
        wanted = await _find_mintable(session, credit, session.address, asked)
        say(f"minting {credit.show(wanted)} for {to_hex(to)} ...")
        await send_mint(session, make_intent("mint"), credit, to, wanted)
        return await _report(session, credit, session.address)

    answer = access.act(work) if amount else access.look(lambda reads: _report(reads, credit, access.address))
    screen.show(answer, lambda: draw_credit(screen, answer))


@click.command("burn")
@click.argument("amount")
@_asset_option
@click.option("--at", "provider", type=GivenText(), help="Whose promise it keeps.  [default: the wallet's own]")
@owner_options
@output_option
@pass_app
def burn(app: App, /, amount: str, asset: str, provider: str | None, screen: Screen, **options: Any) -> None:
    """Give credits back to a provider, which then owes that much less.

    A provider that cannot honour the credits it sold can buy them back, and frees its stake so.
    """
    access = Access.of_owner(app, **options)
    credit = find_credit(access.manifest, asset)
    asked, named = parse_wanted(amount, credit.decimals), find_address(app, provider) if provider else None

    async def work(session: WalletSession) -> dict[str, Any]:
        at = named or session.address
        owed = await _find_owed(session, credit, at, is_own=at == session.address)
        wanted = await _find_held(session, credit, asked)
        if at != session.address and wanted > owed:
            raise UserError(
                f"owes only {credit.show(owed)}: what is burned beyond that is lost to you",
                where=to_hex(at),
                hint="name less",
                code=ExitCode.REFUSED,
            )
        say(f"burning {credit.show(wanted)} at {to_hex(at)} ...")
        await burn_at(session, make_intent("burn"), credit, at, wanted)
        return await _report(session, credit, at)

    answer = access.act(work)
    screen.show(answer, lambda: draw_credit(screen, answer))


@click.command("redeem")
@click.argument("provider")
@click.argument("amount")
@_asset_option
@payer_options
@output_option
@pass_app
def redeem(app: App, /, provider: str, amount: str, asset: str, screen: Screen, **options: Any) -> None:
    """Give credits up for the stake of a provider that defaulted.

    AMOUNT of the wallet's credits; PROVIDER minted them and cannot serve them.
    """
    access = Access.of_payer(app, **options)
    credit, at = find_credit(access.manifest, asset), find_address(app, provider)
    asked = parse_wanted(amount, credit.decimals)

    async def work(session: WalletSession) -> dict[str, Any]:
        wanted = await _find_redeemable(session, credit, at, asked)
        before = await session.openx_balance(session.address)
        worth = await session.rpc.view(credit.address, compute_credit.VALUE_OF, at, wanted)
        say(f"redeeming {credit.show(wanted)} for {format_openx(worth)} ...")
        await send_redeem(session, make_intent("redeem"), credit, at, wanted)
        paid = await session.openx_balance(session.address) - before
        return {**await _report(session, credit, at), "paid": format_amount(paid, OPENX_DECIMALS)}

    answer = access.act(work)
    screen.show(answer, lambda: draw_credit(screen, answer))


def find_credit(manifest: Manifest, symbol: str) -> Asset:
    """The credit of that symbol. UserError when it is none."""
    asset = manifest.find_asset(symbol)
    if not manifest.is_credit(asset.address):
        known = ", ".join(one.symbol for one in manifest.credits)
        raise UserError(f"{asset.symbol} is not a credit", where="--asset", hint=f"choose one of: {known}")
    return asset


def draw_credit(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a credit's report."""
    symbol = answer["asset"]
    screen.record(
        (
            ("provider", answer["provider"]),
            ("paid", brief_money(answer["paid"], "OPENX") if "paid" in answer else ""),
            ("outstanding", brief_money(answer["outstanding"], symbol)),
            ("limit", f"{brief_money(answer['limit'], symbol)}: verified capacity for {answer['window_hours']} hours"),
            (
                "collateral",
                f"{brief_money(answer['held'])} of {brief_money(answer['staked'])} OPENX staked, "
                f"{answer['collateral_ratio']} for each new {symbol}",
            ),
            ("mintable", brief_money(answer["mintable"], symbol)),
            ("beyond capacity", brief_money(answer["shortfall"], symbol) if answer["shortfall"] != "0" else ""),
            ("defaulted", _describe_default(answer)),
        )
    )
    if answer["why"]:
        say(f"no more can be minted: {answer['why']}; {answer['hint']}")


def _describe_default(answer: dict[str, Any]) -> str:
    if not answer["is_defaulted"]:
        return ""
    return f"yes: {brief_money(answer['redeemable'], answer['asset'])} can be redeemed for its stake"


async def _report(reads: ChainReads, credit: Asset, provider: Address) -> dict[str, Any]:
    found = await read_credit(reads.rpc, credit, provider)
    stake = await read_stake(reads.rpc, reads.manifest, provider)
    doubt_s = await _read_doubt(reads, provider)
    obstacle = None if found.mintable else find_obstacle(found, OPENX, stake.own.can_leave, doubt_s)
    return {
        "provider": to_hex(provider),
        "asset": credit.symbol,
        "outstanding": credit.format(found.outstanding),
        "limit": credit.format(found.limit),
        "mintable": credit.format(found.mintable),
        "held": format_amount(stake.own.held, OPENX_DECIMALS),
        "staked": format_amount(stake.own.details.staked, OPENX_DECIMALS),
        "collateral_ratio": format_amount(found.collateral_ratio, OPENX_DECIMALS),
        "window_hours": found.window_hours,
        "shortfall": credit.format(found.shortfall),
        "is_defaulted": found.is_defaulted,
        "redeemable": credit.format(found.redeemable),
        "why": obstacle.what if obstacle else "",
        "hint": obstacle.hint if obstacle else "",
    }


async def _find_mintable(reads: ChainReads, credit: Asset, provider: Address, asked: Amount | None) -> Amount:
    """What is asked for, None for all that can be minted. UserError saying what is in the way of it."""
    found = await read_credit(reads.rpc, credit, provider)
    wanted = found.mintable if asked is None else asked
    if not wanted or wanted > found.mintable:
        stake = await read_stake(reads.rpc, reads.manifest, provider)
        doubt_s = await _read_doubt(reads, provider)
        obstacle = find_obstacle(found, max(wanted, 1), stake.own.can_leave, doubt_s) or _Obstacle(
            "amount must be positive", ""
        )
        raise UserError(obstacle.what, where="AMOUNT", hint=obstacle.hint, code=ExitCode.REFUSED)
    return Amount(wanted)


class _Obstacle(NamedTuple):
    """What keeps credits from being minted, and what to do about it."""

    what: str
    hint: str


async def _read_doubt(reads: ChainReads, provider: Address) -> int:
    """Until when its capacity is in doubt, in the chain's seconds; 0 when it is not."""
    registry = reads.manifest.contracts.capacity_registry
    return await reads.rpc.view(registry, capacity_registry.IN_DOUBT_UNTIL, provider)


def find_obstacle(found: Credit, wanted: int, unlocked: int, doubt_s: int = 0) -> _Obstacle | None:
    """What keeps `wanted` from being minted. unlocked: OPENX of stake that nothing holds; doubt_s: as _read_doubt gives it."""
    asset = found.asset
    if not found.limit and doubt_s:
        return _Obstacle(
            f"verified capacity is in doubt until {brief_date(doubt_s * 10**9)}, because a check was failed",
            "pass a challenge of your own: xnode provider capacity request",
        )
    if not found.limit:
        return _Obstacle("no verified capacity is in force", "see `xnode provider capacity`")
    if wanted > found.limit - found.outstanding:
        room = max(0, found.limit - found.outstanding)
        return _Obstacle(
            f"verified capacity allows {asset.show(found.limit)}, {asset.show(found.outstanding)} are outstanding, "
            f"so at most {asset.show(room)}",
            f"serve jobs paid in {asset.symbol}, or have more capacity verified",
        )
    needed = added_collateral(wanted, found.outstanding, found.held, found.collateral_ratio)
    if needed > unlocked:
        return _Obstacle(
            f"{format_openx(unlocked)} of stake are free as collateral, {asset.show(wanted)} take {format_openx(needed)}",
            f"xnode provider stake {format_amount(needed - unlocked, OPENX_DECIMALS)}",
        )
    return None


async def _find_owed(reads: ChainReads, credit: Asset, at: Address, is_own: bool) -> int:
    """What is outstanding of the provider whose promise a burn keeps. UserError for an account that promised nothing."""
    owed = await reads.rpc.view(credit.address, compute_credit.OUTSTANDING, at)
    if owed <= 0 and (await reads.registration(at)).node_key is None:
        what = "is not a registered provider and owes nothing, so what is burned there is lost"
        hint = "name the provider with --at" if is_own else "look at the address again"
        raise UserError(what, where=to_hex(at), hint=hint, code=ExitCode.NOT_FOUND)
    return max(0, owed)


async def _find_held(session: WalletSession, credit: Asset, asked: Amount | None) -> Amount:
    """What is asked for of what is in the wallet, None for all of it."""
    held = await session.token_balance(credit.address, session.address)
    wanted = held if asked is None else asked
    if not wanted or wanted > held:
        more = await find_more(session, credit.address, session.address)
        raise UserError(
            f"the wallet has {credit.show(held)}",
            where=to_hex(session.address),
            hint=f'name less, or "all"; or {more}' if held else more,
            code=ExitCode.FUNDS,
        )
    return Amount(wanted)


async def _find_redeemable(session: WalletSession, credit: Asset, provider: Address, asked: Amount | None) -> Amount:
    """What is asked for of what is in the wallet and can be redeemed from a provider that defaulted, None for all of it."""
    found = await read_credit(session.rpc, credit, provider)
    if not found.is_defaulted:
        raise await _explain_grace(session, credit, provider, found)
    wanted = await _find_held(session, credit, asked)
    if wanted > found.redeemable:
        if asked is None:
            return Amount(found.redeemable)
        raise UserError(
            f"only {credit.show(found.redeemable)} can be redeemed now",
            where=to_hex(provider),
            hint="name less, or come back later" if found.redeemable < found.shortfall else "name less",
        )
    return wanted


async def _explain_grace(session: WalletSession, credit: Asset, provider: Address, found: Credit) -> UserError:
    """Why nothing can be redeemed yet."""
    served_until_s = await session.rpc.view(credit.address, compute_credit.SERVED_UNTIL, provider)
    if not found.shortfall or served_until_s == compute_credit.IN_FORCE:
        if not found.outstanding and (await session.registration(provider)).node_key is None:
            hint = "look at the address again: that of who minted the credits is wanted"
            what = "is not a registered provider and owes nothing"
            return UserError(what, where=to_hex(provider), hint=hint, code=ExitCode.NOT_FOUND)
        hint = "spend the credits on jobs"
        return UserError("can serve all it sold", where=to_hex(provider), hint=hint, code=ExitCode.REFUSED)
    grace_s = await session.rpc.view(credit.address, compute_credit.DEFAULT_GRACE)
    due = brief_date((served_until_s + grace_s + 1) * 10**9)
    return UserError(
        f"cannot serve {credit.show(found.shortfall)} of what it sold, and has until {due} to fix that",
        where=to_hex(provider),
        hint="spend the credits elsewhere, or come back then",
        code=ExitCode.REFUSED,
    )
