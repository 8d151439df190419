"""`xnode doctor`: checks everything a node needs; one line each, and a hint below what is not well."""

from __future__ import annotations

import platform
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_count, brief_gas, brief_settings, brief_size
from xnode.cli.terminal.findings import find_failures, show_findings
from xnode.cli.terminal.screen import Screen
from xnode.config.file import find_declaration
from xnode.control.client import check_socket_path
from xnode.control.views import Gas, SettingsView
from xnode.errors import Permanent, Retryable, UserError
from xnode.runtime.host.fitness import Finding, Verdict

if TYPE_CHECKING:
    from xnode.config.settings import Config

MIN_DISK_BYTES = 2 << 30
"""An image, a workload's disk and the journal with some room."""

MAX_CLOCK_SKEW_S = 30
"""Quotes live that long: with a clock further off they have expired on arrival."""


@click.command("doctor")
@output_option
@pass_app
def doctor(app: App, screen: Screen) -> None:
    """Diagnose this host and node directory. Exit code 1 when something must be fixed."""
    show_findings(screen, examine(app))


def examine(app: App) -> Iterator[Finding]:
    """Every finding, cheap ones first. What a provider needs is a failure only on a provider."""
    config: Config | None = None
    yield _check_python()
    try:
        config = app.load_config()
        reason = find_declaration(app.home.config)
        yield Finding("ok", "config", str(app.home.config) + (f", declared elsewhere: {reason}" if reason else ""))
    except UserError as error:
        yield from find_failures("config", error)
    sells = config is not None and config.provider is not None
    yield from _guard("keystore", lambda: _check_keystore(app))
    yield from _guard("node key", lambda: _check_node_key(app, config))
    yield from _guard("disk", lambda: _check_disk(app, config))
    yield from _guard("daemon", lambda: _check_daemon(app))
    yield from _check_extras(config)
    if config:
        wanted = config
        yield from _guard("ports", lambda: _check_ports(app, wanted))
        yield from judge_addresses(wanted.node.listen, wanted.node.announce, sells)
        yield from _guard("chain", lambda: _check_chain(app, wanted))
    yield from _guard("host", lambda: _check_host(app, config))


