"""Receipts that providers showed on chain, as evidence files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metering.evidence import LeaseDocument
from metering.receipt import SignedReceipt
from metering.units import Hash32
from xnode.chain.reads import ChainReads
from xnode.chain.shown_receipts import ShownReceipt, read_shown
from xnode.cli.access.access import Access
from xnode.cli.evidence.files import read_documents, write_receipt
from xnode.cli.terminal.brief import brief_id
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, UserError
from xnode.text.hex import parse_hex, to_hex

MAX_LEASES = 1_000
"""Asked for in one run: each is a question to the chain node."""

_ID = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def export_shown(access: Access, named: Sequence[str], folder: Path) -> list[dict[str, str]]:
    """Write what was shown of these leases, named by id or by documents about them. Raises UserError when it is nothing."""
    leases = find_leases(named)

    async def work(reads: ChainReads) -> list[ShownReceipt]:
        return [one for lease_id in leases for one in await read_shown(reads.rpc, reads.manifest, lease_id)]

    found = access.look(work)
    if not found:
        what = f"lease {brief_id(to_hex(leases[0]))}" if len(leases) == 1 else f"these {len(leases)} leases"
        raise UserError(
            f"no receipt of {what} was shown on chain", where="fault shown", code=ExitCode.NOT_FOUND,
            hint="a provider shows one when its silence is claimed, or when it closes down",
        )  # fmt: skip
    rows = [_make_row(one, folder) for one in found]
    if not any(one.signed for one in found):
        raise UserError(
            f"what was shown in transaction {to_hex(found[0].tx_hash)} cannot be read from its calldata",
            where="fault shown", hint="it went through another contract: ask whoever sent it for the receipt",
        )  # fmt: skip
    return rows


def draw_shown(screen: Screen, rows: list[dict[str, str]]) -> None:
    """Print the files."""
    for row in rows:
        last = ", its last one" if row["last"] == "yes" else ""
        lost = "" if row["file"] else f", in transaction {row['tx_hash']}: its calldata cannot be read"
        say(f"lease {brief_id(row['lease_id'])}: receipt {row['number']}{last}, shown in block {row['block']}{lost}")
    screen.paths([row["file"] for row in rows if row["file"]])


def find_leases(named: Sequence[str]) -> list[Hash32]:
    """The leases that are named by id, or that these files and folders have documents about; each once."""
    found: dict[Hash32, None] = {}
    paths: list[Path] = []
    for one in named:
        if _ID.fullmatch(one):
            found[Hash32(parse_hex(one))] = None
        elif (path := Path(one).expanduser()).exists():
            paths.append(path)
        else:
            hint = "a lease's id has 64 hex digits; `xnode job receipts JOB --export DIR` writes them into its files"
            raise UserError(
                "not a lease's id, and no such file or folder", where=one, hint=hint, code=ExitCode.NOT_FOUND
            )
    for document in read_documents(paths):
        match document:
            case SignedReceipt():
                found[document.receipt.lease_id] = None
            case LeaseDocument():
                found[document.lease_id] = None
    if not found:
        raise UserError(
            "these documents are about no lease", where=named[0], hint="name a lease's id", code=ExitCode.NOT_FOUND
        )
    if len(found) > MAX_LEASES:
        raise UserError(f"{len(found)} leases are more than {MAX_LEASES}", where=named[0], hint="name them in parts")
    return list(found)


def _make_row(one: ShownReceipt, folder: Path) -> dict[str, str]:
    file = str(write_receipt(one.signed, folder)) if one.signed is not None else ""
    return {
        "lease_id": to_hex(one.lease_id),
        "provider": to_hex(one.provider),
        "number": str(one.number),
        "last": "yes" if one.final else "no",
        "block": str(one.block_number),
        "tx_hash": to_hex(one.tx_hash),
        "file": file,
    }
