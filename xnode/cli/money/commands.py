"""`xnode pay`: the deposit that pays for jobs, and how much of it the node may use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnode.cli.access.options import chain_option, payer_option, payer_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.given import GivenText
from xnode.cli.terminal.screen import Screen

_asset_option = click.option("--asset", default="OPENX", show_default=True, help="Which asset.")

_LAZY = {
    "refund": Lazy(
        "xnode.cli.evidence.refund:refund", "Get back what a provider promised for too little availability."
    ),
    "redeem": Lazy("xnode.cli.stake.credits:redeem", "Give credits up for the stake of a provider that defaulted."),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def pay() -> None:
    """The deposit that pays for jobs. AMOUNT is in the asset, like 12.5"""


@pay.command("deposit")
@click.argument("amount")
@click.option(
    "--cap", type=GivenText(), help="What the node's key may use of it at most.  [default: all that is deposited]"
)
@_asset_option
@payer_options
@output_option
@pass_app
def deposit(app: App, /, amount: str, cap: str | None, asset: str, screen: Screen, **options: Any) -> None:
    """Deposit from the wallet, for this node to pay jobs with.

    From then on this node's key may open escrows from it.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.money.payment import deposit_for_jobs, draw_done

    answer = deposit_for_jobs(Access.of_payer(app, **options), asset, amount, cap)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("balance")
@payer_option
@chain_option
@output_option
@pass_app
def balance(app: App, wallet: str, manifest: Path | None, screen: Screen) -> None:
    """Show what the wallet has, has deposited, and the node may use."""
    from xnode.cli.access.access import Access
    from xnode.cli.money.balance import draw_balance, read_balance

    answer = read_balance(Access.of_payer(app, wallet, manifest))
    screen.show(answer, lambda: draw_balance(screen, answer))


@pay.command("approve")
@click.argument("cap")
@_asset_option
@payer_options
@output_option
@pass_app
def approve(app: App, /, cap: str, asset: str, screen: Screen, **options: Any) -> None:
    """Set what this node's key may still use of the deposit.

    0 takes it all away.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.money.payment import approve_node, draw_done

    answer = approve_node(Access.of_payer(app, **options), asset, cap)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("withdraw")
@click.argument("amount")
@_asset_option
@payer_options
@output_option
@pass_app
def withdraw(app: App, /, amount: str, asset: str, screen: Screen, **options: Any) -> None:
    """Take back what is free: not reserved in an escrow. AMOUNT may be "all"."""
    from xnode.cli.access.access import Access
    from xnode.cli.money.payment import draw_done, withdraw_free

    answer = withdraw_free(Access.of_payer(app, **options), asset, amount)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("gas")
@click.argument("amount", type=GivenText(), required=False)
@payer_options
@output_option
@pass_app
def gas(app: App, /, amount: str | None, screen: Screen, **options: Any) -> None:
    """Send the node's key what it pays gas with.

    With it the node takes back what a provider that vanished left reserved. AMOUNT is in the chain's native token; without
    it the key is filled up to 0.01.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.money.payment import draw_done, send_node_gas

    answer = send_node_gas(Access.of_payer(app, **options), amount)
    screen.show(answer, lambda: draw_done(screen, answer))
