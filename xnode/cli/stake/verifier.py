"""`xnode provider verifier`: judging others' challenges, and the fees for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from metering.units import Address, Amount
from xnode.chain.capacity import Verification, read_settings, read_verification, read_verifier_settings
from xnode.chain.contracts import verifier_registry
from xnode.chain.contracts.provider_registry import Role
from xnode.chain.contracts.verifier_registry import MISSES_MAX, VerifierSettings
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import enlist as send_enlist
from xnode.chain.intents.verification import has_room, leave_verifiers, withdraw_verifier_fees
from xnode.chain.provider_record import read_stake
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import owner_options
from xnode.cli.access.registered import require_registered
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.stake.stake import require_openx
from xnode.cli.terminal.brief import brief_count, brief_date, brief_duration, brief_money
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.extras import require_module
from xnode.text.amount import OPENX_DECIMALS, format_amount, format_openx
from xnode.text.hex import to_hex


@click.group("verifier", cls=LazyGroup)
def verifier() -> None:
    """Judge others' challenges, for a fee. The running node does it automatically once its provider has enlisted."""


@verifier.command("enlist")
@owner_options
@output_option
@pass_app
def enlist(app: App, /, screen: Screen, **options: Any) -> None:
    """Become a verifier: stakes what is missing of its pledge."""
    # Without it no challenge can be judged.
    require_module("numpy", "judging a capacity challenge")

    async def work(session: WalletSession) -> None:
        contracts = session.manifest.contracts
        known = await read_verification(session.rpc, contracts, session.address)
        settings = await read_verifier_settings(session.rpc, contracts)
        needed = settings.verifier_stake
        await require_registered(session, session.address)
        check_standing(known, settings, session.address)
        if not await has_room(session):
            raise UserError(
                "the list of verifiers is full, and nothing was pledged",
                where=to_hex(contracts.verifier_registry),
                hint="try again when one has left, some days later at the latest: its place is kept for draws under way",
                code=ExitCode.CONFLICT,
            )
        free = (await read_stake(session.rpc, session.manifest, session.address)).pledge.can_leave
        if free < needed:
            missing = Amount(needed - free)
            await require_openx(session, session.address, missing, "wait until it earned more")
            say(f"pledging {format_openx(missing)} ...")
            await add_stake(session, make_intent("pledge"), missing, Role.VERIFIER)
        say(f"enlisting with a pledge of {format_openx(needed)} ...")
        await send_enlist(session, make_intent("enlist"))

    _do(Access.of_owner(app, **options), screen, work)


def check_standing(known: Verification, settings: VerifierSettings, owner: Address) -> None:
    """Raise UserError for who is a verifier, or was one until lately: a pledge paid now could not be used."""
    if known.is_verifier:
        raise UserError("is a verifier already", where=to_hex(owner), code=ExitCode.CONFLICT)
    if known.held_stake:
        raise UserError(
            f"left as a verifier lately, and {format_openx(known.held_stake)} are held still",
            where=to_hex(owner),
            hint=f"enlist again {brief_duration(settings.leave_delay_s * 10**9)} after it left, at the latest",
            code=ExitCode.CONFLICT,
        )


@verifier.command("status")
@owner_options
@output_option
@pass_app
def status(app: App, /, screen: Screen, **options: Any) -> None:
    """Show whether it judges, what it pledged, and what it earned."""
    access = Access.of_owner(app, **options)
    address = access.address
    _draw(screen, access.look(lambda reads: _report(reads, address)))


@verifier.command("fees")
@owner_options
@output_option
@pass_app
def fees(app: App, /, screen: Screen, **options: Any) -> None:
    """Have earned fees paid out to the provider's payout address."""

    async def work(session: WalletSession) -> None:
        registry = session.manifest.contracts.verifier_registry
        earned = await session.rpc.view(registry, verifier_registry.FEES_OF, session.address)
        if not earned:
            say("no fees wait")
            return
        say(f"withdrawing {format_openx(earned)} ...")
        await withdraw_verifier_fees(session, make_intent("fees"))

    _do(Access.of_owner(app, **options), screen, work)


