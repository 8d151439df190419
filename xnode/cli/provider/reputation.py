"""`xnode provider reputation`: what the contracts know of a provider's work; nothing in it is an opinion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from metering.units import ZERO_ADDRESS
from xnode.chain.provider_record import Record, read_record
from xnode.cli.access.access import Access
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_date, brief_money
from xnode.cli.terminal.given import GivenPath, GivenText
from xnode.cli.terminal.screen import Column, Screen
from xnode.text.amount import OPENX_DECIMALS, format_amount
from xnode.text.hex import to_hex

_COLUMNS = (
    Column("asset"),
    Column("settled", right=True),
    Column("refunded for breaches", right=True),
    Column("out of stake", right=True),
    Column("still owed to it", right=True),
)


@click.command("reputation")
@click.argument("provider", type=GivenText(), required=False)
@click.option("--chain", "manifest", type=GivenPath(path_type=Path), help="Manifest, when there is no config yet.")
@output_option
@pass_app
def reputation(app: App, provider: str | None, manifest: Path | None, screen: Screen) -> None:
    """Show a provider's settled work, proven faults and refunds.

    PROVIDER is an address or a wallet, by default this home's; read from the chain.
    """
    access = Access.of_owner(app, provider or "", manifest)
    address = access.address
    answer = make_answer(access.look(lambda reads: read_record(reads.rpc, reads.manifest, address)))
    screen.show(answer, lambda: draw_reputation(screen, answer))


def make_answer(record: Record) -> dict[str, Any]:
    """The record as plain data; amounts as exact decimal strings."""
    return {
        "provider": to_hex(record.provider),
        "node": "" if record.node_key == ZERO_ADDRESS else to_hex(record.node_key),
        "node_since_s": record.key_since_s,
        "stake": format_amount(record.stake, OPENX_DECIMALS),
        "faults": record.faults,
        "slashed": format_amount(record.slashed, OPENX_DECIMALS),
        "assets": [
            {
                "asset": one.asset.symbol,
                "settled": format_amount(one.settled, one.asset.decimals),
                "refunded": format_amount(one.refunded, one.asset.decimals),
                "compensated": format_amount(one.compensated, one.asset.decimals),
                "owed": format_amount(one.owed, one.asset.decimals),
            }
            for one in record.assets
        ],
    }


def draw_reputation(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a record."""
    slashed = brief_money(answer["slashed"], "OPENX")
    screen.record(
        (
            ("provider", answer["provider"]),
            ("node", answer["node"] or "none: it is not registered"),
            ("node key since", brief_date(answer["node_since_s"] * 10**9) if answer["node"] else ""),
            ("stake", brief_money(answer["stake"], "OPENX")),
            (
                "faults proven",
                f"{answer['faults']}, {slashed} slashed" if answer["faults"] else "none",
            ),
        )
    )
    cells = (
        (row["asset"], *(brief_money(row[name]) for name in ("settled", "refunded", "compensated", "owed")))
        for row in answer["assets"]
    )
    screen.table(_COLUMNS, cells)
