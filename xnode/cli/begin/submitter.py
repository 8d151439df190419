"""`xnode quickstart`: wallet, node key, settings, deposit and running node of who buys compute, in one command.

As `xnode provider setup`: each step looks at what is there, and does what is missing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from metering.units import Amount
from xnode.chain.deployment.manifest import Asset
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access
from xnode.cli.access.gas import SUBMITTER_GAS_WEI, find_missing
from xnode.cli.access.options import bootstrap_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.begin.funds import fund_from_devnet
from xnode.cli.begin.questions import Questions
from xnode.cli.begin.running import ensure_running, wait_offers, wait_ready
from xnode.cli.begin.wallet import OpenWallet, open_wallet
from xnode.cli.money.payment import approve_node, deposit_for_jobs, send_node_gas
from xnode.cli.node.setup import read_node_address
from xnode.cli.node.submitter_init import init_submitter
from xnode.cli.terminal.brief import brief_count
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen, say
from xnode.config.file import read_table
from xnode.errors import ExitCode, UserError
from xnode.faultpoint import reach
from xnode.text.amount import parse_amount
from xnode.text.hex import to_hex

DEFAULT_DEPOSIT = "20"
"""Of the asset: many small jobs."""

DATABASE = "xnode.db"
"""In the data folder of a node that has run."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """free: of the payer's deposit; cap: what the node may use of it; gas_wei: what the node key lacks of what it is filled up
    to."""

    free: Amount
    cap: Amount
    gas_wei: int


@click.command("quickstart")
@click.option("--chain", "manifest", type=GivenPath(path_type=Path), help="The manifest.  [default: the devnet's here]")
@click.option("--rpc-url", help="The chain node to use; '' is the manifest's.  [default: ''; later what is set]")
@click.option("--payer", default="", envvar="ETH_FROM", help="Wallet that pays.  [default: the only one, or a new one]")
@click.option("--deposit", "amount", help="Have so much deposited for jobs; 0 for nothing.  [default: asked, 20]")
@click.option("--asset", default="OPENX", show_default=True, help="Of the deposit.")
@bootstrap_option
@click.option("--yes", is_flag=True, help="Ask nothing; a new wallet's password goes into a file of the home.")
@password_option
@output_option
@pass_app
def quickstart(
    app: App, /, manifest: Path | None, amount: str | None, asset: str, yes: bool, screen: Screen, **options: Any
) -> None:
    """From nothing to a node that buys compute, in one command.

    Wallet, node key, settings, a deposit, a running node; then it says how to run the first job. Without --chain it takes the
    devnet of this home, which `xnode devnet up` starts. Cut off anywhere and run again, it goes on, and pays nothing
    twice.
    """
    begun = time.monotonic()
    questions = Questions(yes)
    questions.require_someone()
    chain = _find_manifest(app, manifest)
    wallet = open_wallet(app, options["payer"], options["password_file"], yes)
    reach("quickstart_wallet")
    init_submitter(app, chain, options["rpc_url"], to_hex(wallet.address), options["bootstrap"])
    reach("quickstart_settings")
    access = Access(app, to_hex(wallet.address), password=wallet.password, goes_on=True)
    _ensure_deposit(access, chain, asset, amount, questions)
    reach("quickstart_deposit")
    ensure_running(app, ("daemon", "run"))
    wait_ready(app, "submitter")
    answer = {**_report(app, access, wait_offers(app), asset, wallet), "took_s": round(time.monotonic() - begun, 1)}
    screen.show(answer, lambda: draw_quickstart(screen, answer))


def draw_quickstart(screen: Screen, answer: dict[str, Any]) -> None:
    """Print what there is now, and the first job's commands."""
    screen.record(
        (
            ("payer", answer["payer"]),
            ("node", answer["node"]),
            ("deposited", f"{answer['deposited']} {answer['asset']}"),
            ("node may use", f"{answer['node_may_use']} {answer['asset']}"),
            ("market", f"{brief_count(answer['offers'], 'offer')} known"),
            ("home", answer["home"]),
            ("took", f"{answer['took_s']:g} s"),
        )
    )
    if answer["password_file"]:
        say(f"hint: commands of this wallet read its password with: export ETH_PASSWORD={answer['password_file']}")
    if not answer["offers"]:
        say("hint: no provider is known yet; on a devnet be one in another home: xnode provider setup --chain MANIFEST")
    say("next: xnode image import podman:NAME, then xnode job init, xnode job submit --follow job.yaml")


