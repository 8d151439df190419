"""`xnode upgrade --check`: what this version would do with this home, found without touching it.

Facts are gathered by `look_at`; `judge_upgrade` says what follows from them, and asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from metering.units import ZERO_HASH, Hash32
from xnode import __version__
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_count
from xnode.cli.terminal.findings import find_failures, show_findings
from xnode.cli.terminal.screen import Screen
from xnode.errors import Permanent, Retryable, UserError
from xnode.runtime.host.fitness import Finding

if TYPE_CHECKING:
    from xnode.cli.access.deployment import Deployment
    from xnode.store.inspection import StoreFacts
    from xnode.store.mark import Mark

T = TypeVar("T")

Problem = UserError | Permanent | Retryable

LAST_WAY_BACK = "after that no older version opens it"

_SHOWN = 3
"""Leases that are named."""


@click.command("upgrade")
@click.option("--check", "checks", is_flag=True, help="Look, and change nothing.")
@click.option("--offline", is_flag=True, help="Do not ask the chain whether it has the contracts of this version.")
@output_option
@pass_app
def upgrade(app: App, checks: bool, offline: bool, screen: Screen) -> None:
    """Say what this version would do with this home.

    --check looks at settings, contracts, schema, records and leases under way, also while another version runs, and changes
    nothing. Exit code 1 when this version must not be started here yet.
    """
    if not checks:
        raise UserError(
            "xnode replaces no installation: your package manager does",
            hint="install the new version, run `xnode upgrade --check`, then restart the node; docs/operations.md",
        )
    show_findings(screen, judge_upgrade(look_at(app, offline)))


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found of a home. mark: of the version that used it last; problems: what could not be looked at, by what it is;
    separator: of the contracts that the settings name, ZERO_HASH where they cannot be read; store: None where it cannot be;
    contracts: where the chain has them, "" where it was not asked; running: the daemon's version, "" for none."""

    mark: Mark
    problems: tuple[tuple[str, Problem], ...]
    separator: Hash32
    store: StoreFacts | None
    contracts: str
    running: str


def look_at(app: App, offline: bool) -> Facts:
    """The facts of this home. Nothing is written there, and no lock is taken."""
    from xnode.cli.access.deployment import find_deployment
    from xnode.store.inspection import inspect_store
    from xnode.store.mark import Mark, read_mark, require_readable

    problems: list[tuple[str, Problem]] = []

    def attempt(what: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (UserError, Permanent, Retryable) as error:
            problems.append((what, error))
            return None

    config = attempt("settings", app.load_config)
    data = config.node.data_dir if config else app.home.data
    mark = attempt("data", lambda: read_mark(data))
    if mark is not None:
        attempt("data", lambda: require_readable(data))
    deployment = attempt("manifest", lambda: find_deployment(app)) if config else None
    url = config.node.database_url if config else f"sqlite:///{data / 'xnode.db'}"
    store = attempt("store", lambda: inspect_store(url))
    asked = attempt("contracts", lambda: _ask_contracts(deployment)) if deployment and not offline else None
    status = attempt("daemon", lambda: app.control.call("node.status")) if app.control.is_up() else None
    separator = deployment.manifest.domain.separator() if deployment else ZERO_HASH
    return Facts(
        mark or Mark(), tuple(problems), separator, store, asked or "", str(status["version"]) if status else ""
    )


def judge_upgrade(facts: Facts, version: str = __version__) -> Iterator[Finding]:
    """What this version would do, cheap things first. A failure says that it must not be started here yet."""
    last = facts.mark.version or ("0.5.0 or older" if facts.store and facts.store.revision else "")
    yield Finding(
        "ok",
        "version",
        f"this is xnode {version}; " + (f"{last} used this home last" if last else "no version has used this home yet"),
    )
    for what, problem in facts.problems:
        if isinstance(problem, Retryable):
            yield Finding("warn", what, f"{problem.message}: not looked at", "ask again, or --offline")
        else:
            yield from find_failures(what, problem)
    stuck = {what for what, _ in facts.problems}
    if "settings" not in stuck:
        yield Finding("ok", "settings", "every one is known to this version")
    if facts.contracts:
        yield Finding("ok", "contracts", f"{facts.contracts} has those of this version")
    if facts.store is not None:
        yield from _judge_store(facts.store)
        yield from _judge_leases(facts.store, facts.separator)
    if facts.running and facts.running != version:
        yield Finding("ok", "daemon", f"{facts.running} runs here, and goes on as it is until it is restarted")


def _judge_store(store: StoreFacts) -> Iterator[Finding]:
    if store.is_newer:
        from xnode.store.database import make_too_new

        yield from find_failures("store", make_too_new(store.revision, store.newest))
        return
    if not store.revision:
        yield Finding("ok", "store", "there is none yet")
        return
    if store.contents is None:
        yield Finding(
            "warn", "store", f"only its schema was looked at: {store.unread}", "make sure that you can restore a backup"
        )
    elif store.contents.faults:
        for fault in store.contents.faults:
            yield Finding("fail", "store", f"this version cannot read it: {fault}", "run the version that used it last")
        return
    else:
        yield Finding("ok", "store", f"this version reads all of {brief_count(store.contents.records, 'record')}")
    if store.revision != store.newest:
        took = f", in {store.contents.migrated_s:.1f} s on a copy" if store.contents else ""
        yield Finding(
            "warn",
            "schema",
            f"the start brings it from {store.revision} to {store.newest}{took}; {LAST_WAY_BACK}",
            "back the home up first",
        )
    else:
        yield Finding("ok", "schema", f"{store.revision}, as this version writes it")


def _judge_leases(store: StoreFacts, separator: Hash32) -> Iterator[Finding]:
    contents = store.contents
    if contents is None or contents.faults:
        return
    moved = separator != ZERO_HASH and contents.separator not in (ZERO_HASH, separator)
    if moved and contents.unsettled:
        names = ", ".join(f"0x{one.hex()[:16]}" for one in contents.unsettled[:_SHOWN])
        more = len(contents.unsettled) - _SHOWN
        yield Finding(
            "fail",
            "leases",
            f"unsettled on other contracts than the manifest's: {names}" + (f" and {more} more" if more > 0 else ""),
            "settle them with the manifest, and the version of xnode, that made them",
        )
    elif moved:
        yield Finding(
            "warn",
            "leases",
            "all are settled; those of the contracts before are put away",
            "export their evidence first",
        )
    elif contents.running:
        sides = ", ".join(
            f"{brief_count(count, 'lease')} as {side}" for side, count in sorted(contents.running.items())
        )
        yield Finding(
            "warn",
            "leases",
            f"{sides} under way: they go on over a restart",
            "`xnode provider drain --wait` first, where the changelog says that leases end",
        )
    else:
        yield Finding("ok", "leases", "none is under way")


def _ask_contracts(deployment: Deployment) -> str:
    """Where the contracts of the manifest are, and are those of this version. Raises Permanent when they are not."""
    from xnode.chain.deployment.check import check_deployment
    from xnode.cli.access.deployment import run_async

    async def ask() -> str:
        async with deployment.connect() as rpc:
            await rpc.check_chain_id()
            await check_deployment(rpc, deployment.manifest)
            return f"chain {deployment.manifest.chain_id} at {rpc.where}"

    return run_async(ask)
