"""`xnode provider stake` and `unstake`: the OPENX that stands behind a provider's word."""

from __future__ import annotations

import time
from typing import Any

import click

from metering.units import Address, Amount
from xnode.chain.abi.codec import to_hex
from xnode.chain.accounts import Stake, read_stake
from xnode.chain.contracts import openx_token
from xnode.chain.contracts.compute_credit import DECIMALS
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.payer import Payer
from xnode.cli.access.deployment import run_async
from xnode.cli.access.owner import Owner, owner_options
from xnode.cli.access.purse import make_intent
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_date
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import format_amount, parse_amount


@click.command("stake")
@click.argument("amount", default="")
@owner_options
@output_option
@pass_app
def stake(app: App, /, amount: str, screen: Screen, **options: Any) -> None:
    """Add AMOUNT of OPENX to the stake; without it, show the stake and what holds it."""
    owner = Owner(app, **options)
    deployment = owner.find_deployment()
    wanted = parse_amount(amount, DECIMALS, where="AMOUNT") if amount else None
    if wanted is not None and not wanted:
        raise UserError("is zero", where="AMOUNT", hint="name how much to stake")

    async def look() -> dict[str, Any]:
        async with deployment.connect() as rpc:
            return await _report(rpc, deployment.manifest, owner.find_address())

    async def work() -> dict[str, Any]:
        assert wanted is not None
        async with owner.open(deployment) as payer:
            await require_openx(payer.rpc, deployment.manifest, payer.address, wanted, "stake less")
            say(f"staking {_show(wanted)} ...")
            await payer.stake(make_intent("stake"), wanted)
            return await _report(payer.rpc, deployment.manifest, payer.address)

    answer = run_async(look if wanted is None else work)
    screen.show(answer, lambda: draw_stake(screen, answer))


@click.command("unstake")
@click.argument("amount", default="")
@click.option("--withdraw", is_flag=True, help="Take out what has thawed.")
@owner_options
@output_option
@pass_app
def unstake(app: App, /, amount: str, withdraw: bool, screen: Screen, **options: Any) -> None:
    """Let AMOUNT of the stake (or "all" that is not held) start to thaw, or take out what has thawed.

    What thaws counts as stake no more, and can still be slashed until it is taken out.
    """

    if bool(amount) == withdraw:
        raise UserError("takes either AMOUNT or --withdraw", where="unstake", hint="see `xnode provider stake`")
    owner = Owner(app, **options)
    deployment = owner.find_deployment()

    async def work() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            before = await read_stake(payer.rpc, deployment.manifest, payer.address)
            if withdraw:
                await _withdraw(payer, before)
            else:
                await _start(payer, before, amount)
            return await _report(payer.rpc, deployment.manifest, payer.address)

    answer = run_async(work)
    screen.show(answer, lambda: draw_stake(screen, answer))


def draw_stake(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a stake's report."""
    thawing = answer["thawing"]
    end = brief_date(answer["thaw_end_s"] * 10**9)
    screen.record(
        (
            ("provider", answer["provider"]),
            ("staked", f"{answer['staked']} OPENX"),
            ("held", f"{answer['held']} OPENX" if answer["holds"] else ""),
            *(("", f"{hold['amount']} OPENX {hold['why']}") for hold in answer["holds"]),
            ("can leave", f"{answer['can_leave']} OPENX, thawing for {answer['thaw_s']} s"),
            ("thawing", f"{thawing} OPENX until {end}" if thawing != "0" else ""),
        )
    )
    if thawing != "0" and answer["thaw_end_s"] <= time.time():
        say("next: xnode provider unstake --withdraw")


async def _start(payer: Payer, before: Stake, amount: str) -> None:
    wanted = before.can_leave if amount == "all" else parse_amount(amount, DECIMALS, where="AMOUNT")
    if wanted > before.details.staked:
        raise UserError(f"only {_show(before.details.staked)} are staked", where="AMOUNT", code=ExitCode.FUNDS)
    if wanted > before.can_leave or not wanted:
        raise UserError(
            f"only {_show(before.can_leave)} can leave: {_show(before.held)} are held"
            if before.held
            else "there is nothing to take out",
            where="AMOUNT",
            hint="`xnode provider stake` says by what" if before.held else "",
            code=ExitCode.REFUSED,
        )
    say(f"starting the thaw of {_show(wanted)} ...")
    await payer.start_unstake(make_intent("unstake"), wanted)


async def _withdraw(payer: Payer, before: Stake) -> None:
    details = before.details
    if not details.thawing:
        raise UserError("nothing thaws", where="stake", hint="start with: xnode provider unstake AMOUNT")
    now = await payer.chain_time_s()
    if now < details.thaw_end:
        raise UserError(
            f"{_show(details.thawing)} thaw until {brief_date(details.thaw_end * 10**9)}",
            where="stake",
            hint=f"come back in {details.thaw_end - now} s",
            code=ExitCode.REFUSED,
        )
    say(f"withdrawing {_show(details.thawing)} ...")
    await payer.withdraw_stake(make_intent("withdraw-stake"))


async def _report(rpc: JsonRpc, manifest: Manifest, provider: Address) -> dict[str, Any]:
    found = await read_stake(rpc, manifest, provider)
    holds = [
        (found.gpu_hold, "cover tGPU outstanding (`provider mint` shows them)"),
        (found.cpu_hold, "cover tCPU outstanding (`provider mint` shows them)"),
        (found.verifier_hold, "stand behind its verdicts (`provider verifier leave` ends it)"),
    ]
    return {
        "provider": to_hex(provider),
        "staked": _plain(found.details.staked),
        "held": _plain(found.held),
        "holds": [{"amount": _plain(amount), "why": why} for amount, why in holds if amount],
        "can_leave": _plain(found.can_leave),
        "thawing": _plain(found.details.thawing),
        "thaw_end_s": found.details.thaw_end,
        "thaw_s": found.thaw_s,
    }


async def require_openx(rpc: JsonRpc, manifest: Manifest, wallet: Address, amount: Amount, instead: str) -> None:
    """Raise UserError when the wallet has less. instead: what else the person could do."""
    has = await rpc.view(manifest.contracts.openx_token, openx_token.BALANCE_OF, wallet)
    if has < amount:
        raise UserError(
            f"the wallet has {_show(has)}, this takes {_show(amount)}",
            where=to_hex(wallet),
            hint=f"{instead}, or send it more (on a devnet: xnode devnet fund)",
            code=ExitCode.FUNDS,
        )


def _plain(amount: int) -> str:
    return format_amount(amount, DECIMALS)


def _show(amount: int) -> str:
    return f"{_plain(amount)} OPENX"
