"""Evidence files: the papers of leases as JSON files that an auditor can check without us (`xnode audit`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metering.codec import decode_strict, encode
from metering.evidence import CoveredVoucher, LeaseEvidence, LeasePaper
from metering.receipt import SignedReceipt
from metering.units import U128
from xnode.cli.screen import Screen
from xnode.errors import ExitCode, UserError

MAX_FILE_BYTES = 4 << 20
"""Of one paper: a voucher that names a hundred thousand leases, and far more than any other."""

Paper = LeasePaper | SignedReceipt | CoveredVoucher

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (LeasePaper, SignedReceipt, CoveredVoucher)}
_NAMES = {"lease": LeasePaper, "receipt": SignedReceipt, "voucher": CoveredVoucher}


def export_evidence(rows: Iterable[dict[str, str]], folder: Path, screen: Screen) -> None:
    """Write the papers that a daemon gives, and print their files. Raises UserError when there are none."""
    written = [str(path) for path in write_evidence(rows, folder)]
    if not written:
        raise UserError("no lease has been signed yet", where=str(folder), code=ExitCode.NOT_FOUND)
    screen.show(written, lambda: print("\n".join(written)))


def write_evidence(rows: Iterable[dict[str, str]], folder: Path) -> list[Path]:
    """Write the items of a job.evidence or provider.evidence answer, one file a paper; the files."""
    written: list[Path] = []
    vouchers = 0
    for row in rows:
        paper: Paper = decode_strict(bytes.fromhex(row["bytes"].removeprefix("0x")), _KINDS[row["type"]])
        vouchers = vouchers + 1 if isinstance(paper, CoveredVoucher) else 0
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _make_name(paper, row["lease_id"].removeprefix("0x")[:8], vouchers)
        path.write_text(json.dumps(make_document(paper), indent=2) + "\n")
        written.append(path)
    return written


def _make_name(paper: Paper, lease: str, vouchers: int) -> str:
    match paper:
        case LeasePaper():
            return f"lease-{lease}.json"
        case SignedReceipt():
            return f"receipt-{lease}-{paper.receipt.number:012}.json"
        case CoveredVoucher():
            return f"voucher-{lease}-{vouchers:06}.json"


def make_document(paper: Paper) -> dict[str, Any]:
    """Every field as it is signed, in whole base units and nanoseconds, with the signatures and the canonical bytes."""
    match paper:
        case LeasePaper():
            shown = {
                "type": "Lease",
                "lease_id": "0x" + paper.lease_id.hex(),
                "job_hash": "0x" + paper.terms.job_hash.hex(),
                "domain": {"chain_id": paper.chain_id, "escrow_contract": "0x" + paper.contract.hex()},
                "terms": _show(paper.terms),
                "escrow": _show(paper.escrow),
                "submitter_signature": _show(paper.submitter_signature),
                "node_signature": _show(paper.node_signature),
            }
        case SignedReceipt():
            shown = {"type": "Receipt", **_show(paper.receipt), "signature": _show(paper.signature)}
        case CoveredVoucher():
            signed = paper.signed
            shown = {"type": "Voucher", **_show(signed.voucher), "coverage": _show(paper.coverage)}
            shown["signature"] = _show(signed.signature)
    return {**shown, "bytes": "0x" + encode(paper).hex()}


def _show(value: Any) -> Any:
    match value:
        case bytes():
            return "0x" + value.hex()
        case U128():
            # JSON readers commonly keep 53 bits of a number.
            return str(int(value))
        case tuple():
            return [_show(item) for item in value]
        case None | bool() | int() | str():
            return value
    return {name: _show(getattr(value, name)) for name in value.__struct_fields__}


# -------------------------------------------------------------------------------------------------------------- reading


def read_evidence(folder: Path) -> list[LeaseEvidence]:
    """The papers in a folder, lease by lease. Raises UserError, REFUSED, naming the first file that is not what it says."""
    papers: dict[str, dict[str, list[Paper]]] = {}
    for path in sorted(folder.glob("*.json")):
        noun, _, rest = path.stem.partition("-")
        if noun in _NAMES:
            lease = papers.setdefault(rest.partition("-")[0], {name: [] for name in _NAMES})
            lease[noun].append(_read_paper(path, _NAMES[noun]))
    if not papers:
        raise _refuse(
            folder, "evidence_empty", "there is no evidence here; write some with `xnode job receipts --export`"
        )
    return [_make_evidence(folder, lease, found) for lease, found in papers.items()]


def _make_evidence(folder: Path, lease: str, found: dict[str, list[Any]]) -> LeaseEvidence:
    if len(found["lease"]) != 1:
        raise _refuse(
            folder / f"lease-{lease}.json", "paper_missing", "receipts and vouchers are here, the terms are not"
        )
    paper: LeasePaper = found["lease"][0]
    if paper.lease_id.hex()[:8] != lease:
        raise _refuse(
            folder / f"lease-{lease}.json", "paper_name", f"holds the terms of lease 0x{paper.lease_id.hex()}"
        )
    return LeaseEvidence(paper, tuple(found["receipt"]), tuple(found["voucher"]))


def _read_paper(path: Path, kind: type[Any]) -> Any:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _refuse(path, "paper_large", f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
        raw = bytes.fromhex(document["bytes"].removeprefix("0x"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refuse(path, "paper_unreadable", f"is not a paper of ours: {error!r:.100}") from error
    try:
        paper = decode_strict(raw, kind)
        due = make_document(paper)
    except (ValueError, OverflowError) as error:
        raise _refuse(path, "paper_bytes", f"its bytes are no {kind.__name__}: {str(error)[:100]}") from error
    for name in (*due, *document):
        if document.get(name) != due.get(name) or name not in document or name not in due:
            raise _refuse(path, "paper_differs", f"{name} is not what the signed bytes say")
    return paper


def _refuse(path: Path, code: str, detail: str) -> UserError:
    return UserError(f"{code}: {detail}", where=str(path), code=ExitCode.REFUSED)
