"""Evidence files: signed papers as JSON files that an auditor can check without us, and a reporter can prove faults by."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metering.codec import decode_strict, encode
from metering.eip712 import keccak
from metering.evidence import (
    AnswerPaper,
    CoveredVoucher,
    LeaseEvidence,
    LeasePaper,
    NumberedPaper,
    VerdictPaper,
)
from metering.receipt import SignedReceipt
from metering.units import U128
from xnode.cli.terminal.screen import Screen
from xnode.errors import ExitCode, UserError

MAX_FILE_BYTES = 4 << 20
"""Of one paper: a voucher that names a hundred thousand leases, and far more than any other."""

MAX_FILES = 100_000
"""Of one reading: the receipts of a lease of six days."""

LeaseDocument = LeasePaper | SignedReceipt | CoveredVoucher
Paper = LeaseDocument | NumberedPaper | AnswerPaper | VerdictPaper

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (LeasePaper, SignedReceipt, CoveredVoucher)}
_NAMES = {"lease": LeasePaper, "receipt": SignedReceipt, "voucher": CoveredVoucher}
_TYPES: dict[str, type[Any]] = {
    "Lease": LeasePaper,
    "Receipt": SignedReceipt,
    "Voucher": CoveredVoucher,
    "Offer": NumberedPaper,
    "Quote": NumberedPaper,
    "Answer": AnswerPaper,
    "Verdict": VerdictPaper,
}
"""What stands as `type` in a document."""


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
        paper: LeaseDocument = decode_strict(bytes.fromhex(row["bytes"].removeprefix("0x")), _KINDS[row["type"]])
        vouchers = vouchers + 1 if isinstance(paper, CoveredVoucher) else 0
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _make_name(paper, row["lease_id"].removeprefix("0x")[:8], vouchers)
        path.write_text(json.dumps(make_document(paper), indent=2) + "\n")
        written.append(path)
    return written


def export_papers(rows: Iterable[dict[str, str]], folder: Path, screen: Screen) -> None:
    """Write the papers that prove something, one file each, and print the files. Raises UserError when there are none."""
    written = []
    for row in rows:
        paper = decode_strict(bytes.fromhex(row["bytes"].removeprefix("0x")), _TYPES[row["type"]])
        written.append(str(write_paper(paper, folder)))
    if not written:
        raise UserError("nothing is held against anybody", where="this node", code=ExitCode.NOT_FOUND)
    screen.show(written, lambda: print("\n".join(written)))


def write_paper(paper: NumberedPaper | AnswerPaper | VerdictPaper, folder: Path) -> Path:
    """Write one paper under a name that no other paper has; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = make_document(paper)
    path = folder / f"{document['type'].lower()}-{keccak(encode(paper)).hex()[:16]}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def _make_name(paper: LeaseDocument, lease: str, vouchers: int) -> str:
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
        case NumberedPaper():
            shown = {"type": paper.kind, "domain": _show_domain(paper, "escrow_contract"), **_show_rest(paper, "kind")}
        case AnswerPaper():
            shown = {"type": "Answer", "domain": _show_domain(paper, "capacity_contract"), **_show_rest(paper)}
        case VerdictPaper():
            shown = {"type": "Verdict", "domain": _show_domain(paper, "capacity_contract"), **_show_rest(paper)}
    return {**shown, "bytes": "0x" + encode(paper).hex()}


def _show_domain(paper: NumberedPaper | AnswerPaper | VerdictPaper, contract: str) -> dict[str, Any]:
    return {"chain_id": paper.chain_id, contract: "0x" + paper.contract.hex()}


def _show_rest(paper: Any, *left_out: str) -> dict[str, Any]:
    names = set(paper.__struct_fields__) - {"chain_id", "contract", *left_out}
    return {name: _show(getattr(paper, name)) for name in paper.__struct_fields__ if name in names}


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


def read_papers(paths: Iterable[Path]) -> list[Paper]:
    """The papers in these files and folders, of any kind. Raises UserError, REFUSED, naming the first that is none.

    Of a folder those files are read that are named as papers are, like receipt-*.json.
    """
    files: list[Path] = []
    for path in paths:
        files += sorted(_list_papers(path)) if path.is_dir() else [path]
    if len(files) > MAX_FILES:
        raise UserError(f"{len(files)} papers are more than {MAX_FILES}", todo="name the folders one by one")
    return [_read_any(path) for path in files]


def _list_papers(folder: Path) -> list[Path]:
    nouns = {name.lower() for name in _TYPES}
    return [path for path in folder.glob("*.json") if path.stem.partition("-")[0] in nouns]


def _read_any(path: Path) -> Paper:
    document = _read_document(path)
    kind = _TYPES.get(str(document.get("type")))
    if kind is None:
        raise _refuse(path, "paper_type", f"is no paper of ours; there are {', '.join(_TYPES)}")
    paper: Paper = _parse_paper(path, document, kind)
    return paper


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
    return _parse_paper(path, _read_document(path), kind)


def _read_document(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _refuse(path, "paper_large", f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "paper_unreadable", f"is not JSON: {error!s:.100}") from error
    if not isinstance(document, dict):
        raise _refuse(path, "paper_unreadable", "is not a paper of ours: it is no object")
    return document


def _parse_paper(path: Path, document: dict[str, Any], kind: type[Any]) -> Any:
    text = document.get("bytes")
    try:
        raw = bytes.fromhex(text.removeprefix("0x")) if isinstance(text, str) else None
    except ValueError:
        raw = None
    if raw is None:
        raise _refuse(path, "paper_unreadable", "is not a paper of ours: `bytes` must be a string of hex digits")
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
