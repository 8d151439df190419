"""`xnode audit`: checks exported evidence with nothing but the files, and against the chain when asked to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_id
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError

if TYPE_CHECKING:
    from metering.audit import Audit
    from metering.evidence import LeaseEvidence

_COLUMNS = (
    Column("lease"),
    Column("signatures", right=True),
    Column("receipts", right=True),
    Column("vouchers", right=True),
    Column("cost", right=True),
    Column("paid by vouchers", right=True),
)


@click.command("audit")
@click.argument("folder", metavar="DIR", type=GivenPath(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--chain", "manifest", type=GivenPath(path_type=Path), help="Also compare with what was claimed on chain."
)
@click.option("--rpc-url", default="", help="The chain node to use.  [default: the manifest's]")
@output_option
@pass_app
def audit(app: App, folder: Path, manifest: Path | None, rpc_url: str, screen: Screen) -> None:
    """Check exported evidence without a daemon or a network.

    DIR is what `xnode job receipts JOB --export DIR` wrote. Every signature, number, sum and hash is computed anew;
    amounts are in base units.
    """
    from metering.audit import audit_evidence
    from xnode.cli.evidence.files import read_evidence

    evidence = read_evidence(folder)
    result = audit_evidence(evidence)
    answer = make_answer(result)
    screen.show(answer, lambda: screen.table(_COLUMNS, (_make_cells(row) for row in answer)))
    if result.refusal is not None:
        raise UserError(
            str(result.refusal),
            where=str(folder),
            hint="export it again with `xnode job receipts JOB --export DIR`; if it is so again, the documents are wrong",
            code=ExitCode.REFUSED,
        )
    if manifest is not None:
        _compare(app, evidence, manifest, rpc_url)
    say("all of it holds")


def make_answer(result: Audit) -> list[dict[str, object]]:
    """One row for each lease, as far as the audit got."""
    return [
        {
            "lease": "0x" + tally.lease_id.hex(),
            "signatures": tally.signatures,
            "receipts": tally.receipts,
            "vouchers": tally.vouchers,
            "cost": str(tally.cost),
            "covered": str(tally.covered),
        }
        for tally in result.tallies
    ]


def _make_cells(row: dict[str, object]) -> tuple[object, ...]:
    lease, *others = row.values()
    return brief_id(str(lease)), *others


def _compare(app: App, evidence: list[LeaseEvidence], manifest: Path, rpc_url: str) -> None:
    from xnode.cli.access.deployment import find_deployment, run_async
    from xnode.cli.evidence.audit_chain import compare_claims

    deployment = find_deployment(app, manifest, rpc_url)
    for line in run_async(lambda: compare_claims(deployment, evidence)):
        say(line)
