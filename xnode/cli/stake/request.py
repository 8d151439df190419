"""`xnode provider capacity request`: a challenge of this host, asked for once nothing speaks against it."""

from __future__ import annotations

import math
import os
from collections import Counter
from typing import Any, NamedTuple

import click
import msgspec

from metering.units import Amount
from xnode.chain.capacity import read_classes, read_settings, read_verification
from xnode.chain.contracts.challenge_rules import CapacitySettings, DeviceClass
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.verification import request_challenge
from xnode.chain.provider_record import Credit, read_credit
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import owner_options
from xnode.cli.access.registered import require_registered
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.stake.capacity import draw_capacity, make_report
from xnode.cli.stake.classes import find_declared, parse_count
from xnode.cli.stake.self_test import challenge_host, make_claims
from xnode.cli.stake.stake import require_openx
from xnode.cli.terminal.brief import brief_count, brief_id
from xnode.cli.terminal.screen import Screen, say
from xnode.config.file import read_table
from xnode.control.views import Hosting, ProviderStatus
from xnode.errors import ExitCode, UserError
from xnode.extras import require_module
from xnode.runtime.host.nvidia import read_nvidia
from xnode.text.amount import format_openx
from xnode.text.hex import to_hex

YES_LEASED = "--yes-less-than-leased"
YES_DEFAULT = "--yes-credits-default"
YES_JAIL = "--yes-jail"

_KINDS = (("cpu", "vCPU"), ("gpu", "GPU"))

Wanted = tuple[tuple[int, int], ...]
"""(class id, count) of each class that is declared."""


class Devices(NamedTuple):
    """How many devices of each kind."""

    cpu: int
    gpu: int


class ThisHost(NamedTuple):
    """The host whose provider the wallet owns. leased: None when its node does not say."""

    has: Devices
    offers: Devices
    leased: Hosting | None


class Asked(NamedTuple):
    """What the chain says before a request is paid for."""

    classes: tuple[DeviceClass, ...]
    wanted: Wanted
    settings: CapacitySettings
    credits: tuple[tuple[str, Credit], ...]
    """Each kind with its credit."""
    in_force: bool


@click.command("request")
@click.option(
    "--class", "declared", multiple=True, required=True, metavar="NAME=COUNT", help="Such as cpu=8; repeat it."
)
@click.option(YES_LEASED, "yes_leased", is_flag=True, help="What leases have beyond it cannot be leased again.")
@click.option(YES_DEFAULT, "yes_default", is_flag=True, help="Credits outstanding beyond it go into default.")
@click.option(YES_JAIL, "yes_jail", is_flag=True, help="Skip the test of this host: failing ends what is verified.")
@owner_options
@output_option
@pass_app
def request(
    app: App,
    /,
    declared: tuple[str, ...],
    yes_leased: bool,
    yes_default: bool,
    yes_jail: bool,
    screen: Screen,
    **options: Any,
) -> None:
    """Have the devices of this provider challenged, all at once.

    What is declared takes the place of all that is verified now. This host is tested first, as verifiers would, and
    nothing is paid when it fails. The running node answers the challenge automatically.

    The fee, more for more devices, goes to the verifiers who judge, and is lost when too few of them do. Failing jails:
    all that is verified ends, and nothing is minted until the next challenge is passed.
    """
    # Asked for without it, the challenge would be failed for certain.
    require_module("numpy", "a capacity challenge")
    access = Access.of_owner(app, **options)
    asked = access.look(lambda reads: _ask_chain(reads, access, declared))
    is_up = app.control.is_up()
    here = find_host(app, to_hex(access.address), is_up)
    if not yes_default:
        check_credits(asked)
    if not yes_leased:
        check_leased(asked, here)
    if not yes_jail:
        check_devices(asked, here)
        test_host(asked)

    async def work(session: WalletSession) -> dict[str, Any]:
        await _require_none_open(session, access)
        price = _price_of(asked)
        say(f"requesting a challenge of {', '.join(declared)} for {format_openx(price)} ...")
        await request_challenge(session, make_intent("challenge"), asked.wanted, price)
        return await make_report(session, session.address)

    answer = access.act(work)
    screen.show(answer, lambda: draw_capacity(screen, answer))
    if not is_up:
        say("start the node now, or the challenge goes unanswered: xnode provider run")


def find_host(app: App, owner: str, is_up: bool) -> ThisHost | None:
    """This host, where this home is that of the owner's provider; else None."""
    table = read_table(app.home).get("provider", {})
    if str(table.get("owner", "")).lower() != owner:
        return None
    config = app.load_config().provider
    assert config is not None
    offers = Devices(math.ceil(config.share.vcpus), config.share.gpus)
    has = Devices(len(os.sched_getaffinity(0)), len(read_nvidia().found))
    return ThisHost(has, offers, read_leased(app) if is_up else None)


def read_leased(app: App) -> Hosting | None:
    """What leases have of this host now; None where the node does not say, because it sells nothing."""
    try:
        return msgspec.convert(app.control.call("provider.status"), ProviderStatus).leased
    except UserError as error:
        say(f"the node does not say what is leased now: {error.what}")
        return None