@verifier.command("documents")
@click.option("--export", type=GivenPath(path_type=Path, file_okay=False), required=True, help="Into this folder.")
@output_option
@pass_app
def documents(app: App, export: Path, screen: Screen) -> None:
    """Export evidence against others, for `xnode fault report`.

    Wrong elements of answers, and contradicting verdicts, that this node has seen.
    """
    from xnode.cli.evidence.files import export_documents

    export_documents(app.control.stream("provider.documents"), export, screen)


@verifier.command("leave")
@owner_options
@output_option
@pass_app
def leave(app: App, /, screen: Screen, **options: Any) -> None:
    """Stop being a verifier. The pledge stays locked for a while, for what was signed before."""

    async def work(session: WalletSession) -> None:
        contracts = session.manifest.contracts
        if not (await read_verification(session.rpc, contracts, session.address)).is_verifier:
            raise UserError("is not a verifier", where=to_hex(session.address), code=ExitCode.CONFLICT)
        say("leaving ...")
        await leave_verifiers(session, make_intent("leave"))
        delay_s = (await read_verifier_settings(session.rpc, contracts)).leave_delay_s
        until = brief_date((await session.chain_time_s() + delay_s) * 10**9)
        say(f"its pledge is held until {until}; from then on: xnode provider unstake all --pledge")

    _do(Access.of_owner(app, **options), screen, work)


def _do(access: Access, screen: Screen, work: Callable[[WalletSession], Awaitable[None]]) -> None:
    async def run(session: WalletSession) -> dict[str, Any]:
        await work(session)
        return await _report(session, session.address)

    _draw(screen, access.act(run))


async def _report(reads: ChainReads, provider: Address) -> dict[str, Any]:
    rpc, contracts = reads.rpc, reads.manifest.contracts
    known, settings = await read_verification(rpc, contracts, provider), await read_settings(rpc, contracts)
    pledged = await read_verifier_settings(rpc, contracts)
    verifiers = await rpc.view(contracts.verifier_registry, verifier_registry.VERIFIER_COUNT)
    return {
        "provider": to_hex(provider),
        "is_verifier": known.is_verifier,
        "pledged": format_amount(known.held_stake, OPENX_DECIMALS),
        "fees": format_amount(known.fees, OPENX_DECIMALS),
        "misses": known.misses.count,
        "verifiers": verifiers,
        "min_list": settings.min_list,
        "panel_size": settings.panel_size,
        "quorum": settings.quorum,
        "pledge": format_amount(pledged.verifier_stake, OPENX_DECIMALS),
        "leave_delay_s": pledged.leave_delay_s,
    }


def _draw(screen: Screen, answer: dict[str, Any]) -> None:
    screen.show(answer, lambda: screen.record(_list_lines(answer)))


def _list_lines(answer: dict[str, Any]) -> tuple[tuple[str, object], ...]:
    few = "" if answer["verifiers"] >= answer["min_list"] else f", too few to decide: {answer['min_list']} needed"
    return (
        ("provider", answer["provider"]),
        (
            "verifier",
            "yes" if answer["is_verifier"] else f"no; one pledges {brief_money(answer['pledge'])} OPENX",
        ),
        (
            "pledged",
            f"{brief_money(answer['pledged'])} OPENX, held for {brief_duration(answer['leave_delay_s'] * 10**9)} after leaving",
        ),
        ("fees earned", brief_money(answer["fees"], "OPENX")),
        ("missed", _describe_misses(answer["misses"])),
        ("enlisted", brief_count(answer["verifiers"], "verifier") + few),
        ("panel", _describe_panel(answer)),
    )


def _describe_misses(misses: int) -> str:
    """A verifier that misses many challenges in a row can be struck off by anyone."""
    if not misses:
        return ""
    limit = f"at {MISSES_MAX} in a row anyone may strike it off"
    return f"{brief_count(misses, 'challenge')} since its last verdict; {limit}"


def _describe_panel(answer: dict[str, Any]) -> str:
    """A provider is never on the panel that judges it; where there are too few for a whole one, those there decide."""
    whole = f"{brief_count(answer['panel_size'], 'verifier')}, {answer['quorum']} verdicts decide"
    return f"{whole}; of fewer, more than two thirds" if answer["verifiers"] <= answer["panel_size"] else whole