def _find_manifest(app: App, manifest: Path | None) -> Path:
    """The one that is named, else the settings', else that of this home's devnet."""
    if manifest is not None:
        return manifest
    if "chain" in read_table(app.home):
        return app.load_config().chain.manifest
    made = app.home.folder / "devnet" / "manifest.toml"
    if made.exists():
        return made
    raise UserError(
        "no market is named, and no devnet of this home is there",
        where="--chain",
        hint="give the market's file: --chain MANIFEST; or start one of your own in another terminal: xnode devnet up",
    )


def _ensure_deposit(access: Access, chain: Path, symbol: str, text: str | None, questions: Questions) -> None:
    """Bring the deposit up to what is wanted, and let the node use it. What is there is not deposited again, and a node that has
    run before has spent what it has spent: nothing is added unless an amount is named."""
    asset = access.manifest.find_asset(symbol)
    found = access.look(lambda reads: _read_deposit(reads, access, asset))
    wanted = choose_amount(access.app, asset, text, found, questions)
    missing = Amount(max(0, wanted - found.free))
    if missing:
        _require_held(access, chain, asset, missing)
        deposit_for_jobs(access, asset.symbol, asset.format(missing), asset.format(max(wanted, found.cap)))
        return
    if found.free:
        say(f"deposited already: {asset.show(found.free)}")
    if found.cap < wanted:
        approve_node(access, asset.symbol, asset.format(wanted))
    if found.gas_wei and wanted:
        send_node_gas(access, None)


def choose_amount(app: App, asset: Asset, text: str | None, found: Deposit, questions: Questions) -> Amount:
    if text is not None:
        return parse_amount(text, asset.decimals, where="--deposit")
    if found.free:
        # With a cap of none the try before was cut off; any other is as the person left it.
        return Amount(min(found.free, found.cap) or found.free)
    if (app.load_config().node.data_dir / DATABASE).exists():
        return Amount(0)
    answer = questions.ask(f"Deposit how much {asset.symbol} for jobs (0 for nothing)?", DEFAULT_DEPOSIT)
    return parse_amount(answer, asset.decimals, where="the deposit")


async def _read_deposit(reads: ChainReads, access: Access, asset: Asset) -> Deposit:
    node = read_node_address(access.app.home)
    return Deposit(
        await reads.free_balance(access.address, asset.address),
        await reads.opener_cap(access.address, node, asset.address),
        await find_missing(reads, node, SUBMITTER_GAS_WEI),
    )


def _require_held(access: Access, chain: Path, asset: Asset, amount: Amount) -> None:
    """Raise UserError when the wallet has less, or no gas, on a devnet only after it was filled up."""

    async def find_lacks(reads: ChainReads) -> list[str]:
        held = await reads.token_balance(asset.address, access.address)
        lacks = [f"{asset.show(Amount(amount - held))} more"] if held < amount else []
        return lacks + (
            [] if await reads.native_balance(access.address) else ["some of the chain's native token for gas"]
        )

    lacks = access.look(find_lacks)
    if lacks and fund_from_devnet(chain, access.address):
        lacks = access.look(find_lacks)
    if lacks:
        raise UserError(
            f"the wallet lacks {' and '.join(lacks)}",
            where=to_hex(access.address),
            hint="send it, and run this again: it goes on where it was; or --deposit less",
            code=ExitCode.FUNDS,
        )


def _report(app: App, access: Access, status: dict[str, Any], symbol: str, wallet: OpenWallet) -> dict[str, Any]:
    asset = access.manifest.find_asset(symbol)
    found = access.look(lambda reads: _read_deposit(reads, access, asset))
    made = wallet.password_file == app.home.wallet_password
    return {
        "payer": to_hex(wallet.address),
        "node": status["node"],
        "asset": asset.symbol,
        "deposited": asset.format(found.free),
        "node_may_use": asset.format(found.cap),
        "offers": status["offers"],
        "home": str(app.home.folder),
        "password_file": str(wallet.password_file) if made else "",
        "pid": status["pid"],
        "version": status["version"],
    }
