"""`xnode wallet send`: an asset from a wallet to another address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from metering.units import ZERO_ADDRESS, Address, Amount
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.intents.payments import transfer
from xnode.chain.intents.session import WalletSession
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.keys import find_address
from xnode.cli.access.options import chain_option
from xnode.cli.access.shortage import find_more
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_money
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen, printable, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import parse_wanted
from xnode.text.hex import checksum_address, to_hex


@click.command("send")
@click.argument("amount")
@click.argument("recipient", metavar="TO")
@click.option("--asset", default="OPENX", show_default=True, help="Which asset, such as tCPU.")
@click.option("--from", "wallet", envvar="ETH_FROM", default="", help="The wallet.  [default: the only one]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@chain_option
@password_option
@output_option
@pass_app
def send(
    app: App,
    /,
    amount: str,
    recipient: str,
    asset: str,
    wallet: str,
    yes: bool,
    manifest: Path | None,
    password_file: Path | None,
    screen: Screen,
) -> None:
    """Send OPENX, credits or another asset to somebody.

    AMOUNT is in the asset, like 12.5, or "all" that the wallet holds; TO is an address or a wallet's name. It cannot be
    taken back.
    """
    access = Access(app, wallet, manifest, password_file)
    found, to = access.manifest.find_asset(asset), find_address(app, recipient)
    check_recipient(access.manifest, access.address, to)
    asked = parse_wanted(amount, found.decimals)
    wanted = access.look(lambda reads: _find_wanted(reads, found, access.address, asked))
    if not yes:
        _confirm(f"send {found.show(wanted)} from {checksum_address(access.address)} to {checksum_address(to)}?")

    async def work(session: WalletSession) -> dict[str, Any]:
        say(f"sending {found.show(wanted)} to {checksum_address(to)} ...")
        await transfer(session, make_intent("send"), found, to, wanted)
        return await _report(session, found, to, wanted)

    answer = access.act(work)
    screen.show(answer, lambda: _draw(screen, answer))


def check_recipient(manifest: Manifest, sender: Address, to: Address) -> None:
    """Raise UserError for an address that nobody could send it on from, or that has it already."""
    if to == ZERO_ADDRESS:
        raise UserError("what the zero address gets is lost", where="TO", code=ExitCode.REFUSED)
    contracts = msgspec.structs.asdict(manifest.contracts) | {one.symbol: one.address for one in manifest.assets}
    for name, address in contracts.items():
        if to == address:
            raise UserError(
                f"{checksum_address(to)} is the contract {name}: what is sent to it is lost",
                where="TO",
                hint="to pay for jobs: xnode pay deposit; as collateral: xnode provider stake",
                code=ExitCode.REFUSED,
            )
    if to == sender:
        raise UserError(f"{checksum_address(to)} is the wallet itself", where="TO", code=ExitCode.REFUSED)


async def _find_wanted(reads: ChainReads, asset: Asset, wallet: Address, asked: Amount | None) -> Amount:
    """What is asked for of what is in the wallet, None for all of it."""
    held = await reads.token_balance(asset.address, wallet)
    wanted = held if asked is None else asked
    if not wanted or wanted > held:
        more = await find_more(reads, asset.address, wallet)
        raise UserError(
            f"the wallet has {asset.show(held)}",
            where=to_hex(wallet),
            hint=f'send less, or "all"; or {more}' if held else more,
            code=ExitCode.FUNDS,
        )
    return Amount(wanted)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UserError("not a terminal: sending needs an answer", where="wallet send", hint="pass --yes to send it")
    if not click.confirm(printable(question), default=False, err=True):
        raise UserError("not sent", where="wallet send", code=ExitCode.REFUSED)


async def _report(session: WalletSession, asset: Asset, to: Address, sent: Amount) -> dict[str, Any]:
    return {
        "from": to_hex(session.address),
        "to": to_hex(to),
        "asset": asset.symbol,
        "sent": asset.format(sent),
        "left": asset.format(await session.token_balance(asset.address, session.address)),
        "recipient_has": asset.format(await session.token_balance(asset.address, to)),
    }


def _draw(screen: Screen, answer: dict[str, Any]) -> None:
    amounts = {"sent", "left", "recipient_has"}
    screen.record(
        (name.replace("_", " "), brief_money(value, answer["asset"]) if name in amounts else value)
        for name, value in answer.items()
    )
