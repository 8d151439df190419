"""`xnode provider stake` and `unstake`: the OPENX that a provider stakes, as collateral and as a verifier's pledge."""

from __future__ import annotations

import time
from typing import Any

import click

from metering.units import Address, Amount
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.stake import add_stake, start_unstake, withdraw_stake
from xnode.chain.provider_record import Compartment, read_stake
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import owner_options
from xnode.cli.access.registered import require_registered
from xnode.cli.access.shortage import find_more
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_date, brief_duration, brief_money
from xnode.cli.terminal.given import GivenText
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import OPENX_DECIMALS, format_amount, format_openx, parse_amount, parse_wanted
from xnode.text.hex import to_hex

YES_RESTART = "--yes-restart-thaw"


@click.command("stake")
@click.argument("amount", type=GivenText(), required=False)
@owner_options
@output_option
@pass_app
def stake(app: App, /, amount: str | None, screen: Screen, **options: Any) -> None:
    """Stake OPENX as collateral, or show the stake.

    Without AMOUNT, shows the stake and what locks it.
    """
    access = Access.of_owner(app, **options)
    wanted = parse_amount(amount, OPENX_DECIMALS, where="AMOUNT") if amount else None
    if wanted is not None and not wanted:
        raise UserError("amount must be positive", where="AMOUNT", hint="name more than 0, like 12.5")

    async def add(session: WalletSession) -> dict[str, Any]:
        assert wanted is not None
        # Stake of an account that sells nothing counts for nothing, and comes back only a thaw later.
        await require_registered(session, session.address)
        await require_openx(session, session.address, wanted, "stake less")
        say(f"staking {format_openx(wanted)} ...")
        await add_stake(session, make_intent("stake"), wanted)
        return await _report(session, session.address)

    answer = access.look(lambda reads: _report(reads, access.address)) if wanted is None else access.act(add)
    screen.show(answer, lambda: draw_stake(screen, answer))


@click.command("unstake")
@click.argument("amount", type=GivenText(), required=False)
@click.option("--withdraw", is_flag=True, help="Take out what has thawed.")
@click.option("--pledge", is_flag=True, help="Of what is staked as a verifier.")
@click.option(YES_RESTART, "yes_restart", is_flag=True, help="What thaws already waits a whole thaw again.")
@owner_options
@output_option
@pass_app
def unstake(
    app: App, /, amount: str | None, withdraw: bool, pledge: bool, yes_restart: bool, screen: Screen, **options: Any
) -> None:
    """Let stake thaw, and take out what has thawed.

    AMOUNT starts to thaw, or "all" that nothing locks; --withdraw takes out what has thawed.

    What thaws counts as stake no more, and can still be slashed until it is taken out.
    """

    if bool(amount) == withdraw:
        raise UserError("takes either AMOUNT or --withdraw", where="unstake", hint="see `xnode provider stake`")
    asked = parse_wanted(amount, OPENX_DECIMALS) if amount else None
    role = Role.VERIFIER if pledge else Role.PROVIDER

    async def work(session: WalletSession) -> dict[str, Any]:
        stake = await read_stake(session.rpc, session.manifest, session.address)
        if withdraw:
            await _withdraw(session, stake.compartment(role), role)
        else:
            if not yes_restart:
                check_restart(stake.compartment(role), await session.chain_time_s(), stake.thaw_s, role)
            await _start(session, stake.compartment(role), role, asked)
        return await _report(session, session.address)

    answer = Access.of_owner(app, **options).act(work, leaves=True)
    screen.show(answer, lambda: draw_stake(screen, answer))


