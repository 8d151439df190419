"""`xnode provider self-test`: a whole capacity challenge on this host, before one that counts."""

from __future__ import annotations

import os
from typing import Any

import click

from xnode.capacity.challenge import MAX_DECLARED, MAX_DEVICES, SIZE_STEP, check_size
from xnode.capacity.self_test import DeviceResult, run_self_test
from xnode.chain.capacity import read_classes
from xnode.chain.contracts.challenge_rules import DeviceClass
from xnode.cli.access.access import Access
from xnode.cli.access.deployment import run_async
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.stake.classes import find_declared, parse_count
from xnode.cli.terminal.given import Seconds
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.config.file import read_table
from xnode.errors import ExitCode, Permanent, UserError
from xnode.ports.capacity import DeclaredClass

STANDARD = (
    DeviceClass("cpu", "cpu", 1000, 16_384, 110_000),
    DeviceClass("gpu", "gpu", 1000, 0, 120_000),
)
"""What a device is tested as where no chain is asked: as in contracts/plan.example.toml, which is what hosts are judged by. n 0:
as much as the GPU takes."""

GPU_MEMORY_PERCENT = 90
"""Of a GPU's memory that the standard challenge fills: the driver keeps some of it."""

_COLUMNS = (
    Column("device", right=True),
    Column("class"),
    Column("n", right=True),
    Column("time", right=True),
    Column("limit", right=True),
    Column("units/hour", right=True),
    Column("result", fold=True),
)


@click.command("self-test")
@click.option(
    "--class", "declared", multiple=True, metavar="NAME=COUNT", help="Such as cpu=8; repeat it.  [default: all]"
)
@click.option("--chain", "on_chain", is_flag=True, help="Test against the classes of this home's chain.")
@click.option("--n", type=int, default=0, help="Another size of the matrices.")
@click.option("--limit", "limit_s", type=Seconds(0.001), help="Another time limit, in seconds.")
@output_option
@pass_app
def self_test(
    app: App, /, declared: tuple[str, ...], on_chain: bool, n: int, limit_s: float | None, screen: Screen
) -> None:
    """Challenge this host as verifiers would.

    All devices at once; shows what each would be credited. Needs no chain, and reports to no one. Exit code 0 when
    every device passes, 1 when one does not. Stop workloads first: they compete for the same cores.
    """
    named = [parse_count(text) for text in declared]
    classes = _read_classes(app) if on_chain else STANDARD
    counts = named or [parse_count(text) for text in _find_devices(app, classes)]
    results = challenge_host(make_claims(find_declared(counts, classes), classes, n, limit_s or 0.0))
    screen.show([_make_row(one) for one in results], lambda: _draw(screen, results))
    if not all(one.passed for one in results):
        raise SystemExit(int(ExitCode.FAILED))


def make_claims(
    wanted: tuple[tuple[int, int], ...], classes: tuple[DeviceClass, ...], n: int = 0, limit_s: float = 0.0
) -> tuple[DeclaredClass, ...]:
    """What is declared of each (class id, count). n, limit_s: 0 for the class's own. UserError when no challenge is of these."""
    tested = tuple(_make_claim(number, classes[number], count, n, limit_s) for number, count in wanted)
    _check_counts(tested)
    return tested


def challenge_host(tested: tuple[DeclaredClass, ...]) -> tuple[DeviceResult, ...]:
    """What each device would get, told step by step. UserError when the host cannot even begin."""
    most_s = max(one.time_limit_ms for one in tested) / 1000
    named = ", ".join(f"{one.count} x {one.name} (n = {one.n})" for one in tested)
    say(f"challenging {named} of this host at once, for up to {most_s:g} s and the check ...")
    try:
        return run_async(lambda: run_self_test(tested, lambda device, text: say(f"device {device}: {text}")))
    except Permanent as error:
        raise UserError(error.message, where="this host", hint=error.hint, code=ExitCode.FAILED) from error


def _read_classes(app: App) -> tuple[DeviceClass, ...]:
    return Access(app).look(lambda reads: read_classes(reads.rpc, reads.manifest.contracts))


def _find_devices(app: App, classes: tuple[DeviceClass, ...]) -> tuple[str, ...]:
    """What is declared of what this home offers, or else of all that the host has, in the first class of each kind."""
    from xnode.runtime.host.nvidia import read_nvidia

    share = read_table(app.home).get("provider", {}).get("share", {})
    counts = {
        "cpu": int(share.get("vcpus", 0)) or len(os.sched_getaffinity(0)),
        "gpu": share.get("gpus", len(read_nvidia().found)),
    }
    first = {one.kind: one.name for one in reversed(classes)}
    return tuple(f"{first[kind]}={count}" for kind, count in counts.items() if count and kind in first)


def _make_claim(class_id: int, one: DeviceClass, count: int, n: int, limit_s: float) -> DeclaredClass:
    size = n or one.n or _fit_gpu()
    try:
        check_size(size)
    except ValueError as error:
        raise UserError(str(error), where="--n") from error
    limit_ms = round(1000 * limit_s) or one.time_limit_ms
    return DeclaredClass(class_id, count, one.name, one.kind, one.weight_milli, size, limit_ms)


def _fit_gpu() -> int:
    """The largest n that the smallest GPU here takes; SIZE_STEP without one, which then fails anyway."""
    from xnode.capacity.cuda_product import count_gpu_bytes
    from xnode.runtime.host.nvidia import read_nvidia

    room = min((one.gpu.memory_bytes for one in read_nvidia().found), default=0) * GPU_MEMORY_PERCENT // 100
    n = SIZE_STEP
    while n < 131_072 and count_gpu_bytes(n + SIZE_STEP) <= room:
        n += SIZE_STEP
    return n


def _check_counts(declared: tuple[DeclaredClass, ...]) -> None:
    devices = sum(one.count for one in declared)
    if not declared or len(declared) > MAX_DECLARED or devices > MAX_DEVICES:
        raise UserError(
            f"a challenge is of 1 to {MAX_DEVICES} devices in at most {MAX_DECLARED} classes", where="--class"
        )


def _make_row(one: DeviceResult) -> dict[str, Any]:
    return {
        "device": one.device,
        "class": one.device_class.name,
        "n": one.device_class.n,
        "took_ms": one.took_ms,
        "limit_ms": one.device_class.time_limit_ms,
        "units_per_hour": f"{one.device_class.weight_milli / 1000:g}" if one.passed else "0",
        "passed": one.passed,
        "reason": one.reason,
    }


def _draw(screen: Screen, results: tuple[DeviceResult, ...]) -> None:
    rows = [_make_row(one) for one in results]
    cells = (
        (
            row["device"],
            row["class"],
            row["n"],
            "" if row["took_ms"] is None else f"{row['took_ms'] / 1000:.2f} s",
            f"{row['limit_ms'] / 1000:g} s",
            row["units_per_hour"],
            "pass" if row["passed"] else f"FAIL: {row['reason']}",
        )
        for row in rows
    )
    screen.table(_COLUMNS, cells)
