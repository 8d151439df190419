"""`xnode provider`: sells compute on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnode.cli.access.options import bootstrap_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.provider.prices import PRICES
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.paging import Wanted, page_options, read_since, show_pages
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError

LAZY = {
    "setup": Lazy("xnode.cli.begin.provider:setup", "From nothing to a running provider, in one command."),
    "drain": Lazy("xnode.cli.provider.drain:drain", "Take no new jobs, for maintenance; what runs goes on to its end."),
    "resume": Lazy("xnode.cli.provider.drain:resume", "Offer capacity again after `provider drain`."),
    "stake": Lazy("xnode.cli.stake.stake:stake", "Stake OPENX as collateral, or show the stake."),
    "self-test": Lazy("xnode.cli.stake.self_test:self_test", "Challenge this host as verifiers would."),
    "capacity": Lazy("xnode.cli.stake.capacity:capacity", "Show verified capacity, or request a challenge."),
    "mint": Lazy("xnode.cli.stake.credits:mint", "Mint credits against verified capacity and stake."),
    "burn": Lazy("xnode.cli.stake.credits:burn", "Give credits back to a provider, which then owes that much less."),
    "unstake": Lazy("xnode.cli.stake.stake:unstake", "Let stake thaw, and take out what has thawed."),
    "verifier": Lazy("xnode.cli.stake.verifier:verifier", "Judge others' challenges, for a fee."),
    "profile": Lazy("xnode.cli.provider.profile:profile", "Show this host's hardware, and its hash on chain."),
    "reputation": Lazy(
        "xnode.cli.provider.reputation:reputation", "Show a provider's settled work, proven faults and refunds."
    ),
}


@click.group(cls=LazyGroup, lazy=LAZY)
def provider() -> None:
    """Sell compute on this host. First `provider init --chain MANIFEST`, then `provider run`."""


@provider.command("init")
@click.option("--chain", "manifest", required=True, type=GivenPath(path_type=Path), help="The deployment's manifest.")
@click.option("--rpc-url", help="The chain node to use; '' is the manifest's.  [default: ''; later what is set]")
@click.option("--owner", default="", envvar="ETH_FROM", help="Wallet that is paid.  [default: the only one]")
@click.option("--region", help="Where this host is.  [default: local]")
@click.option("--asset", help="What prices are in.  [default: OPENX]")
@bootstrap_option
@click.option("--force", is_flag=True, help="Replace another owner's settings, or another host's registration.")
@password_option
@pass_app
def init(app: App, /, manifest: Path, **options: Any) -> None:
    """Make node key and config, and register this host on chain.

    The config offers this host's hardware; the owner's wallet registers. Run again, it changes the settings that it is
    given, keeps all others, and finishes what is not done.
    """
    from xnode.cli.provider.init import init_provider, say_next

    init_provider(app, manifest, **options)
    say_next(app)


@provider.command("run")
@pass_app
def run(app: App) -> None:
    """Run in the foreground until Ctrl-C or SIGTERM. Workloads outlive it."""
    config = app.load_config()
    if config.provider is None:
        raise UserError(
            "this node directory is not a provider's",
            where=str(app.home.config),
            hint="run: xnode provider init --chain MANIFEST",
        )
    from xnode.cli.node.run import run_here

    run_here(config)


@provider.command("status")
@output_option
@pass_app
def status(app: App, screen: Screen) -> None:
    """Show what is offered, what runs, and why there are no more jobs."""
    from xnode.cli.provider.view import draw_provider

    answer = app.control.call("provider.status")
    screen.show(answer, lambda: draw_provider(screen, answer))


@provider.group("price", cls=LazyGroup)
def price() -> None:
    """The prices that this host asks."""


@price.command("set")
@click.argument("prices", nargs=-1, required=True, metavar="NAME=PRICE...")
@output_option
@pass_app
def set_(app: App, prices: tuple[str, ...], screen: Screen) -> None:
    """Change prices; running leases keep theirs.

    Like: vcpu_hour=0.03 gpu_hour=1.5. A running daemon announces a new offer at once.
    """
    from xnode.cli.node.setup import update_config

    wanted = dict(_parse_price(text) for text in prices)
    before = app.load_config()
    if before.provider is None:
        raise UserError(
            "this node directory is not a provider's",
            where=str(app.home.config),
            hint="run: xnode provider init --chain MANIFEST",
        )
    is_up = app.control.is_up()
    if is_up:
        _require_same_asset(app)
    config = update_config(app.home, {"provider": _merge_prices(app, wanted)})
    assert config.provider
    asked: dict[str, str] = config.provider.prices.model_dump()
    if is_up:
        # What it asks now is its own word: an environment variable of the daemon may win over the file.
        asked = app.control.call("provider.set_price", {"prices": wanted})
        say("announced")
    else:
        say("saved; no daemon is running")
    answer = {"asset": config.provider.asset, **asked}
    screen.show(answer, lambda: screen.record(answer.items()))


@provider.command("leases")
@page_options
@output_option
@pass_app
def leases(app: App, wanted: Wanted, screen: Screen) -> None:
    """List leases that this host serves or served, newest first."""
    from xnode.cli.provider.view import draw_leases

    show_pages(app.control, "provider.leases", wanted, "lease_id", screen, lambda rows: draw_leases(screen, rows))


@provider.command("earnings")
@click.option("--by", type=click.Choice(("day", "week", "month")), help="Also what each brought, in UTC.")
@click.option(
    "--since", default="", metavar="WHEN", help="Only what 2d, 6h, or the time since 2026-11-30 (UTC) brought."
)
@click.option("--limit", type=click.IntRange(1, 400), default=30, help="How many days, weeks or months.  [default: 30]")
@output_option
@pass_app
def earnings(app: App, by: str | None, since: str, limit: int, screen: Screen) -> None:
    """Show what was earned, signed for, and claimed on chain.

    All that was ever earned, whatever became of the leases that it was earned with.
    """
    from xnode.cli.provider.view import draw_earnings

    params: dict[str, Any] = {"by": by or "", "limit": limit} | ({"since_ns": read_since(since)} if since else {})
    answer = app.control.call("provider.earnings", params)
    screen.show(answer, lambda: draw_earnings(screen, answer))


@provider.command("withdraw")
@password_option
@output_option
@pass_app
def withdraw(app: App, password_file: Path | None, screen: Screen) -> None:
    """Take payouts that could not be delivered. Claims are paid to the owner automatically."""
    from xnode.cli.provider.init import withdraw_owed

    withdraw_owed(app, password_file, screen)


@provider.command("receipts")
@click.argument("lease_id", metavar="LEASE")
@click.option("--export", type=GivenPath(path_type=Path, file_okay=False), required=True, help="Into this folder.")
@output_option
@pass_app
def receipts(app: App, lease_id: str, export: Path, screen: Screen) -> None:
    """Export a lease's terms, receipts and vouchers for an audit.

    Those of the other leases on its escrow too; `xnode audit` checks them.
    """
    from xnode.cli.evidence.files import export_evidence

    export_evidence(app.control.stream("provider.evidence", {"lease_id": lease_id}), export, screen)


def _require_same_asset(app: App) -> None:
    """Raise UserError where the daemon asks its prices in another asset than the settings now name."""
    for row in app.control.call("config.diff"):
        if row["name"] == "provider.asset":
            raise UserError(
                f"the daemon runs with prices in {row['running']}, and the settings say {row['declared']}: nothing was changed",
                where="provider.asset",
                hint="restart the daemon first: xnode daemon stop, then xnode provider run",
                code=ExitCode.CONFLICT,
            )


def _parse_price(text: str) -> tuple[str, str]:
    from difflib import get_close_matches

    name, equals, price = text.partition("=")
    if not equals or not price:
        raise UserError("a price is set as NAME=PRICE", where=text, hint="such as vcpu_hour=0.03")
    if name not in PRICES:
        near = get_close_matches(name, PRICES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRICES)}"
        raise UserError("no such price", where=name, hint=hint)
    return name, price


def _merge_prices(app: App, wanted: dict[str, str]) -> dict[str, Any]:
    from xnode.config.file import read_table

    found = read_table(app.home).get("provider", {}).get("prices", {})
    return {"prices": {**found, **wanted}}
