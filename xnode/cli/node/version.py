"""`xnode version`: what is installed here, and whether it is what was released."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from xnode import __version__
from xnode.cli.app import output_option
from xnode.cli.terminal.findings import print_finding
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Screen
from xnode.errors import ExitCode, UserError
from xnode.extras import find_installer
from xnode.release.installed import CONSTRAINTS, PACKAGE, Report, load_signers, verify_installation
from xnode.runtime.host.fitness import Finding

SHOWN = 20
"""So many files are named; of more there is their number."""


@click.command("version")
@click.option("--verify", is_flag=True, help="Compare what is installed with what was released.")
@click.option("--signers", type=GivenPath(path_type=Path), help="Whose signature counts: ssh's allowed-signers file.")
@click.option("--constraints", is_flag=True, help="Print the file with the tested versions of libraries.")
@output_option
def version(verify: bool, signers: Path | None, constraints: bool, screen: Screen) -> None:
    """Show the version, or verify the installation. Exit code 1 when it differs from its release."""
    if constraints:
        click.echo(_find_constraints())
    elif verify or signers:
        _verify(screen, signers)
    else:
        view = {
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "installed_by": find_installer() if CONSTRAINTS.is_file() else "",
            "folder": str(PACKAGE),
        }
        screen.show(view, lambda: _print_view(view))


def _print_view(view: dict[str, str]) -> None:
    shown = view | {"installed_by": view["installed_by"] or "nothing: this is a checkout"}
    click.echo("\n".join(f"{name.replace('_', ' '):<13} {value}" for name, value in shown.items()))


def _find_constraints() -> Path:
    if not CONSTRAINTS.is_file():
        what = "a checkout has requirements.lock instead"
        raise UserError(what, where=str(CONSTRAINTS), hint="`make python` installs by it", code=ExitCode.NOT_FOUND)
    return CONSTRAINTS


def _verify(screen: Screen, signers: Path | None) -> None:
    report = verify_installation(None if signers is None else load_signers(signers))
    findings = list(judge_report(report, must_be_signed=signers is not None))
    screen.show(asdict(report), lambda: _print_findings(findings))
    if any(one.verdict == "fail" for one in findings):
        raise click.exceptions.Exit(int(ExitCode.FAILED))


def _print_findings(findings: Sequence[Finding]) -> None:
    for one in findings:
        print_finding(one)


def judge_report(report: Report, must_be_signed: bool) -> Iterator[Finding]:
    """What a person reads of it: each thing that differs, and a line for each that is well."""
    for one in report.differences[:SHOWN]:
        yield Finding("fail", "files", f"{one.how}: {one.name}", "install xnode anew")
    yield from _count_rest("files", report.differences)
    if not report.differences:
        yield Finding("ok", "files", f"all {report.files} files of xnode are as released")
    if report.signed_by:
        yield Finding("ok", "signature", f"by {report.signed_by}")
    elif report.signature_fault:
        yield Finding("fail", "signature", report.signature_fault, "name who may sign by --signers, or install it anew")
    else:
        hint = "install a signed release, or trust whoever built this"
        yield Finding("fail" if must_be_signed else "warn", "signature", "none: nobody signed this build", hint)
    for text in report.other_versions[:SHOWN]:
        yield Finding("warn", "libraries", text, 'install "xnode[locked]", or with the constraints')
    for text in report.changed_libraries[:SHOWN]:
        yield Finding("fail", "libraries", text, "install it anew")
    yield from _count_rest("libraries", report.changed_libraries)
    if not report.other_versions and not report.changed_libraries:
        what = "of the versions tested, and as they were installed"
        yield Finding("ok", "libraries", f"{report.libraries} are {what}")


def _count_rest(what: str, found: Sequence[object]) -> Iterator[Finding]:
    if len(found) > SHOWN:
        yield Finding("fail", what, f"and {len(found) - SHOWN} more; `-o json` names them")
