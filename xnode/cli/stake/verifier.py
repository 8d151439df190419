"""`xnode provider verifier`: judging others' challenges, and the fees for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from metering.units import Address
from xnode.chain.abi.codec import to_hex
from xnode.chain.accounts import read_stake
from xnode.chain.contracts import capacity_registry
from xnode.chain.contracts.capacity_registry import read_settings, read_verification
from xnode.chain.contracts.compute_credit import DECIMALS
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.payer import Payer
from xnode.cli.access.deployment import run_async
from xnode.cli.access.owner import Owner, owner_options
from xnode.cli.access.purse import make_intent
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.amount import format_amount


@click.group("verifier", cls=LazyGroup)
def verifier() -> None:
    """Judge others' challenges. The running node does it by itself once its provider has enlisted."""


@verifier.command("enlist")
@owner_options
@output_option
@pass_app
def enlist(app: App, /, screen: Screen, **options: Any) -> None:
    """Become a verifier: a part of the stake stands behind the verdicts from then on."""

    async def work(payer: Payer) -> None:
        registry = payer.manifest.contracts.capacity_registry
        if (await read_verification(payer.rpc, registry, payer.address)).is_verifier:
            raise UserError("is a verifier already", where=to_hex(payer.address), code=ExitCode.CONFLICT)
        needed = (await read_settings(payer.rpc, registry)).verifier_stake
        free = (await read_stake(payer.rpc, payer.manifest, payer.address)).can_leave
        if free < needed:
            raise UserError(
                f"a verifier pledges {_show(needed)} of stake that nothing else holds, {_show(free)} are there",
                where=to_hex(payer.address),
                hint=f"xnode provider stake {format_amount(needed - free, DECIMALS)}",
                code=ExitCode.FUNDS,
            )
        say(f"enlisting with {_show(needed)} of the stake ...")
        await payer.enlist(make_intent("enlist"))

    _do(Owner(app, **options), screen, work)


@verifier.command("leave")
@owner_options
@output_option
@pass_app
def leave(app: App, /, screen: Screen, **options: Any) -> None:
    """Judge no more. The pledge stays held for a while, for what was signed before."""

    async def work(payer: Payer) -> None:
        say("leaving ...")
        await payer.leave_verifiers(make_intent("leave"))

    _do(Owner(app, **options), screen, work)


@verifier.command("fees")
@owner_options
@output_option
@pass_app
def fees(app: App, /, screen: Screen, **options: Any) -> None:
    """Have the fees that were earned paid to the provider's payout."""

    async def work(payer: Payer) -> None:
        registry = payer.manifest.contracts.capacity_registry
        earned = await payer.rpc.view(registry, capacity_registry.FEES_OF, payer.address)
        if not earned:
            say("no fees wait")
            return
        say(f"withdrawing {_show(earned)} ...")
        await payer.withdraw_verifier_fees(make_intent("fees"))

    _do(Owner(app, **options), screen, work)


@verifier.command("documents")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), required=True, help="Into this folder.")
@output_option
@pass_app
def documents(app: App, export: Path, screen: Screen) -> None:
    """Write what this node holds against others, for `xnode fault report`: wrong elements and contradicting verdicts."""
    from xnode.cli.evidence.files import export_documents

    export_documents(app.control.stream("provider.documents"), export, screen)


@verifier.command("status")
@owner_options
@output_option
@pass_app
def status(app: App, /, screen: Screen, **options: Any) -> None:
    """Whether it judges, what it pledged, and what it earned."""
    owner = Owner(app, **options)
    deployment, address = owner.find_deployment(), owner.find_address()

    async def work() -> dict[str, Any]:
        async with deployment.connect() as rpc:
            return await _report(rpc, deployment.manifest, address)

    _draw(screen, run_async(work))


def _do(owner: Owner, screen: Screen, work: Callable[[Payer], Awaitable[None]]) -> None:
    deployment = owner.find_deployment()

    async def run() -> dict[str, Any]:
        async with owner.open(deployment) as payer:
            await work(payer)
            return await _report(payer.rpc, deployment.manifest, payer.address)

    _draw(screen, run_async(run))


async def _report(rpc: JsonRpc, manifest: Manifest, provider: Address) -> dict[str, Any]:
    registry = manifest.contracts.capacity_registry
    known, settings = await read_verification(rpc, registry, provider), await read_settings(rpc, registry)
    verifiers = await rpc.view(registry, capacity_registry.VERIFIERS)
    return {
        "provider": to_hex(provider),
        "is_verifier": known.is_verifier,
        "pledged": format_amount(known.held_stake, DECIMALS),
        "fees": format_amount(known.fees, DECIMALS),
        "verifiers": len(verifiers),
        "panel_size": settings.panel_size,
        "quorum": settings.quorum,
        "pledge": format_amount(settings.verifier_stake, DECIMALS),
        "leave_delay_s": settings.leave_delay_s,
    }


def _draw(screen: Screen, answer: dict[str, Any]) -> None:
    screen.show(answer, lambda: screen.record(_list_lines(answer)))


def _list_lines(answer: dict[str, Any]) -> tuple[tuple[str, object], ...]:
    return (
        ("provider", answer["provider"]),
        ("verifier", "yes" if answer["is_verifier"] else f"no; one pledges {answer['pledge']} OPENX of stake"),
        ("pledged", f"{answer['pledged']} OPENX, held for {answer['leave_delay_s']} s after leaving"),
        ("fees earned", f"{answer['fees']} OPENX"),
        ("panel", f"{answer['panel_size']} of {answer['verifiers']} verifiers, {answer['quorum']} verdicts decide"),
    )


def _show(amount: int) -> str:
    return format_amount(amount, DECIMALS, "OPENX")
