"""`xnode fault`: proves a provider wrong by its own signatures, and shows what was proved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xnode.cli.access.options import chain_option, payer_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.lazy import LazyGroup
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Screen

_documents_argument = click.argument(
    "documents", nargs=-1, required=True, metavar="FOLDER|FILE...", type=GivenPath(path_type=Path, exists=True)
)


@click.group("fault", cls=LazyGroup)
def fault() -> None:
    """Prove a provider wrong by its own signatures. Documents are files that `receipts --export` and others write."""


@fault.command("seen")
@click.option("--export", type=GivenPath(path_type=Path, file_okay=False), required=True, help="Into this folder.")
@output_option
@pass_app
def seen(app: App, export: Path, screen: Screen) -> None:
    """Export contradicting offers that this node was shown.

    Two different offers of one provider under one number, as it met them on the market.
    """
    from xnode.cli.evidence.files import export_documents

    export_documents(app.control.call("offer.contradictions"), export, screen)


@fault.command("find")
@_documents_argument
@chain_option
@output_option
@pass_app
def find(app: App, documents: tuple[Path, ...], manifest: Path | None, screen: Screen) -> None:
    """Show which faults the documents prove.

    Two different documents under one number, usage beyond verified capacity, or a wrong element of a capacity answer.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.evidence.fault_report import draw_faults, find_faults

    answer = find_faults(Access(app, manifest_path=manifest), documents)
    screen.show(answer, lambda: draw_faults(screen, answer))


@fault.command("report")
@_documents_argument
@click.option("--no-wait", is_flag=True, help="Only commit now; the same command proves it after the delay.")
@payer_options
@output_option
@pass_app
def report(app: App, /, documents: tuple[Path, ...], no_wait: bool, screen: Screen, **options: Any) -> None:
    """Prove the documents' faults on chain, for a reward.

    Commits to the proof, waits until a copy of it could not be first, then proves. A tenth of what is slashed goes to
    the wallet. When it was interrupted, the same command goes on where it stopped.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.evidence.fault_report import draw_reported, report_faults

    # A submitter reports with the wallet that pays, a provider with the one that is paid.
    answer = report_faults(Access.of_payer(app, **options), documents, no_wait)
    screen.show(answer, lambda: draw_reported(screen, answer))


@fault.command("answer")
@_documents_argument
@click.option("--ended", is_flag=True, help="Also note leases as over that nobody claims, before you close down.")
@payer_options
@output_option
@pass_app
def answer(app: App, /, documents: tuple[Path, ...], ended: bool, screen: Screen, **options: Any) -> None:
    """Answer on chain a submitter who claims that you went silent.

    A submitter may claim, for three days after a lease's newest receipt that it has, that its provider says nothing
    more; the provider then has a day to show a newer one. Your daemon does it by itself while it runs and its key has
    gas; this is for when it cannot. Documents are the receipts that you signed. Any wallet may pay the gas.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.evidence.answer import answer_claims, draw_answers

    rows = answer_claims(Access.of_payer(app, **options), documents, ended)
    screen.show(rows, lambda: draw_answers(screen, rows))


@fault.command("shown")
@click.argument("leases", nargs=-1, required=True, metavar="LEASE|FOLDER|FILE...")
@click.option("--export", type=GivenPath(path_type=Path, file_okay=False), required=True, help="Into this folder.")
@chain_option
@output_option
@pass_app
def shown(app: App, leases: tuple[str, ...], export: Path, manifest: Path | None, screen: Screen) -> None:
    """Export receipts that a provider showed on chain.

    What a provider answered to a claim of silence may be newer than all that its submitter has. LEASE is a lease's id;
    of documents those leases are asked for that they are about. The files join those of `xnode job receipts JOB
    --export DIR`, for `xnode audit` and `xnode pay refund`.
    """
    from xnode.cli.access.access import Access
    from xnode.cli.evidence.shown import draw_shown, export_shown

    answer = export_shown(Access(app, manifest_path=manifest), leases, export)
    screen.show(answer, lambda: draw_shown(screen, answer))


@fault.command("list")
@click.option("--of", "provider", default="", help="Only this provider's, by address or wallet.")
@chain_option
@output_option
@pass_app
def list_(app: App, provider: str, manifest: Path | None, screen: Screen) -> None:
    """List faults and breaches that were proved on chain."""
    from xnode.cli.access.access import Access
    from xnode.cli.evidence.fault_list import draw_proven, list_proven

    answer = list_proven(Access(app, provider, manifest))
    screen.show(answer, lambda: draw_proven(screen, answer))
