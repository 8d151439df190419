"""`xnode offer`: what providers on the market ask."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.job.view import brief_notes, common_asset
from xnode.cli.lazy import LazyGroup
from xnode.cli.node.launch import ensure_daemon
from xnode.cli.terminal.brief import brief_address, brief_age, brief_hosting, brief_money
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import OfferRow

_COLUMNS = (
    Column("provider"),
    Column("region", fold=True),
    Column("free", fold=True),
    Column("per hour", right=True),
    Column("vCPU h", right=True),
    Column("GPU h", right=True, optional=True),
    Column("asset", optional=True),
    Column("age", right=True),
    Column("notes", fold=True, optional=True),
)


@click.group(cls=LazyGroup)
def offer() -> None:
    """What providers on the market ask."""


@offer.command("ls")
@click.option("--region", help="Only this region.")
@click.option("--gpu", metavar="MODEL", help='Only with this GPU; part of its name is enough, like "H200".')
@click.option("--limit", type=click.IntRange(min=1), default=50, help="How many a table has.  [default: 50]")
@output_option
@pass_app
def ls(app: App, region: str | None, gpu: str | None, limit: int, screen: Screen) -> None:
    """List the offers this node knows, cheapest first."""
    answer = ensure_daemon(app.home).call("offer.list")
    chosen = [row for row in answer if _is_wanted(row, region, gpu)]
    screen.show(chosen, lambda: _draw(screen, chosen, len(answer), limit))


def _is_wanted(row: dict[str, Any], region: str | None, gpu: str | None) -> bool:
    return (not region or row["region"] == region) and (
        not gpu or gpu.lower() in str(row["capacity"].get("gpu_model", "")).lower()
    )


def _draw(screen: Screen, chosen: list[dict[str, Any]], known: int, limit: int) -> None:
    rows = msgspec.convert(chosen, list[OfferRow])
    if not rows and known:
        say(f"none of the {known} offers known is like that; `xnode offer ls` lists them all")
        return
    if not rows:
        say("no offers are known; `xnode daemon status` shows whether there are any peers")
        return
    rows.sort(key=lambda row: float(row.hour_price or 0))
    asset = common_asset(row.asset for row in rows)
    cells = (_make_cells(row, bool(asset)) for row in rows[:limit])
    screen.table(_COLUMNS, cells, f"offers, cheapest first{f'; prices in {asset}' if asset else ''}")
    if len(rows) > limit:
        say(f"{len(rows) - limit:,} more: --limit shows them, --region and --gpu fewer")


def _make_cells(row: OfferRow, one_asset: bool) -> tuple[object, ...]:
    return (
        brief_address(row.provider),
        row.region,
        brief_hosting(row.free),
        brief_money(row.hour_price),
        brief_money(row.prices.vcpu_hour),
        brief_money(row.prices.gpu_hour) if row.capacity.gpus else "",
        "" if one_asset else row.asset,
        "silent" if row.silent else brief_age(row.heard_at_ns) if row.heard_at_ns else "",
        _make_notes(row),
    )


def _make_notes(row: OfferRow) -> str:
    """What is known of the provider beside its prices; what is not known is left out."""
    return brief_notes(
        row.promise,
        row.latency_ms,
        f"trust {row.reputation:.0%}" if row.reputation is not None else "",
        f"stake {brief_money(row.stake)}{', in default' if row.in_default else ''}" if row.stake is not None else "",
    )
