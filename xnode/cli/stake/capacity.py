"""`xnode provider capacity`: what a provider's hardware was seen to do, and having it verified."""

from __future__ import annotations

from typing import Any

import click

from metering.units import Address, Amount, Hash32
from xnode.chain.abi.codec import to_hex
from xnode.chain.contracts import capacity_registry
from xnode.chain.contracts.capacity_registry import (
    Capacity,
    DeviceClass,
    read_challenge,
    read_classes,
    read_settings,
    read_verification,
)
from xnode.chain.contracts.compute_credit import DECIMALS
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc, View
from xnode.cli.access.deployment import run_async
from xnode.cli.access.owner import Owner, owner_options
from xnode.cli.access.purse import make_intent
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.stake.stake import require_openx
from xnode.cli.terminal.brief import brief_date, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import format_amount

MAX_HISTORY = 20
"""Verdicts shown, the newest: -o json has no more either, ask the contract for older ones."""

_CLASSES = (
    Column("class"),
    Column("kind"),
    Column("one is", right=True),
    Column("matrix", right=True),
    Column("within", right=True),
    Column("verified", right=True),
)
_HISTORY = (Column("from"), Column("until"), Column("GPUs", right=True), Column("vCPUs", right=True))


@click.group("capacity", cls=LazyGroup, invoke_without_command=True)
@click.option("--of", "provider", default="", help="Another provider, by address or wallet.")
@owner_options
@output_option
@click.pass_context
@pass_app
def capacity(app: App, ctx: click.Context, /, provider: str, screen: Screen, **options: Any) -> None:
    """What is verified for each class and until when, jail, the open challenge, and what was before."""
    if ctx.invoked_subcommand:
        return
    owner = Owner(app, **{**options, **({"wallet": provider} if provider else {})})
    deployment, address = owner.find_deployment(), owner.find_address()

    async def work() -> dict[str, Any]:
        async with deployment.connect() as rpc:
            return await make_report(rpc, deployment.manifest, address)

    answer = run_async(work)
    screen.show(answer, lambda: draw_capacity(screen, answer))


@capacity.command("request")
@click.option(
    "--class", "declared", multiple=True, required=True, metavar="NAME=COUNT", help="Such as cpu=8; repeat it."
)
@owner_options
@output_option
@pass_app
def request(app: App, /, declared: tuple[str, ...], screen: Screen, **options: Any) -> None:
    """Have the devices of this provider challenged, all at once; the running node answers by itself.

    The fee goes to the verifiers who judge. Failing jails: no minting until the next challenge is passed.
    """
    owner = Owner(app, **options)
    deployment = owner.find_deployment()
    manifest = deployment.manifest
    registry = manifest.contracts.capacity_registry

    async def work() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            wanted = parse_declared(declared, await read_classes(payer.rpc, registry))
            await _require_none_open(payer.rpc, registry, payer.address)
            settings = await read_settings(payer.rpc, registry)
            await require_openx(payer.rpc, manifest, payer.address, settings.fee, "request it later")
            say(f"requesting a challenge of {', '.join(declared)} for {_show(settings.fee)} ...")
            await payer.request_challenge(make_intent("challenge"), wanted, settings.fee)
            return await make_report(payer.rpc, manifest, payer.address)

    answer = run_async(work)
    screen.show(answer, lambda: draw_capacity(screen, answer))
    if not app.control.is_up():
        say("start the node now, or nobody answers: xnode provider run")


def parse_declared(texts: tuple[str, ...], classes: tuple[DeviceClass, ...]) -> tuple[tuple[int, int], ...]:
    """(class id, count) of each NAME=COUNT. UserError naming the one that is wrong."""
    known = {one.name: one for one in classes if one.weight_milli}
    declared: dict[int, int] = {}
    for text in texts:
        name, _, count = text.partition("=")
        if name not in known:
            raise UserError("there is no such class", where=name, hint=f"choose one of: {', '.join(known)}")
        if not count.isdecimal() or not 0 < int(count) < 1 << 16:
            raise UserError(f"{text!r} is not NAME=COUNT", where="--class", hint="write it like cpu=8")
        if known[name].class_id in declared:
            raise UserError("is named twice", where=name, hint="add the counts up")
        declared[known[name].class_id] = int(count)
    return tuple(sorted(declared.items()))


async def make_report(rpc: JsonRpc, manifest: Manifest, provider: Address) -> dict[str, Any]:
    """All that CapacityRegistry knows of the provider, as plain data."""
    registry = manifest.contracts.capacity_registry
    classes, settings = await read_classes(rpc, registry), await read_settings(rpc, registry)
    known = await read_verification(rpc, registry, provider)
    views = [View(registry, capacity_registry.VERIFIED_OF, (provider, one.class_id)) for one in classes]
    views.append(View(registry, capacity_registry.LAPSED_SINCE, (provider,)))
    *verified, lapsed_since = await rpc.view_all(views)
    return {
        "provider": to_hex(provider),
        "in_force": bool(known.capacity.until),
        "jailed": known.is_jailed,
        "until_s": known.capacity.until,
        "lapsed_since_s": lapsed_since,
        "gpu_units": _format_milli(known.capacity.gpu_milli),
        "cpu_units": _format_milli(known.capacity.cpu_milli),
        "classes": [_make_class(*pair) for pair in zip(classes, verified, strict=True)],
        "challenge": await _make_challenge(rpc, registry, known.open_challenge),
        "history": [_make_past(one) for one in await _read_history(rpc, registry, provider)],
        "fee": format_amount(settings.fee, DECIMALS),
        "validity_s": settings.validity_s,
    }


