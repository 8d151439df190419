"""`xnode provider capacity`: what a provider's hardware was seen to do, and having it verified."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import click
import msgspec

from metering.units import Address, Hash32
from xnode.chain.capacity import read_challenge, read_class_times, read_classes, read_settings, read_verification
from xnode.chain.contracts import capacity_registry
from xnode.chain.contracts.capacity_registry import Capacity
from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.chain.intents.session import WalletSession
from xnode.chain.intents.verification import request_challenge
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import owner_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.stake.stake import require_openx
from xnode.cli.terminal.brief import brief_count, brief_date, brief_duration, brief_id
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import Hosting, ProviderStatus
from xnode.errors import ExitCode, UserError
from xnode.extras import require_module
from xnode.text.amount import OPENX_DECIMALS, format_amount, format_openx
from xnode.text.hex import to_hex

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
    """Show verified capacity, or request a challenge.

    What is verified for each class and until when, jail, the open challenge, and what was before.
    """
    if ctx.invoked_subcommand:
        return
    access = Access.of_owner(app, **{**options, **({"wallet": provider} if provider else {})})
    address = access.address
    answer = access.look(lambda reads: make_report(reads, address))
    screen.show(answer, lambda: draw_capacity(screen, answer))


@capacity.command("request")
@click.option(
    "--class", "declared", multiple=True, required=True, metavar="NAME=COUNT", help="Such as cpu=8; repeat it."
)
@owner_options
@output_option
@pass_app
def request(app: App, /, declared: tuple[str, ...], screen: Screen, **options: Any) -> None:
    """Have the devices of this provider challenged, all at once.

    The running node answers automatically. The fee, more for more devices, goes to the verifiers who judge, and is lost
    when too few of them do. Failing jails: no minting until the next challenge is passed.
    """
    # Asked for without it, the challenge would be failed for certain.
    require_module("numpy", "a capacity challenge")
    counts = [parse_count(text) for text in declared]
    is_up = app.control.is_up()
    leased = read_leased(app) if is_up else None

    async def work(session: WalletSession) -> dict[str, Any]:
        contracts = session.manifest.contracts
        classes = await read_classes(session.rpc, contracts)
        wanted = find_declared(counts, classes)
        if leased is not None:
            check_leased(wanted, classes, leased)
        await _require_none_open(session, session.address)
        settings = await read_settings(session.rpc, contracts)
        price = settings.price_of(sum(count for _, count in wanted))
        await require_openx(session, session.address, price, "request it later")
        say(f"requesting a challenge of {', '.join(declared)} for {format_openx(price)} ...")
        await request_challenge(session, make_intent("challenge"), wanted, price)
        return await make_report(session, session.address)

    answer = Access.of_owner(app, **options).act(work)
    screen.show(answer, lambda: draw_capacity(screen, answer))
    if not is_up:
        say("start the node now, or the challenge goes unanswered: xnode provider run")


def parse_count(text: str) -> tuple[str, int]:
    """The name and the count of a NAME=COUNT. UserError when it is not one."""
    name, _, count = text.partition("=")
    if not name or not re.fullmatch(r"[0-9]{1,5}", count) or not 0 < int(count) < 1 << 16:
        raise UserError(f"{text[:80]!r} is not NAME=COUNT", where="--class", hint="write it like cpu=8")
    return name, int(count)


def find_declared(counts: list[tuple[str, int]], classes: tuple[DeviceClass, ...]) -> tuple[tuple[int, int], ...]:
    """(class id, count) of each. UserError naming the one that is wrong."""
    known = {one.name: class_id for class_id, one in enumerate(classes)}
    declared: dict[int, int] = {}
    for name, count in counts:
        if name not in known:
            raise UserError("class not found", where=name, hint=f"choose one of: {', '.join(known)}")
        if known[name] in declared:
            raise UserError("duplicate class", where=name, hint="add the counts up")
        declared[known[name]] = count
    return tuple(sorted(declared.items()))


def read_leased(app: App) -> Hosting | None:
    """What leases have of this host now; None where the node does not say, because it sells nothing."""
    try:
        return msgspec.convert(app.control.call("provider.status"), ProviderStatus).leased
    except UserError as error:
        say(f"the node does not say what is leased now: {error.what}")
        return None


def check_leased(wanted: tuple[tuple[int, int], ...], classes: tuple[DeviceClass, ...], leased: Hosting) -> None:
    """Raise UserError where fewer devices of a kind are declared than leases have: the rest would be used above what is
    verified, and could not be sold any more."""
    declared = Counter[str]()
    for class_id, count in wanted:
        declared[classes[class_id].kind] += count
    for kind, noun, used in (("cpu", "vCPU", -(-leased.vcpu_milli // 1000)), ("gpu", "GPU", leased.gpus)):
        if kind in declared and declared[kind] < used:
            raise UserError(
                f"{brief_count(used, noun)} are leased now, and only {declared[kind]} would be verified",
                where="--class",
                hint=f"declare at least {used}, or wait until leases have ended: `xnode provider drain --wait`",
                code=ExitCode.CONFLICT,
            )


async def make_report(reads: ChainReads, provider: Address) -> dict[str, Any]:
    """All that CapacityRegistry knows of the provider, as plain data."""
    rpc, contracts = reads.rpc, reads.manifest.contracts
    registry = contracts.capacity_registry
    classes, settings = await read_classes(rpc, contracts), await read_settings(rpc, contracts)
    times, now_s = await read_class_times(rpc, contracts), await reads.chain_time_s()
    known = await read_verification(rpc, contracts, provider)
    asked = [(provider, class_id) for class_id in range(len(classes))]
    verified = await rpc.view_each(registry, capacity_registry.VERIFIED_OF, asked)
    lapsed_since = await rpc.view(registry, capacity_registry.LAPSED_SINCE, provider)
    return {
        "provider": to_hex(provider),
        "in_force": bool(known.capacity.until),
        "jailed": known.is_jailed,
        "in_doubt_until_s": known.in_doubt_until,
        "tries": {"passed": known.tries.passed, "failed": known.tries.failed, "lapsed": known.tries.lapsed},
        "until_s": known.capacity.until,
        "lapsed_since_s": lapsed_since,
        "gpu_units": _format_milli(known.capacity.gpu_milli),
        "cpu_units": _format_milli(known.capacity.cpu_milli),
        "classes": [
            _make_class(one, when.is_open(now_s), count)
            for one, when, count in zip(classes, times, verified, strict=True)
        ],
        "challenge": await _make_challenge(reads, known.open_challenge),
        "history": [_make_past(one) for one in await _read_history(reads, provider)],
        "fee": format_amount(settings.fee, OPENX_DECIMALS),
        "device_fee": format_amount(settings.device_fee, OPENX_DECIMALS),
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
            ("tries", _describe_tries(answer["tries"])),
            ("fee", _describe_fee(answer)),
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


async def _require_none_open(reads: ChainReads, provider: Address) -> None:
    opened = (await read_verification(reads.rpc, reads.manifest.contracts, provider)).open_challenge
    if opened is not None:
        raise UserError(
            f"challenge {brief_id(to_hex(opened))} is open already",
            where=to_hex(provider),
            hint="`xnode provider capacity` shows it",
            code=ExitCode.CONFLICT,
        )


async def _read_history(reads: ChainReads, provider: Address) -> list[Capacity]:
    registry = reads.manifest.contracts.capacity_registry
    count = await reads.rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider)
    places = range(max(0, count - MAX_HISTORY), count)
    rows = [(provider, place) for place in places]
    return await reads.rpc.view_each(registry, capacity_registry.HISTORY_OF, rows)


async def _make_challenge(reads: ChainReads, challenge_id: Hash32 | None) -> dict[str, Any] | None:
    if challenge_id is None:
        return None
    found = await read_challenge(reads.rpc, reads.manifest.contracts.capacity_registry, challenge_id)
    return {
        "challenge_id": to_hex(challenge_id),
        "stage": found.stage,
        "draw_block": found.draw_block,
        "deadline_s": found.deadline,
        "panel": [to_hex(member) for member in found.panel],
        "quorum": found.quorum,
        "declared": {one.name: one.count for one in found.declared},
    }


def _make_class(one: DeviceClass, is_open: bool, verified: int) -> dict[str, Any]:
    return {
        "open": is_open,
        "name": one.name,
        "kind": one.kind,
        "weight": _format_milli(one.weight_milli),
        "n": one.n,
        "time_limit_ms": one.time_limit_ms,
        "verified": verified,
    }


def _make_class_cells(row: dict[str, Any]) -> tuple[object, ...]:
    unit = "tGPU/h" if row["kind"] == "gpu" else "tCPU/h"
    takes = f"{row['weight']} {unit}" + ("" if row["open"] else ", closed")
    return row["name"], row["kind"], takes, row["n"], f"{row['time_limit_ms'] / 1000:g} s", row["verified"]


def _make_past(one: Capacity) -> dict[str, int]:
    return {"from_s": one.since, "until_s": one.until, "gpus": one.gpus, "vcpus": one.vcpus}


def _describe(answer: dict[str, Any]) -> str:
    if answer["in_force"]:
        units = f"{answer['gpu_units']} reference GPUs and {answer['cpu_units']} reference vCPUs"
        return f"{units} until {brief_date(answer['until_s'] * 10**9)}"
    if answer["in_doubt_until_s"]:
        until = brief_date(answer["in_doubt_until_s"] * 10**9)
        return f"in doubt until {until}, because a check was failed: pass a challenge of your own before; until then no minting"
    since = brief_date(answer["lapsed_since_s"] * 10**9)
    if answer["jailed"]:
        return f"nothing: jailed since {since}, because the last challenge was failed; the next one passed ends it"
    return f"nothing: it expired at {since}" if answer["lapsed_since_s"] else "nothing yet"


def _describe_tries(tries: dict[str, int]) -> str:
    """Empty for none."""
    return ", ".join(f"{count} {how}" for how, count in tries.items() if count)


def _describe_fee(answer: dict[str, Any]) -> str:
    each = f"{answer['fee']} OPENX for a challenge and {answer['device_fee']} for each device"
    return f"{each}, good for {brief_duration(answer['validity_s'] * 10**9)}"


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
