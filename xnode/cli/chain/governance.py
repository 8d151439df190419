"""`xnode chain governance`: what the timelock that owns the contracts is about to do, and who may propose to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from eth_abi.exceptions import DecodingError

from metering.eip712 import keccak
from metering.units import ZERO_ADDRESS, Address
from xnode.chain.abi.artifacts import load_abi
from xnode.chain.abi.codec import decode_values, show_value
from xnode.chain.contracts import timelock
from xnode.chain.deployment.check import ARTIFACT_OF
from xnode.chain.deployment.manifest import Contracts, Manifest
from xnode.chain.node.history import read_history
from xnode.chain.node.json_rpc import JsonRpc
from xnode.cli.access.access import Access
from xnode.cli.access.options import chain_option, rpc_option
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_date, brief_duration, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.text.hex import checksum_address, parse_hex, to_hex

ROLES = {
    timelock.PROPOSER_ROLE: "proposers",
    timelock.EXECUTOR_ROLE: "executors",
    timelock.CANCELLER_ROLE: "cancellers",
    timelock.ADMIN_ROLE: "admins",
}

_OPERATIONS = (Column("operation"), Column("stage"), Column("ready"), Column("contract"), Column("call", fold=True))


@click.command("governance")
@click.option("--all", "show_all", is_flag=True, help="Also what is done.")
@chain_option
@rpc_option
@output_option
@pass_app
def governance(app: App, manifest: Path | None, rpc_url: str, show_all: bool, screen: Screen) -> None:
    """Show what waits in the timelock, and who may propose."""
    answer = Access(app, manifest_path=manifest, rpc_url=rpc_url).look(
        lambda reads: make_report(reads.rpc, reads.manifest)
    )
    if not show_all:
        answer["operations"] = [one for one in answer["operations"] if one["stage"] != "done"]
    screen.show(answer, lambda: draw_governance(screen, answer))


async def make_report(rpc: JsonRpc, manifest: Manifest) -> dict[str, Any]:
    """The timelock's delay, who has which role, and its operations, as plain data."""
    address = manifest.contracts.timelock
    return {
        "timelock": checksum_address(address),
        "delay_s": await rpc.view(address, timelock.GET_MIN_DELAY),
        "roles": await _read_roles(rpc, manifest),
        "operations": await _read_operations(rpc, manifest),
    }


def draw_governance(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a report."""
    roles = ((name, ", ".join(_show_account(one) for one in held)) for name, held in answer["roles"].items())
    screen.record((("timelock", answer["timelock"]), ("delay", brief_duration(answer["delay_s"] * 10**9)), *roles))
    if not answer["operations"]:
        say("nothing waits")
        return
    screen.gap()
    cells = (
        (brief_id(one["id"]), one["stage"], brief_date(one["ready_s"] * 10**9), one["contract"], one["call"])
        for one in answer["operations"]
    )
    screen.table(_OPERATIONS, cells)


async def _read_roles(rpc: JsonRpc, manifest: Manifest) -> dict[str, list[str]]:
    """Who was ever given a role and has it now."""
    address, event = manifest.contracts.timelock, timelock.ROLE_GRANTED
    raw = await read_history(rpc, address, (event.topic,), manifest.deployed_at_block)
    given = list(dict.fromkeys((granted.role, granted.account) for granted in map(event.decode, raw)))
    holds = await rpc.view_each(address, timelock.HAS_ROLE, given)
    roles: dict[str, list[str]] = {name: [] for name in ROLES.values()}
    for (role, account), held in zip(given, holds, strict=True):
        if held:
            roles.setdefault(ROLES.get(role, to_hex(role)), []).append(checksum_address(account))
    return roles


async def _read_operations(rpc: JsonRpc, manifest: Manifest) -> list[dict[str, Any]]:
    address, event = manifest.contracts.timelock, timelock.CALL_SCHEDULED
    raw = await read_history(rpc, address, (event.topic,), manifest.deployed_at_block)
    calls = [event.decode(one) for one in raw]
    before = await rpc.view_each(address, timelock.GET_OPERATION_STATE, [(one.predecessor,) for one in calls])
    stages = await rpc.view_each(address, timelock.GET_OPERATION_STATE, [(one.id,) for one in calls])
    times = await rpc.view_each(address, timelock.GET_TIMESTAMP, [(one.id,) for one in calls])
    return [
        {
            "id": to_hex(one.id),
            "stage": _name_stage(one, stage, first),
            "predecessor": to_hex(one.predecessor) if any(one.predecessor) else "",
            "ready_s": ready_s if stage in (timelock.Stage.WAITING, timelock.Stage.READY) else 0,
            "contract": _name_contract(manifest.contracts, one.target),
            "call": describe_call(manifest.contracts, one.target, one.data),
        }
        for one, stage, ready_s, first in zip(calls, stages, times, before, strict=True)
    ]


def _name_stage(call: timelock.CallScheduled, stage: timelock.Stage, first: timelock.Stage) -> str:
    """For people; an operation that another must come before is not ready until that one is done."""
    if stage is timelock.Stage.READY and any(call.predecessor) and first is not timelock.Stage.DONE:
        return f"after {brief_id(to_hex(call.predecessor))}"
    return stage.name.lower() if stage else "cancelled"


def describe_call(contracts: Contracts, target: Address, data: bytes) -> str:
    """The call with its values by name, as the target's build has it; else its bytes."""
    for name, artifact in ARTIFACT_OF.items():
        if getattr(contracts, name) != target:
            continue
        for entry in load_abi(artifact):
            if entry.kind == "function" and keccak(entry.signature.encode())[:4] == data[:4]:
                try:
                    values = decode_values(entry.inputs, data[4:])
                except DecodingError:
                    return to_hex(data)
                named = zip((field.name for field in entry.inputs), values, strict=True)
                return f"{entry.name}({', '.join(f'{name}={show_value(value)}' for name, value in named)})"
    return to_hex(data)


def _name_contract(contracts: Contracts, target: Address) -> str:
    found = next((name for name in ARTIFACT_OF if getattr(contracts, name) == target), "")
    return found or checksum_address(target)


def _show_account(account: str) -> str:
    return "anyone" if parse_hex(account) == ZERO_ADDRESS else account
