"""`xnode chain`: look at the contracts themselves: every view of them by name, and what waits in the timelock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnode.cli.access.options import chain_option, rpc_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.chain.contracts import CONTRACTS, list_contracts
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.screen import Column, Screen

if TYPE_CHECKING:
    from xnode.chain.abi.artifacts import AbiField

_contract_argument = click.argument("contract", type=click.Choice(tuple(CONTRACTS)), metavar="CONTRACT")


_LAZY = {
    "deploy": Lazy("xnode.cli.chain.deploy:deploy_", "Put all contracts on a chain, as a plan says."),
    "governance": Lazy(
        "xnode.cli.chain.governance:governance", "Show what waits in the timelock, and who may propose."
    ),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def chain() -> None:
    """Ask the contracts, or deploy them."""


@chain.command("views", help=f"Show what can be asked of a contract.\n\nCONTRACT is {list_contracts()}.")
@_contract_argument
@output_option
@pass_app
def views(app: App, contract: str, screen: Screen) -> None:
    from xnode.chain.abi.artifacts import load_abi

    rows = [
        {"view": entry.name, "takes": _list_types(entry.inputs), "gives": _list_types(entry.outputs)}
        for entry in load_abi(CONTRACTS[contract][0])
        if entry.is_view
    ]
    columns = (Column("view"), Column("takes", fold=True), Column("gives", fold=True))
    screen.show(rows, lambda: screen.table(columns, (tuple(row.values()) for row in rows)))


@chain.command(
    "call",
    help="Call VIEW, like: xnode chain call escrow free PAYER ASSET.\n\n"
    f"CONTRACT is {list_contracts()}. PAYER and ASSET are addresses; lists and structs are written as JSON.",
)
@_contract_argument
@click.argument("view")
@click.argument("arguments", nargs=-1)
@chain_option
@rpc_option
@output_option
@pass_app
def call(
    app: App,
    contract: str,
    view: str,
    arguments: tuple[str, ...],
    manifest: Path | None,
    rpc_url: str,
    screen: Screen,
) -> None:
    from xnode.extras import require_module

    require_module("web3", "xnode chain call")
    from xnode.cli.access.deployment import find_deployment
    from xnode.cli.chain.call import call_view

    answer = call_view(find_deployment(app, manifest, rpc_url), contract, view, arguments)
    screen.show(answer, lambda: screen.record(tuple((name, str(value)) for name, value in answer.items())))


def _list_types(fields: Sequence[AbiField]) -> str:
    return ", ".join(f"{field.kind} {field.name}".strip() for field in fields)
