"""`xnode chain`: look at the contracts themselves, whoever you are: every view of them by name, and their events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.screen import Column, Screen

CONTRACTS = {"token": "OpenxToken", "registry": "ProviderRegistry", "escrow": "PaymentEscrow"}

_chain_option = click.option(
    "--chain", "manifest", type=click.Path(path_type=Path), help="The deployment's manifest.  [default: the config's]"
)
_contract_argument = click.argument("contract", type=click.Choice(tuple(CONTRACTS)))


@click.group(cls=LazyGroup)
def chain() -> None:
    """Ask the contracts, read only. CONTRACT is token, registry or escrow."""


@chain.command("views")
@_contract_argument
@output_option
@pass_app
def views(app: App, contract: str, screen: Screen) -> None:
    """What can be asked of a contract."""
    from xnode.chain.artifacts import load_artifact

    rows = [
        {"view": entry["name"], "takes": _list_types(entry["inputs"]), "gives": _list_types(entry["outputs"])}
        for entry in load_artifact(CONTRACTS[contract]).abi
        if entry["type"] == "function" and entry["stateMutability"] in ("view", "pure")
    ]
    columns = (Column("view"), Column("takes", fold=True), Column("gives", fold=True))
    screen.show(rows, lambda: screen.table(columns, (tuple(row.values()) for row in rows)))


@chain.command("call")
@_contract_argument
@click.argument("view")
@click.argument("arguments", nargs=-1)
@_chain_option
@output_option
@pass_app
def call(app: App, contract: str, view: str, arguments: tuple[str, ...], manifest: Path | None, screen: Screen) -> None:
    """Call VIEW, like: xnode chain call escrow free PAYER ASSET. Lists and structs are written as JSON."""
    from xnode.cli.chain_call import call_view

    answer = call_view(app, manifest, contract, view, arguments)
    screen.show(answer, lambda: screen.record(tuple((name, str(value)) for name, value in answer.items())))


def _list_types(entries: list[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['type']} {entry.get('name', '')}".strip() for entry in entries)
