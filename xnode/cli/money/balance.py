"""Balance: what a wallet holds on chain and has deposited, and how that looks."""

from __future__ import annotations

from typing import Any

from metering.units import Address
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import QUICK_S, Access
from xnode.cli.node.setup import read_node_address
from xnode.cli.terminal.brief import brief_money
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, Retryable, UserError
from xnode.text.amount import NATIVE_DECIMALS, format_amount
from xnode.text.hex import to_hex

_COLUMNS = (
    Column("asset"),
    Column("in the wallet", right=True),
    Column("deposited, free", right=True),
    Column("node may use", right=True),
)


def read_balance(access: Access) -> dict[str, Any]:
    """What the wallet has, as plain data; amounts as exact decimal strings. Needs no password."""
    address, home = access.address, access.app.home
    node = read_node_address(home) if home.node_key.exists() else None
    try:
        answer = access.look(lambda reads: _read_all(reads, address, node), QUICK_S)
    except Retryable as error:
        raise UserError(
            f"what it has and has deposited cannot be learned: {error.message}",
            where=to_hex(address),
            hint=error.hint,
            code=ExitCode.UNREACHABLE,
        ) from error
    return answer | {"stuck": _find_stuck(access)}


def _find_stuck(access: Access) -> str:
    """What the running node says of reserves that it cannot take back; "" where none runs."""
    control = access.app.control
    if not control.is_up():
        return ""
    try:
        return str(control.call("node.status")["ready"].get("reserve", ""))
    except (UserError, Retryable):
        return ""


def draw_balance(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a read_balance answer."""
    native = brief_money(answer["native"])
    screen.record(
        (
            ("wallet", answer["wallet"]),
            ("chain", answer["chain_id"]),
            ("for gas", native),
            ("node key's gas", "" if answer["node_native"] is None else brief_money(answer["node_native"])),
            ("stuck", answer["stuck"]),
        )
    )
    cells = (
        (row["asset"], brief_money(row["wallet"]), brief_money(row["deposited"]), brief_money(row["node_cap"]))
        for row in answer["assets"]
    )
    screen.table(_COLUMNS, cells)
    if answer["node_native"] == "0" and any(row["node_cap"] != "0" for row in answer["assets"]):
        say("hint: without gas the node cannot take back what a provider that vanished left reserved: xnode pay gas")


async def _read_all(reads: ChainReads, wallet: Address, node: Address | None) -> dict[str, Any]:
    balances = await reads.balances(wallet)
    rows = []
    for one in balances.assets:
        cap = await reads.opener_cap(wallet, node, one.asset.address) if node else 0
        rows.append(
            {
                "asset": one.asset.symbol,
                "wallet": one.asset.format(one.wallet),
                "deposited": one.asset.format(one.free),
                "node_cap": one.asset.format(cap),
            }
        )
    return {
        "wallet": to_hex(wallet),
        "chain_id": reads.manifest.chain_id,
        "native": format_amount(balances.wei, NATIVE_DECIMALS),
        "node_native": None if node is None else format_amount(await reads.native_balance(node), NATIVE_DECIMALS),
        "assets": rows,
    }