def check_credits(asked: Asked) -> None:
    """Raise UserError where more credits are outstanding than the declared devices of their kind could serve: the rest
    would be in default after the grace."""
    for kind, credit in asked.credits:
        found = ((asked.classes[number], count) for number, count in asked.wanted)
        milli = sum(count * one.weight_milli for one, count in found if one.kind == kind)
        served = credit.served_by(milli)
        if credit.outstanding > served:
            asset = credit.asset
            raise UserError(
                f"{asset.show(credit.outstanding)} are outstanding, and this could serve {asset.show(served)}: "
                "the rest would go into default",
                where="--class",
                hint=f"declare all that serve them, or burn some first (`xnode provider burn AMOUNT "
                f"--asset {asset.symbol}`), or let them: {YES_DEFAULT}",
                code=ExitCode.CONFLICT,
            )


def check_leased(asked: Asked, here: ThisHost | None) -> None:
    """Raise UserError where fewer devices of a kind are declared than leases have, or nobody says how many these are: the
    rest would be used above what is verified, and could not be sold any more."""
    if here is None or here.leased is None:
        if asked.in_force:
            raise UserError(
                "what is leased now is not known: the provider's node does not run in this home",
                where="--class",
                hint=f"start it first, `xnode provider run`, or {YES_LEASED}",
                code=ExitCode.CONFLICT,
            )
        return
    declared = _count_kinds(asked)
    used = Devices(-(-here.leased.vcpu_milli // 1000), here.leased.gpus)
    for kind, noun in _KINDS:
        least = getattr(used, kind)
        if declared[kind] < least:
            raise UserError(
                f"leases have {brief_count(least, noun)} now, and only {declared[kind]} would be verified",
                where="--class",
                hint=f"declare at least {least}, also of this kind, or wait until leases have ended "
                f"(`xnode provider drain --wait`), or {YES_LEASED}",
                code=ExitCode.CONFLICT,
            )


def check_devices(asked: Asked, here: ThisHost | None) -> None:
    """Raise UserError where more devices of a kind are declared than this host has, or offers."""
    if here is None:
        raise UserError(
            "this is not the home of the wallet's provider, so its host cannot be tested from here",
            where="--class",
            hint=f"request it there, or run `xnode provider self-test --chain` there and then here {YES_JAIL}",
            code=ExitCode.CONFLICT,
        )
    declared = _count_kinds(asked)
    for kind, noun in _KINDS:
        for how, there in (("has", getattr(here.has, kind)), ("offers", getattr(here.offers, kind))):
            if declared[kind] > there:
                raise UserError(
                    f"{brief_count(declared[kind], noun)} declared, and this host {how} "
                    f"{brief_count(there, noun) if there else f'no {noun}'}",
                    where="--class",
                    hint=f"declare {there if there else 'another class'}, or offer more in [provider.share], "
                    f"or risk it: {YES_JAIL}",
                    code=ExitCode.CONFLICT,
                )


def test_host(asked: Asked) -> None:
    """Challenge this host as verifiers would. Raises UserError when a device fails."""
    failed = [one for one in challenge_host(make_claims(asked.wanted, asked.classes)) if not one.passed]
    if failed:
        first = failed[0]
        raise UserError(
            f"this host would fail, so nothing was paid: device {first.device} "
            f"({first.device_class.name}): {first.reason}",
            where="--class",
            hint=f"declare fewer or another class, or stop what else computes here; to be challenged anyway: {YES_JAIL}",
            code=ExitCode.REFUSED,
        )


def _count_kinds(asked: Asked) -> Counter[str]:
    declared = Counter[str]()
    for number, count in asked.wanted:
        declared[asked.classes[number].kind] += count
    return declared


async def _ask_chain(reads: ChainReads, access: Access, declared: tuple[str, ...]) -> Asked:
    """What must be known, once the request is one that can be made and paid for."""
    rpc, manifest = reads.rpc, reads.manifest
    counts = [parse_count(text) for text in declared]
    classes = await read_classes(rpc, manifest.contracts)
    wanted = find_declared(counts, classes)
    await require_registered(reads, access.address)
    known = await _require_none_open(reads, access)
    settings = await read_settings(rpc, manifest.contracts)
    kinds = (("cpu", manifest.contracts.cpu_credit), ("gpu", manifest.contracts.gpu_credit))
    credits = [
        (kind, await read_credit(rpc, asset, access.address))
        for kind, address in kinds
        for asset in manifest.credits
        if asset.address == address
    ]
    asked = Asked(classes, wanted, settings, tuple(credits), known)
    await require_openx(reads, access.address, _price_of(asked), "request it later")
    return asked


def _price_of(asked: Asked) -> Amount:
    return asked.settings.price_of(sum(count for _, count in asked.wanted))


async def _require_none_open(reads: ChainReads, access: Access) -> bool:
    """True when something is in force, in doubt or not. UserError when a challenge is open."""
    known = await read_verification(reads.rpc, reads.manifest.contracts, access.address)
    if known.open_challenge is not None:
        raise UserError(
            f"challenge {brief_id(to_hex(known.open_challenge))} is open already",
            where=to_hex(access.address),
            hint="`xnode provider capacity` shows it",
            code=ExitCode.CONFLICT,
        )
    return bool(known.capacity.until or known.in_doubt_until)
