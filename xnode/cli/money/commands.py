"""`xnode pay`: the deposit that pays for jobs, and how much of it the node may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen

Command = TypeVar("Command", bound=Callable[..., Any])


def _wallet_options(command: Command) -> Command:
    for option in (
        click.option("--from", "wallet", envvar="ETH_FROM", default="", help="Wallet.  [default: the config's payer]"),
        click.option("--asset", default="OPENX", show_default=True, help="Which asset."),
        click.option(
            "--chain", "manifest", type=click.Path(path_type=Path), help="Manifest, when there is no config yet."
        ),
        password_option,
    ):
        command = option(command)
    return command


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
@click.option("--cap", help="What the node's key may use of it at most.  [default: all that is deposited]")
@_wallet_options
@output_option
@pass_app
def deposit(app: App, /, amount: str, cap: str | None, screen: Screen, **options: Any) -> None:
    """Deposit from the wallet, and let this node's key open escrows from it."""
    from xnode.cli.money.payment import Account, deposit_for_jobs, draw_done

    answer = deposit_for_jobs(Account(app, **options), amount, cap)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("withdraw")
@click.argument("amount")
@_wallet_options
@output_option
@pass_app
def withdraw(app: App, /, amount: str, screen: Screen, **options: Any) -> None:
    """Take back what is free: not reserved in an escrow. AMOUNT may be "all"."""
    from xnode.cli.money.payment import Account, draw_done, withdraw_free

    answer = withdraw_free(Account(app, **options), amount)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("approve")
@click.argument("cap")
@_wallet_options
@output_option
@pass_app
def approve(app: App, /, cap: str, screen: Screen, **options: Any) -> None:
    """Set what this node's key may still use of the deposit; 0 takes it all away."""
    from xnode.cli.money.payment import Account, approve_node, draw_done

    answer = approve_node(Account(app, **options), cap)
    screen.show(answer, lambda: draw_done(screen, answer))


@pay.command("balance")
@click.option("--from", "wallet", envvar="ETH_FROM", default="", help="Wallet.  [default: the config's payer]")
@click.option("--chain", "manifest", type=click.Path(path_type=Path), help="Manifest, when there is no config yet.")
@output_option
@pass_app
def balance(app: App, wallet: str, manifest: Path | None, screen: Screen) -> None:
    """What the wallet has, has deposited, and what the node may use."""
    from xnode.cli.money.balance import draw_balance, read_balance
    from xnode.cli.money.payment import find_payer
    from xnode.cli.money.wallet import find_address

    answer = read_balance(app, manifest, find_address(app, wallet or find_payer(app)))
    screen.show(answer, lambda: draw_balance(screen, answer))
