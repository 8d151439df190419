"""Fault list: what was proved against providers, from FaultProver's events."""

from __future__ import annotations

from typing import Any

from metering.faults import Fault
from metering.units import Address
from xnode.chain.abi.codec import Event, parse_hex, to_hex
from xnode.chain.contracts import fault_prover
from xnode.chain.contracts.compute_credit import DECIMALS
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.access.deployment import run_async
from xnode.cli.access.owner import Owner
from xnode.cli.terminal.brief import brief_address, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.text.amount import format_amount

_COLUMNS = (
    Column("block", right=True),
    Column("what"),
    Column("provider"),
    Column("slashed", right=True),
    Column("reward", right=True),
    Column("refunded", right=True),
    Column("id"),
)


def list_proven(owner: Owner) -> list[dict[str, Any]]:
    """Faults and breaches in the order of the chain. owner: its wallet names the provider, "" for all of them."""
    deployment = owner.find_deployment()
    provider = owner.find_address() if owner.wallet else None

    async def work() -> list[dict[str, Any]]:
        async with deployment.connect() as rpc:
            return await _read_all(rpc, deployment.manifest, provider)

    return run_async(work)


def draw_proven(screen: Screen, answer: list[dict[str, Any]]) -> None:
    """Print the list."""
    if not answer:
        say("nothing was proved yet")
        return
    screen.table(_COLUMNS, (_make_cells(row) for row in answer))


async def _read_all(rpc: JsonRpc, manifest: Manifest, provider: Address | None) -> list[dict[str, Any]]:
    topics = [event.topic for event in (fault_prover.FAULT_PROVEN, fault_prover.BREACH_PROVEN)]
    who = None if provider is None else provider.rjust(32, b"\0")
    raw = await read_history(rpc, manifest.contracts.fault_prover, (topics, None, who), manifest.deployed_at_block)
    return [_make_row(entry) for entry in raw]


def _make_row(entry: dict[str, Any]) -> dict[str, Any]:
    row = {"block": int(entry["blockNumber"], 16), "tx_hash": entry["transactionHash"]}
    if parse_hex(entry["topics"][0]) == fault_prover.BREACH_PROVEN.topic:
        told = _decode(fault_prover.BREACH_PROVEN, entry)
        refunded = {"refunded_base_units": str(told["refunded"]), "escrow_id": to_hex(told["escrowId"])}
        return {
            **row,
            "what": "breach",
            "provider": to_hex(told["provider"]),
            "id": to_hex(told["leaseId"]),
            **refunded,
        }
    told = _decode(fault_prover.FAULT_PROVEN, entry)
    return {
        **row,
        "what": Fault(told["fault"]).name.lower(),
        "provider": to_hex(told["provider"]),
        "id": to_hex(told["faultId"]),
        "reporter": to_hex(told["reporter"]),
        "slashed": format_amount(told["slashed"], DECIMALS),
        "reward": format_amount(told["reward"], DECIMALS),
    }


def _decode(event: Event, entry: dict[str, Any]) -> dict[str, Any]:
    topics = [parse_hex(topic) for topic in entry["topics"]]
    return event.decode(topics[1:], parse_hex(entry["data"]))  # type: ignore[arg-type]


def _make_cells(row: dict[str, Any]) -> tuple[object, ...]:
    shown = [f"{row[name]} OPENX" if name in row else "" for name in ("slashed", "reward")]
    refunded = row.get("refunded_base_units", "")
    return row["block"], row["what"], brief_address(row["provider"]), *shown, refunded, brief_id(row["id"])
