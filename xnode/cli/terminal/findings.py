"""Findings: what was looked at, drawn with a sign, and a hint below what is not well."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace

import click

from xnode.cli.terminal.failure import HINT
from xnode.cli.terminal.screen import Screen, printable, style
from xnode.errors import ExitCode, Permanent, Retryable, UserError
from xnode.runtime.host.fitness import Finding, Verdict

_SIGNS: dict[Verdict, tuple[str, str]] = {"ok": ("✓", "32"), "warn": ("!", "33"), "fail": ("✗", "31")}


def show_findings(screen: Screen, found: Iterable[Finding]) -> None:
    """Print each as it comes, or all as JSON. Exit code 1 when one is a failure."""
    findings = []
    for finding in found:
        findings.append(finding)
        if screen.is_table:
            print_finding(finding)
    screen.show([asdict(finding) for finding in findings], lambda: None)
    if any(finding.verdict == "fail" for finding in findings):
        raise click.exceptions.Exit(int(ExitCode.FAILED))


def find_failures(what: str, error: UserError | Permanent | Retryable) -> Iterator[Finding]:
    """A finding for each line of the error, with the hint that follows it."""
    found: list[Finding] = []
    lines = (error.sentence if isinstance(error, UserError) else error.message).splitlines()
    for line in (*lines, *(f"{HINT}{one}" for one in error.hint.splitlines())):
        if line.startswith(HINT) and found:
            found[-1] = replace(found[-1], hint=line.removeprefix(HINT))
        else:
            found.append(Finding("fail", what, line))
    yield from found


def print_finding(finding: Finding) -> None:
    """Print one, with its hint below it."""
    sign, color = _SIGNS[finding.verdict]
    print(f"{style(sign, color, sys.stdout)} {finding.what:<9} {printable(finding.detail)}")
    if finding.hint:
        print(f"  {'':<9} {style('hint:', '1;36', sys.stdout)} {printable(finding.hint)}")
    sys.stdout.flush()
