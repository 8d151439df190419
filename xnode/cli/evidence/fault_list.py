"""Fault list: what was proved against providers, from the events of the contracts that judge."""

from __future__ import annotations

from typing import Any

from metering.faults import Fault
from metering.units import Address
from xnode.chain.abi.log import Log
from xnode.chain.contracts import breach_prover, fault_prover
from xnode.chain.node.history import read_history
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access
from xnode.cli.terminal.brief import brief_address, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.text.amount import OPENX_DECIMALS, format_amount
from xnode.text.hex import to_hex

_COLUMNS = (
    Column("block", right=True),
    Column("what"),
    Column("provider"),
    Column("slashed", right=True),
    Column("reward", right=True),
    Column("refunded", right=True),
    Column("id"),
)


def list_proven(access: Access) -> list[dict[str, Any]]:
    """Faults and breaches in the order of the chain. access: its wallet names the provider, "" for all of them."""
    provider = access.address if access.wallet else None
    return access.look(lambda reads: _read_all(reads, provider))


def draw_proven(screen: Screen, answer: list[dict[str, Any]]) -> None:
    """Print the list."""
    if not answer:
        say("nothing was proved yet")
        return
    screen.table(_COLUMNS, (_make_cells(row) for row in answer))


async def _read_all(reads: ChainReads, provider: Address | None) -> list[dict[str, Any]]:
    contracts = reads.manifest.contracts
    events = (fault_prover.FAULT_PROVEN, breach_prover.BREACH_PROVEN, breach_prover.BREACH_COMPENSATED)
    topics = ([event.topic for event in events], None, None if provider is None else provider.rjust(32, b"\0"))
    found: list[Log] = []
    for judge in (contracts.fault_prover, contracts.over_capacity, contracts.breach_prover):
        found += await read_history(reads.rpc, judge, topics, reads.manifest.deployed_at_block)
    return [_make_row(entry) for entry in sorted(found, key=lambda log: (log.block_number, log.log_index))]


def _make_row(entry: Log) -> dict[str, Any]:
    row = {"block": entry.block_number, "tx_hash": to_hex(entry.tx_hash)}
    if entry.topics[0] == breach_prover.BREACH_PROVEN.topic:
        breach = breach_prover.BREACH_PROVEN.decode(entry)
        refunded = {"refunded_base_units": str(breach.refunded), "short_base_units": str(breach.short)}
        return {
            **row,
            "what": "breach",
            "provider": to_hex(breach.provider),
            "id": to_hex(breach.lease_id),
            "escrow_id": to_hex(breach.escrow_id),
            **refunded,
        }
    if entry.topics[0] == breach_prover.BREACH_COMPENSATED.topic:
        paid = breach_prover.BREACH_COMPENSATED.decode(entry)
        return {
            **row,
            "what": "compensated",
            "provider": to_hex(paid.provider),
            "id": to_hex(paid.lease_id),
            "refunded_base_units": str(paid.paid),
            "refunded": format_amount(paid.paid, OPENX_DECIMALS),
        }
    proven = fault_prover.FAULT_PROVEN.decode(entry)
    return {
        **row,
        "what": Fault(proven.fault).name.lower(),
        "provider": to_hex(proven.provider),
        "id": to_hex(proven.evidence_id),
        "reporter": to_hex(proven.reporter),
        "slashed": format_amount(proven.slashed, OPENX_DECIMALS),
        "reward": format_amount(proven.reward, OPENX_DECIMALS),
    }


def _make_cells(row: dict[str, Any]) -> tuple[object, ...]:
    shown = [f"{row[name]} OPENX" if name in row else "" for name in ("slashed", "reward")]
    # Out of stake it is OPENX; out of a reserve it is in the lease's asset, which the event does not name.
    units = row.get("refunded_base_units", "")
    refunded = f"{row['refunded']} OPENX" if "refunded" in row else f"{units} base units" if units else ""
    if row.get("short_base_units", "0") != "0":
        short = f"{row['short_base_units']} base units due out of stake"
        refunded = short if units == "0" else f"{refunded}, {short}"
    return row["block"], row["what"], brief_address(row["provider"]), *shown, refunded, brief_id(row["id"])
