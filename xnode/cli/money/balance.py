"""Money: what a wallet holds on chain and has deposited, and how that looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metering.units import Address
from xnode.chain.abi.codec import to_hex
from xnode.chain.contracts import openx_token, payment_escrow
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.access.deployment import Deployment, find_deployment, run_async
from xnode.cli.app import App
from xnode.cli.node.setup import read_node_address
from xnode.cli.terminal.brief import brief_money
from xnode.cli.terminal.screen import Column, Screen
from xnode.text.amount import format_amount

NATIVE_DECIMALS = 18

_COLUMNS = (
    Column("asset"),
    Column("in the wallet", right=True),
    Column("deposited, free", right=True),
    Column("node may use", right=True),
)


def read_balance(app: App, manifest: Path | None, address: Address) -> dict[str, Any]:
    """What the wallet has, as plain data; amounts as exact decimal strings. Needs no password."""
    deployment = find_deployment(app, manifest)
    node = read_node_address(app.home) if app.home.node_key.exists() else None

    async def read() -> dict[str, Any]:
        async with deployment.connect() as rpc:
            return await _read_all(rpc, deployment, address, node)

    return run_async(read)


def draw_balance(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a read_balance answer."""
    native = brief_money(answer["native"])
    screen.record((("wallet", answer["wallet"]), ("chain", answer["chain_id"]), ("for gas", native)))
    cells = (
        (row["asset"], brief_money(row["wallet"]), brief_money(row["deposited"]), brief_money(row["node_cap"]))
        for row in answer["assets"]
    )
    screen.table(_COLUMNS, cells)


async def _read_all(rpc: JsonRpc, deployment: Deployment, wallet: Address, node: Address | None) -> dict[str, Any]:
    manifest = deployment.manifest
    escrow = manifest.contracts.payment_escrow
    rows = []
    for asset in manifest.assets:
        held = await rpc.view(asset.address, openx_token.BALANCE_OF, wallet)
        free = await rpc.view(escrow, payment_escrow.FREE, wallet, asset.address)
        cap = await rpc.view(escrow, payment_escrow.OPENER_CAP, wallet, node, asset.address) if node else 0
        rows.append(
            {
                "asset": asset.symbol,
                "wallet": format_amount(held, asset.decimals),
                "deposited": format_amount(free, asset.decimals),
                "node_cap": format_amount(cap, asset.decimals),
            }
        )
    native = int(await rpc.read("eth_getBalance", to_hex(wallet), "latest"), 16)
    return {
        "wallet": to_hex(wallet),
        "chain_id": manifest.chain_id,
        "native": format_amount(native, NATIVE_DECIMALS),
        "assets": rows,
    }