def draw_capacity(screen: Screen, answer: dict[str, Any]) -> None:
    """Print a capacity report."""
    challenge = answer["challenge"]
    screen.record(
        (
            ("provider", answer["provider"]),
            ("verified", _describe(answer)),
            ("challenge", _describe_challenge(challenge) if challenge else ""),
            ("fee", f"{answer['fee']} OPENX for a challenge, good for {answer['validity_s']} s"),
        )
    )
    screen.gap()
    screen.table(_CLASSES, (_make_class_cells(row) for row in answer["classes"]))
    if answer["history"]:
        screen.gap()
        cells = (
            (brief_date(one["from_s"] * 10**9), brief_date(one["until_s"] * 10**9), one["gpus"], one["vcpus"])
            for one in answer["history"]
        )
        screen.table(_HISTORY, cells, title="verdicts that passed")
    if not answer["in_force"] and not challenge:
        say("next: xnode provider capacity request --class NAME=COUNT")


async def _require_none_open(rpc: JsonRpc, registry: Address, provider: Address) -> None:
    opened = (await read_verification(rpc, registry, provider)).open_challenge
    if opened is not None:
        raise UserError(
            f"challenge {brief_id(to_hex(opened))} is open already",
            where=to_hex(provider),
            hint="`xnode provider capacity` shows it",
            code=ExitCode.CONFLICT,
        )


async def _read_history(rpc: JsonRpc, registry: Address, provider: Address) -> list[Capacity]:
    count = int(await rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider))
    places = range(max(0, count - MAX_HISTORY), count)
    views = [View(registry, capacity_registry.HISTORY_OF, (provider, place)) for place in places]
    return [Capacity(*found) for found in await rpc.view_all(views)]


async def _make_challenge(rpc: JsonRpc, registry: Address, challenge_id: Hash32 | None) -> dict[str, Any] | None:
    if challenge_id is None:
        return None
    found = await read_challenge(rpc, registry, challenge_id)
    return {
        "challenge_id": to_hex(challenge_id),
        "stage": found.stage,
        "draw_block": found.draw_block,
        "deadline_s": found.deadline,
        "panel": [to_hex(member) for member in found.panel],
        "quorum": found.quorum,
        "declared": {one.name: one.count for one in found.declared},
    }


def _make_class(one: DeviceClass, verified: int) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "weight": _format_milli(one.weight_milli),
        "n": one.n,
        "time_limit_ms": one.time_limit_ms,
        "verified": verified,
    }


def _make_class_cells(row: dict[str, Any]) -> tuple[object, ...]:
    unit = "tGPU/h" if row["kind"] == "gpu" else "tCPU/h"
    takes = f"{row['weight']} {unit}" if row["weight"] != "0" else "closed"
    return row["name"], row["kind"], takes, row["n"], f"{row['time_limit_ms'] / 1000:g} s", row["verified"]


def _make_past(one: Capacity) -> dict[str, int]:
    return {"from_s": one.since, "until_s": one.until, "gpus": one.gpus, "vcpus": one.vcpus}


def _describe(answer: dict[str, Any]) -> str:
    if answer["in_force"]:
        units = f"{answer['gpu_units']} reference GPUs and {answer['cpu_units']} reference vCPUs"
        return f"{units} until {brief_date(answer['until_s'] * 10**9)}"
    since = brief_date(answer["lapsed_since_s"] * 10**9)
    if answer["jailed"]:
        return f"nothing: jailed since {since}, because the last challenge was failed; the next one passed ends it"
    return f"nothing: it expired at {since}" if answer["lapsed_since_s"] else "nothing yet"


def _describe_challenge(challenge: dict[str, Any]) -> str:
    declared = ", ".join(f"{name}={count}" for name, count in challenge["declared"].items())
    text = f"{brief_id(challenge['challenge_id'])} of {declared}: {challenge['stage']}"
    if challenge["stage"] == "requested":
        return f"{text}, drawn after block {challenge['draw_block']}"
    return (
        f"{text}, {challenge['quorum']} of {len(challenge['panel'])} verdicts decide"
        f" until {brief_date(challenge['deadline_s'] * 10**9)}"
    )


def _format_milli(milli: int) -> str:
    return format_amount(milli, 3)


def _show(amount: Amount) -> str:
    return format_amount(amount, DECIMALS, "OPENX")
