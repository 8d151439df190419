"""`xnode provider capacity`: what a provider's hardware was seen to do, and having it verified."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from metering.units import Address, Hash32
from xnode.chain.capacity import read_challenge, read_class_times, read_classes, read_settings, read_verification
from xnode.chain.contracts import capacity_registry
from xnode.chain.contracts.capacity_registry import Capacity
from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.chain.reads import ChainReads
from xnode.cli.access.access import Access
from xnode.cli.access.options import owner_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import Lazy, LazyGroup
from xnode.cli.terminal.brief import brief_date, brief_duration, brief_id
from xnode.cli.terminal.given import GivenText
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.control.views import ChallengeFailed, ProviderStatus
from xnode.errors import UserError
from xnode.text.amount import OPENX_DECIMALS, format_amount
from xnode.text.hex import parse_hex, to_hex

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


_LAZY = {
    "request": Lazy("xnode.cli.stake.request:request", "Have the devices of this provider challenged, all at once."),
}


@click.group("capacity", cls=LazyGroup, lazy=_LAZY, invoke_without_command=True)
@click.option("--of", "provider", type=GivenText(), help="Another provider, by address or wallet.")
@owner_options
@output_option
@click.pass_context
@pass_app
def capacity(app: App, ctx: click.Context, /, provider: str | None, screen: Screen, **options: Any) -> None:
    """Show verified capacity, or request a challenge.

    What is verified for each class and until when, jail, the open challenge, and what was before.
    """
    if ctx.invoked_subcommand:
        return
    access = Access.of_owner(app, **{**options, **({"wallet": provider} if provider else {})})
    address = access.address
    failure = read_failure(app, address)
    answer = access.look(lambda reads: make_report(reads, address, failure))
    screen.show(answer, lambda: draw_capacity(screen, answer))
    if not answer["registered"]:
        say(f"{to_hex(address)} is not a registered provider")


def read_failure(app: App, provider: Address) -> ChallengeFailed | None:
    """The last challenge that this host could not answer, where it is the provider's and its node runs."""
    if not app.control.is_up():
        return None
    try:
        status = msgspec.convert(app.control.call("provider.status"), ProviderStatus)
    except UserError:
        return None
    return status.challenge_failed if status.provider == to_hex(provider) else None


async def make_report(reads: ChainReads, provider: Address, failure: ChallengeFailed | None = None) -> dict[str, Any]:
    """All that CapacityRegistry knows of the provider, as plain data. failure: by its own node."""
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
        "registered": (await reads.registration(provider)).node_key is not None,
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
        "failure": None if known.capacity.until else await _make_failure(reads, failure),
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
            ("failed because", _describe_failure(answer["failure"])),
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


async def _read_history(reads: ChainReads, provider: Address) -> list[Capacity]:
    registry = reads.manifest.contracts.capacity_registry
    count = await reads.rpc.view(registry, capacity_registry.HISTORY_LENGTH, provider)
    places = range(max(0, count - MAX_HISTORY), count)
    rows = [(provider, place) for place in places]
    return await reads.rpc.view_each(registry, capacity_registry.HISTORY_OF, rows)


async def _make_failure(reads: ChainReads, failure: ChallengeFailed | None) -> dict[str, Any] | None:
    """None also where the challenge was not failed after all."""
    if failure is None:
        return None
    challenge_id = Hash32(parse_hex(failure.challenge_id))
    found = await read_challenge(reads.rpc, reads.manifest.contracts.capacity_registry, challenge_id)
    return msgspec.to_builtins(failure) if found.stage == "failed" else None


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
    since = brief_date(answer["lapsed_since_s"] * 10**9) if answer["lapsed_since_s"] else ""
    if answer["jailed"]:
        # The chain knows no time for who never had anything verified.
        jailed = f"jailed since {since}" if since else "jailed"
        return f"nothing: {jailed}, because the last challenge was failed; the next one passed ends it"
    return f"nothing: it expired at {since}" if since else "nothing yet"


def _describe_failure(failure: dict[str, Any] | None) -> str:
    """Empty for none."""
    if failure is None:
        return ""
    drawn = brief_date(failure["drawn_at_s"] * 10**9)
    return f"{failure['reason']} (challenge {brief_id(failure['challenge_id'])}, drawn {drawn})"


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