def draw_stake(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a stake's report."""
    thaw = brief_duration(answer["thaw_s"] * 10**9)
    screen.record(
        (
            ("provider", answer["provider"]),
            ("staked", brief_money(answer["staked"], "OPENX")),
            ("held", brief_money(answer["held"], "OPENX") if answer["holds"] else ""),
            *(("", f"{brief_money(hold['amount'], 'OPENX')} {hold['why']}") for hold in answer["holds"]),
            ("can be unstaked", f"{brief_money(answer['can_leave'], 'OPENX')}, after a thaw of {thaw}"),
            ("thawing", _describe_thaw(answer)),
            ("of that owed for broken promises", _describe_announced(answer)),
            *_list_pledge(answer["pledge"]),
        )
    )
    for compartment, flag in ((answer, ""), (answer["pledge"], " --pledge")):
        if compartment["thawing"] != "0" and compartment["thaw_end_s"] <= time.time():
            say(f"next: xnode provider unstake --withdraw{flag}")


def _list_pledge(pledge: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Lines about what is staked as a verifier; none when nothing ever was."""
    if pledge["staked"] == "0" and pledge["thawing"] == "0":
        return ()
    held = f", {brief_money(pledge['held'], 'OPENX')} held for its verdicts" if pledge["held"] != "0" else ""
    return (
        ("pledged as verifier", f"{brief_money(pledge['staked'], 'OPENX')}{held}"),
        ("pledge thawing", _describe_thaw(pledge)),
    )


def _describe_thaw(compartment: dict[str, Any]) -> str:
    if compartment["thawing"] == "0":
        return ""
    return f"{brief_money(compartment['thawing'], 'OPENX')} until {brief_date(compartment['thaw_end_s'] * 10**9)}"


def check_restart(before: Compartment, now_s: int, thaw_s: int, role: Role) -> None:
    """Raise UserError where something thaws already: there is one thaw, and it begins anew with what is added."""
    details = before.details
    if details.thawing and now_s < details.thaw_end:
        raise UserError(
            f"{format_openx(details.thawing)} thaw until {brief_date(details.thaw_end * 10**9)}, and would wait "
            f"{brief_duration(thaw_s * 10**9)} again with what is added",
            where="stake",
            hint=f"withdraw that first, or {YES_RESTART}",
            code=ExitCode.CONFLICT,
        )
    if details.thawing:
        raise UserError(
            f"{format_openx(details.thawing)} have thawed, and would thaw again with what is added",
            where="stake",
            hint=f"first: xnode provider unstake --withdraw{_flag_of(role)}",
            code=ExitCode.CONFLICT,
        )


def _flag_of(role: Role) -> str:
    return " --pledge" if role is Role.VERIFIER else ""


def _describe_announced(compartment: dict[str, Any]) -> str:
    if compartment["announced"] == "0":
        return ""
    until = brief_date(compartment["announced_until_s"] * 10**9)
    return f"{brief_money(compartment['announced'], 'OPENX')}, which wait until {until}"


async def _start(session: WalletSession, before: Compartment, role: Role, asked: Amount | None) -> None:
    wanted = before.can_leave if asked is None else asked
    if wanted > before.details.staked:
        staked = format_openx(before.details.staked)
        raise UserError(f"only {staked} are staked", where="AMOUNT", hint="name less", code=ExitCode.FUNDS)
    if wanted > before.can_leave or not wanted:
        raise UserError(
            f"only {format_openx(before.can_leave)} can be unstaked: {format_openx(before.held)} are held"
            if before.held
            else "there is nothing to take out",
            where="AMOUNT",
            hint="`xnode provider stake` says by what" if before.held else "",
            code=ExitCode.REFUSED,
        )
    say(f"starting the thaw of {format_openx(wanted)} ...")
    await start_unstake(session, make_intent("unstake"), wanted, role)


async def _withdraw(session: WalletSession, before: Compartment, role: Role) -> None:
    details = before.details
    if not details.thawing:
        start = f"xnode provider unstake AMOUNT{_flag_of(role)}"
        raise UserError("nothing thaws", where="stake", hint=f"start with: {start}")
    now = await session.chain_time_s()
    if now < details.thaw_end:
        raise UserError(
            f"{format_openx(details.thawing)} thaw until {brief_date(details.thaw_end * 10**9)}",
            where="stake",
            hint=f"come back in {details.thaw_end - now} s",
            code=ExitCode.REFUSED,
        )
    if now < before.announced.until:
        say(
            f"{format_openx(before.announced.amount)} stay until {brief_date(before.announced.until * 10**9)}: they are owed"
        )
    say(f"withdrawing {format_openx(before.can_withdraw)} ...")
    await withdraw_stake(session, make_intent("withdraw-stake"), role)


async def _report(reads: ChainReads, provider: Address) -> dict[str, Any]:
    found = await read_stake(reads.rpc, reads.manifest, provider)
    holds = [
        (found.gpu_hold, "are collateral of tGPU outstanding (`provider mint` shows them)"),
        (found.cpu_hold, "are collateral of tCPU outstanding (`provider mint` shows them)"),
    ]
    return {
        "provider": to_hex(provider),
        **_show(found.own),
        "holds": [{"amount": _plain(amount), "why": why} for amount, why in holds if amount],
        "thaw_s": found.thaw_s,
        "pledge": _show(found.pledge),
    }


def _show(compartment: Compartment) -> dict[str, Any]:
    return {
        "staked": _plain(compartment.details.staked),
        "held": _plain(compartment.held),
        "can_leave": _plain(compartment.can_leave),
        "thawing": _plain(compartment.details.thawing),
        "thaw_end_s": compartment.details.thaw_end,
        "announced": _plain(compartment.announced.amount),
        "announced_until_s": compartment.announced.until,
    }


async def require_openx(reads: ChainReads, wallet: Address, amount: Amount, instead: str) -> None:
    """Raise UserError when the wallet has less. instead: what else the person could do."""
    has = await reads.openx_balance(wallet)
    if has < amount:
        more = await find_more(reads, reads.manifest.contracts.openx_token, wallet)
        raise UserError(
            f"the wallet has {format_openx(has)}, this takes {format_openx(amount)}",
            where=to_hex(wallet),
            hint=f"{instead}, or {more}",
            code=ExitCode.FUNDS,
        )


def _plain(amount: int) -> str:
    return format_amount(amount, OPENX_DECIMALS)
