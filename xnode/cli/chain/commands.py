"""`xnode chain`: look at the contracts themselves, whoever you are: every view of them by name, and their events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.screen import Column, Screen

CONTRACTS = {
    "token": ("OpenxToken", "openx_token"),
    "registry": ("ProviderRegistry", "provider_registry"),
    "splits": ("SplitRegistry", "split_registry"),
    "capacity": ("CapacityRegistry", "capacity_registry"),
    "tgpu": ("ComputeCredit", "gpu_credit"),
    "tcpu": ("ComputeCredit", "cpu_credit"),
    "escrow": ("PaymentEscrow", "payment_escrow"),
    "faults": ("FaultProver", "fault_prover"),
    "timelock": ("TimelockController", "timelock"),
}
"""As people call them: the artifact's name, and the manifest's."""

_chain_option = click.option(
    "--chain", "manifest", type=click.Path(path_type=Path), help="The deployment's manifest.  [default: the config's]"
)
_contract_argument = click.argument("contract", type=click.Choice(tuple(CONTRACTS)))


_LAZY = {
    "deploy": Lazy("xnode.cli.chain.deploy:deploy_", "Put all contracts on a chain, as a plan says."),
    "governance": Lazy("xnode.cli.chain.governance:governance", "What waits in the timelock, and who may propose."),
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def chain() -> None:
    """Ask the contracts, read only, or deploy them."""


@chain.command("views")
@_contract_argument
@output_option
@pass_app
def views(app: App, contract: str, screen: Screen) -> None:
    """What can be asked of a contract."""
    from xnode.chain.abi.artifacts import load_artifact

    rows = [
        {"view": entry["name"], "takes": _list_types(entry["inputs"]), "gives": _list_types(entry["outputs"])}
        for entry in load_artifact(CONTRACTS[contract][0]).abi
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
    from xnode.cli.chain.call import call_view

    answer = call_view(app, manifest, contract, view, arguments)
    screen.show(answer, lambda: screen.record(tuple((name, str(value)) for name, value in answer.items())))


def _list_types(entries: list[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['type']} {entry.get('name', '')}".strip() for entry in entries)