def _guard(what: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (UserError, Permanent, Retryable) as error:
        yield from find_failures(what, error)
    except OSError as error:
        yield Finding("fail", what, f"{error.filename or ''} {error.strerror}".strip())


def _soften(finding: Finding) -> Finding:
    return Finding("warn", finding.what, f"{finding.detail} (only providers need it)", finding.hint)


def _check_python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("ok", "python", version)
    return Finding("fail", "python", version, "use 3.11 to 3.13")


def _check_keystore(app: App) -> Iterator[Finding]:
    from xnode.cli.access.keys import open_keystore

    keystore = open_keystore(app)
    count = len(keystore.list())
    if count:
        yield Finding("ok", "keystore", f"{brief_count(count, 'wallet')} in {keystore.where}")
    else:
        yield Finding("warn", "keystore", f"no wallets in {keystore.where}", "xnode wallet new")


def _check_node_key(app: App, config: Config | None) -> Iterator[Finding]:
    if not app.home.node_key.exists():
        yield _judge_absent_key(app, config)
        return
    secret = config.node.password_file if config else app.home.password
    if not secret.exists():
        yield Finding("fail", "node key", f"its password file {secret} is missing", "restore it, or set password_file")
        return
    mode = stat.S_IMODE(secret.stat().st_mode)
    if mode & 0o077:
        yield Finding("fail", "node key", f"others may read {secret} ({mode:04o})", f"chmod 600 {secret}")
        return
    from xnode.cli.node.setup import read_node_address

    yield Finding("ok", "node key", f"0x{read_node_address(app.home).hex()}")


def _judge_absent_key(app: App, config: Config | None) -> Finding:
    """A key that never was is made by init; one that is gone is not."""
    from xnode.cli.node.setup import require_no_past

    try:
        require_no_past(app.home, config.node.database_url if config else "")
    except UserError as error:
        return Finding("fail", "node key", error.sentence, error.hint)
    return Finding("warn", "node key", "not made yet", "xnode provider init, or xnode daemon init")


def _check_disk(app: App, config: Config | None) -> Iterator[Finding]:
    folder = config.node.data_dir if config else app.home.data
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "ok" if free >= MIN_DISK_BYTES else "fail"
    hint = "" if verdict == "ok" else f"free {brief_size(MIN_DISK_BYTES)}, or set data_dir to a larger disk"
    yield Finding(verdict, "disk", f"{brief_size(free)} free at {folder}", hint)


def _check_daemon(app: App) -> Iterator[Finding]:
    check_socket_path(app.home.control)
    if not app.control.is_up():
        yield Finding("ok", "daemon", "not running")
        return
    yield from judge_daemon(app.control.call("node.status"))


def judge_daemon(node: dict[str, Any]) -> Iterator[Finding]:
    """What the daemon's own status says of it: also one that is up does no business without peers or a registration."""
    troubles = {name: reason for name, reason in node.get("ready", {}).items() if reason}
    if not troubles:
        seen = f"{brief_count(node['peers'], 'peer')}, {brief_count(node['offers'], 'offer')}"
        yield Finding("ok", "daemon", f"running (pid {node['pid']}), {seen}")
    for name, reason in troubles.items():
        yield Finding("fail", "daemon", f"{name}: {reason}")
    yield from _judge_settings(node.get("settings"))
    for hint in node.get("hints", ()):
        what, _, remedy = hint.partition(": ")
        yield Finding("warn", "market", what, remedy)
    gas = node.get("gas")
    if gas is not None:
        detail = f"the node key has {brief_gas(msgspec.convert(gas, Gas))}"
        hint = f"send some of the chain's native token to {node['node']}" if gas["is_low"] else ""
        yield Finding("warn" if gas["is_low"] else "ok", "gas", detail, hint)


def _judge_settings(answer: dict[str, Any] | None) -> Iterator[Finding]:
    """Whether the daemon runs with what is declared."""
    if answer is None:
        return
    found = msgspec.convert(answer, SettingsView)
    if found.problem:
        yield Finding("warn", "settings", brief_settings(found), f"mend {found.declared_in}, then xnode config reload")
    elif found.differing:
        hint = "xnode config diff, then xnode config reload, or restart the daemon"
        yield Finding("warn", "settings", f"the daemon runs with others: {', '.join(found.differing)}", hint)
    else:
        yield Finding("ok", "settings", brief_settings(found))


def _check_extras(config: Config | None) -> Iterator[Finding]:
    """What the settings or the hardware ask for, and this installation lacks."""
    from xnode.extras import has_module, install
    from xnode.runtime.host.nvidia import DRIVER_FOLDER

    sells = config is not None and config.provider is not None
    wanted = {
        "psycopg": (config is not None and config.node.database_url.startswith("postgresql"), "database_url needs it"),
        "pynvml": (sells and Path("/", DRIVER_FOLDER).is_dir(), "the NVIDIA GPUs of this host need it"),
        "numpy": (sells, "capacity challenges need it"),
    }
    for module, (is_wanted, reason) in wanted.items():
        if is_wanted and not has_module(module):
            verdict: Verdict = "warn" if module == "numpy" else "fail"
            yield Finding(verdict, "extras", f"{module} is not installed: {reason}", install(module))


def _check_host(app: App, config: Config | None) -> Iterator[Finding]:
    """What a provider needs of its host; on any other node only whether it could be one."""
    from xnode.extras import has_module
    from xnode.runtime.host.facts import read_facts
    from xnode.runtime.host.fitness import judge_cgroups, judge_host, judge_programs
    from xnode.runtime.host.gpus import Survey
    from xnode.runtime.host.nvidia import DRIVER_FOLDER

    data = config.node.data_dir if config else app.home.data
    # Without the library that asks the driver nothing is known of the GPUs, which `extras` says.
    is_blind = Path("/", DRIVER_FOLDER).is_dir() and not has_module("pynvml")
    survey = Survey() if is_blind or config is None or config.provider is None else None
    if config is not None and config.provider is not None:
        from xnode.rules import make_wanted

        wanted = make_wanted(config.provider)
        yield from judge_host(read_facts(data, wanted.runtime, survey), replace(wanted, gpus=0) if is_blind else wanted)
        return
    facts = read_facts(data, "crun", survey)
    for finding in (*judge_programs(facts, "crun", network=False), *judge_cgroups(facts)):
        yield finding if finding.verdict == "ok" else _soften(finding)


def _check_ports(app: App, config: Config) -> Iterator[Finding]:
    if app.control.is_up():
        yield Finding("ok", "ports", "held by the daemon")
        return
    for text in (*config.node.listen, config.node.http):
        found = _parse_listen(text)
        if found is None:
            continue
        host, port = found
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                yield Finding("ok", "ports", f"{text} is free")
            except OSError as error:
                yield Finding("fail", "ports", f"{text}: {error.strerror}", "choose another, or stop what has it")


def _parse_listen(text: str) -> tuple[str, int] | None:
    """(host, TCP port) of a multiaddr or host:port; None for what is neither."""
    parts = text.split("/")
    if len(parts) >= 5 and parts[1] in ("ip4", "ip6") and parts[3] == "tcp" and parts[4].isdecimal():
        return parts[2], int(parts[4])
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else None


def judge_addresses(listen: Sequence[str], announce: Sequence[str], sells: bool) -> Iterator[Finding]:
    """Whether others can reach a node where it says that it is."""
    for text in announce:
        host, port = _parse_listen(text) or ("", 1)
        if not port:
            yield Finding("fail", "announce", f"{text} has port 0, where nobody can connect", "name the port outside")
        elif _is_unspecified(host):
            yield Finding("fail", "announce", f"{text} is no address of anybody", "name the one that others dial")
        elif _is_loopback(host):
            yield Finding(
                "warn", "announce", f"{text} is reached from this host alone", "name the one that others dial"
            )
    hosts = [found[0] for text in listen if (found := _parse_listen(text)) is not None]
    if sells and not announce and hosts and all(map(_is_loopback, hosts)):
        hint = 'set node.listen to "/ip4/0.0.0.0/tcp/0" in config.toml'
        yield Finding("warn", "listen", "only submitters on this host reach it: it listens on loopback", hint)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


def _is_unspecified(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_unspecified
    return False


def _check_chain(app: App, config: Config) -> Iterator[Finding]:
    from xnode.chain.deployment.check import check_deployment
    from xnode.chain.node.pulse import find_standstill
    from xnode.chain.reads import ChainReads
    from xnode.cli.access.deployment import find_deployment, run_async

    deployment = find_deployment(app)
    owner = config.provider.owner if config.provider else None

    async def ask() -> tuple[str, list[int], int, Permanent | None]:
        async with deployment.connect() as rpc:
            await rpc.check_chain_id()
            reads, wrong = ChainReads(rpc, deployment.manifest), None
            times = await reads.block_times()
            wei = await reads.native_balance(owner) if owner else 1
            try:
                await check_deployment(rpc, deployment.manifest)
            except Permanent as error:
                wrong = error
            return rpc.where, times, wei, wrong

    where, times, wei, wrong = run_async(ask)
    place = f"chain {deployment.manifest.chain_id} at {where}"
    stands = find_standstill(times, time.time())
    if wrong is not None:
        yield from find_failures("chain", wrong)
    elif stands:
        yield Finding("fail", "chain", f"{place} {stands}", "ask who runs it; jobs and payments wait")
    else:
        yield Finding("ok", "chain", f"{place}, contracts as in the manifest")
    if owner and not wei:
        hint = f"send some of the chain's native token to 0x{owner.hex()}"
        yield Finding("warn", "gas", "the owner's wallet has none: it can neither stake nor withdraw", hint)
    yield _judge_clock(times[-1])


def _judge_clock(block_s: int) -> Finding:
    """A block's time is its proposer's clock: ours must not be behind it. On a quiet chain being ahead says nothing."""
    behind = block_s - int(time.time())
    if behind > MAX_CLOCK_SKEW_S:
        return Finding("fail", "clock", f"{behind} s behind the chain's newest block", "turn on time synchronization")
    return Finding("ok", "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
