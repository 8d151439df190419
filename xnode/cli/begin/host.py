"""Host: whether this one can serve what a new provider would offer of it, asked before anything is paid."""

from __future__ import annotations

from metering.units import Address
from xnode.cli.app import App
from xnode.cli.provider.init import make_provider_table
from xnode.cli.terminal.screen import say
from xnode.config.file import read_table
from xnode.config.load import check_table
from xnode.config.settings import ProviderConfig
from xnode.errors import ExitCode, UserError
from xnode.rules import make_wanted
from xnode.runtime.host.facts import read_facts
from xnode.runtime.host.fitness import Finding, judge_host
from xnode.text.hex import to_hex


def require_fit(app: App, owner: Address, region: str, asset: str) -> ProviderConfig:
    """What this host offers, or will: by its settings, or else all that a new provider would. Raises UserError with a line and a
    hint for each thing that this host lacks."""
    table = read_table(app.home)
    if "provider" not in table:
        table = {
            # Not read here: what is checked is the host.
            "chain": {"manifest": "manifest.toml"},
            **table,
            "provider": make_provider_table(app, owner, region, asset),
        }
    provider = check_table(app.home, table).provider
    assert provider is not None
    wanted = make_wanted(provider)
    folder = app.home.data
    while not folder.exists():
        folder = folder.parent
    findings = list(judge_host(read_facts(folder, wanted.runtime), wanted))
    for one in findings:
        if one.verdict == "warn":
            say(f"{one.what}: {one.detail}" + (f"\nhint: {one.hint}" if one.hint else ""))
    refuse_unfit(findings)
    return provider


def refuse_unfit(findings: list[Finding]) -> None:
    """Raise UserError with what must be fixed on this host, each with its hint."""
    failures = [one for one in findings if one.verdict == "fail"]
    if not failures:
        return
    lines = []
    for one in failures:
        lines += [f"{one.what}: {one.detail}", *([f"hint: {one.hint}"] if one.hint else [])]
    raise UserError(
        "\n".join([*lines, "this host cannot serve workloads as it is"]),
        hint="fix that, and run this again; xnode doctor looks at everything",
        code=ExitCode.FAILED,
    )


def describe_offer(provider: ProviderConfig) -> str:
    """What is offered, for how much, in a line."""
    share, prices = provider.share, provider.prices
    gib = 1 << 30
    gpus = f", {share.gpus} GPU" if share.gpus else ""
    return (
        f"{share.vcpus:g} vCPU, {share.memory_bytes / gib:.3g} GiB memory, {share.disk_bytes / gib:.3g} GiB disk{gpus} "
        f"at {prices.vcpu_hour} {provider.asset} per vCPU-hour, paid to {to_hex(provider.owner)}"
    )
