"""Payment: deposits, withdrawals and the node's cap, and what each came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from metering.units import Address, Amount
from xnode.chain.abi.codec import to_hex
from xnode.chain.deployment.manifest import Asset
from xnode.chain.payer import Payer
from xnode.cli.access.deployment import Deployment, find_deployment, is_configured, run_async
from xnode.cli.access.purse import make_intent, open_purse
from xnode.cli.app import App
from xnode.cli.node.setup import ensure_node_key, read_node_address
from xnode.cli.node.submitter_init import init_submitter
from xnode.cli.terminal.screen import Screen, say
from xnode.config.file import read_table
from xnode.errors import ExitCode, UserError
from xnode.text.amount import format_amount, parse_amount


@dataclass(frozen=True)
class Account:
    """Whose deposit a command is about. wallet: "" for the config's payer; manifest: for a home without config."""

    app: App
    wallet: str
    asset: str
    manifest: Path | None
    password_file: Path | None

    def find(self) -> tuple[Deployment, Asset]:
        """The chain and the asset."""
        deployment = find_deployment(self.app, self.manifest)
        return deployment, deployment.manifest.find_asset(self.asset)

    def open(self, deployment: Deployment) -> Any:
        """The wallet's payer, as an async context."""
        return open_purse(self.app, deployment, self.wallet or find_payer(self.app), self.password_file)


def deposit_for_jobs(account: Account, text: str, cap: str | None) -> dict[str, Any]:
    """Deposit, and let the node use up to the cap (None: all of the deposit)."""
    app = account.app
    if account.manifest and not is_configured(app):
        init_submitter(app, account.manifest, "", account.wallet)
        say(f"wrote {app.home.config}")
    deployment, asset = account.find()
    amount = _parse_positive(text, asset, "AMOUNT")
    wanted_cap = parse_amount(cap, asset.decimals, where="--cap") if cap else None
    ensure_node_key(app.home, app.load_config().node.password_file)
    node = read_node_address(app.home)

    async def work() -> dict[str, Any]:
        async with account.open(deployment) as payer:
            await _require_held(payer, asset, amount)
            before = await _read_free(payer, asset)
            new_cap = wanted_cap if wanted_cap is not None else Amount(before + amount)
            say(f"depositing {_show(amount, asset)}, of which this node may use {_show(new_cap, asset)} ...")
            # Neither needs the other, so both can be in one block.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(payer.deposit, make_intent("deposit"), asset, amount)
                nursery.start_soon(payer.approve_opener, make_intent("approve"), node, asset, new_cap)
            return await _report(payer, asset, node)

    return run_async(work)


def withdraw_free(account: Account, text: str) -> dict[str, Any]:
    """Pay free balance back to the wallet."""
    deployment, asset = account.find()
    asked = None if text == "all" else _parse_positive(text, asset, "AMOUNT")

    async def work() -> dict[str, Any]:
        async with account.open(deployment) as payer:
            free = await _read_free(payer, asset)
            amount = free if asked is None else asked
            if amount > free or not amount:
                raise UserError(
                    f"only {_show(free, asset)} are free" if free else f"no {asset.symbol} are free",
                    where=to_hex(payer.address),
                    hint="what is reserved for jobs comes back when they settle",
                    code=ExitCode.FUNDS,
                )
            say(f"withdrawing {_show(amount, asset)} ...")
            await payer.withdraw(make_intent("withdraw"), asset, amount)
            return await _report(payer, asset, None)

    return run_async(work)


def approve_node(account: Account, text: str) -> dict[str, Any]:
    """Set what the node's key may still reserve."""
    deployment, asset = account.find()
    cap = parse_amount(text, asset.decimals, where="CAP")
    node = read_node_address(account.app.home)

    async def work() -> dict[str, Any]:
        async with account.open(deployment) as payer:
            say(f"letting this node use {_show(cap, asset)} ...")
            await payer.approve_opener(make_intent("approve"), node, asset, cap)
            return await _report(payer, asset, node)

    return run_async(work)


def find_payer(app: App) -> str:
    """The config's payer; "" when it names none, which means the only wallet there is."""
    return str(read_table(app.home).get("submitter", {}).get("payer", ""))


def draw_done(screen: Screen, answer: dict[str, Any]) -> None:
    """Print what a payment came to."""
    screen.record((name.replace("_", " "), value) for name, value in answer.items())


def _parse_positive(text: str, asset: Asset, where: str) -> Amount:
    amount = parse_amount(text, asset.decimals, where=where)
    if not amount:
        raise UserError("is zero", where=where, hint="name what to move")
    return amount


def _show(amount: int, asset: Asset) -> str:
    return format_amount(amount, asset.decimals, asset.symbol)


async def _require_held(payer: Payer, asset: Asset, amount: Amount) -> None:
    balances = await payer.balances(payer.address)
    held = next(one.wallet for one in balances.assets if one.asset == asset)
    if amount > held:
        raise UserError(
            f"the wallet has {_show(held, asset)}",
            where=to_hex(payer.address),
            hint="deposit less, or send it more (on a devnet: xnode devnet fund)",
            code=ExitCode.FUNDS,
        )


async def _read_free(payer: Payer, asset: Asset) -> Amount:
    balances = await payer.balances(payer.address)
    return next(one.free for one in balances.assets if one.asset == asset)


async def _report(payer: Payer, asset: Asset, node: Address | None) -> dict[str, Any]:
    report = {
        "payer": to_hex(payer.address),
        "asset": asset.symbol,
        "deposited": format_amount(await _read_free(payer, asset), asset.decimals),
    }
    if node:
        cap = await payer.opener_cap(payer.address, node, asset)
        report |= {"node": to_hex(node), "node_may_use": format_amount(cap, asset.decimals)}
    return report
