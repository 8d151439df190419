"""`xnode pay refund`: has what provider and submitter promised for too little availability given back to the payer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from metering.evidence import LeaseDocument
from metering.receipt import SignedReceipt
from metering.sla import find_breach
from metering.units import Amount
from xnode.chain.contracts import fault_prover
from xnode.chain.deployment.manifest import Asset, Manifest
from xnode.chain.fault_search import SignedDocument
from xnode.chain.intents.faults import prove_breach
from xnode.chain.intents.session import WalletSession
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.options import payer_options
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.evidence.files import read_documents
from xnode.cli.terminal.brief import brief_id
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.screen import Column, Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex

_COLUMNS = (Column("lease"), Column("provider"), Column("refunded", right=True), Column("due", right=True))

Breach = tuple[LeaseDocument, SignedReceipt, Amount]
"""Terms, the receipt that shows the breach, and what is due for it in all."""


@click.command("refund")
@click.argument(
    "documents", nargs=-1, required=True, metavar="FOLDER|FILE...", type=GivenPath(path_type=Path, exists=True)
)
@payer_options
@output_option
@pass_app
def refund(app: App, /, documents: tuple[Path, ...], screen: Screen, **options: Any) -> None:
    """Get back what a provider promised for too little availability.

    Shows a lease's terms and last receipt (written by `xnode job receipts JOB --export DIR`) to the chain. When the
    workload ran for less of the time than the provider promised, what both signed for that goes back to the deposit.
    Any wallet may pay the gas.
    """
    access = Access.of_payer(app, **options)
    breaches = find_breaches(read_documents(documents), access.manifest)
    if not breaches:
        raise UserError(
            "no broken promise is in these documents",
            where="evidence",
            hint="see `xnode job show`",
            code=ExitCode.NOT_FOUND,
        )

    async def work(session: WalletSession) -> list[dict[str, str]]:
        return [await _prove(session, *breach) for breach in breaches]

    answer = access.act(work)
    cells = ((brief_id(row["lease_id"]), row["provider"], *_make_sums(row)) for row in answer)
    screen.show(answer, lambda: screen.table(_COLUMNS, cells))


def find_breaches(documents: Sequence[SignedDocument], manifest: Manifest) -> list[Breach]:
    """The leases of this deployment whose own final receipt shows a broken promise."""
    finals = {
        document.receipt.lease_id: document
        for document in documents
        if isinstance(document, SignedReceipt) and document.receipt.final
    }
    separator = manifest.domain.separator()
    found = []
    for document in documents:
        if isinstance(document, LeaseDocument) and document.separator == separator and document.lease_id in finals:
            last = finals[document.lease_id]
            due = find_breach(document.terms, last.receipt)
            if due is not None:
                found.append((document, last, due))
    return found


async def _prove(session: WalletSession, document: LeaseDocument, last: SignedReceipt, due: Amount) -> dict[str, str]:
    asset = session.manifest.find_asset(to_hex(document.terms.asset))
    prover = session.manifest.contracts.fault_prover
    before = await session.rpc.view(prover, fault_prover.REFUNDED_OF, document.lease_id)
    if before >= due:
        say(f"lease {brief_id(to_hex(document.lease_id))} was refunded before")
        return _make_row(document, asset, 0, due)
    if not document.node_signature:
        raise UserError(
            "the provider's signature under the terms is not in the documents",
            where=f"lease {brief_id(to_hex(document.lease_id))}",
            hint="export them from the node that ran the job: xnode job receipts JOB --export DIR",
            code=ExitCode.REFUSED,
        )
    say(f"proving that lease {brief_id(to_hex(document.lease_id))} ran too little ...")
    await prove_breach(session, make_intent("breach"), document, last)
    after = await session.rpc.view(prover, fault_prover.REFUNDED_OF, document.lease_id)
    return _make_row(document, asset, after - before, due)


def _make_row(document: LeaseDocument, asset: Asset, refunded: int, due: Amount) -> dict[str, str]:
    return {
        "lease_id": to_hex(document.lease_id),
        "provider": to_hex(document.terms.provider),
        "asset": asset.symbol,
        "refunded": asset.format(refunded),
        "due": asset.format(due),
    }


def _make_sums(row: dict[str, str]) -> tuple[str, str]:
    return f"{row['refunded']} {row['asset']}", f"{row['due']} {row['asset']}"
