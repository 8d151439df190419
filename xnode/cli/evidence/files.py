"""Evidence files: signed documents as JSON files that an auditor can check without us, and a reporter can prove faults by."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from metering.codec import decode_strict, encode
from metering.eip712 import keccak
from metering.evidence import (
    AnswerDocument,
    CoveredVoucher,
    LeaseDocument,
    LeaseEvidence,
    NumberedDocument,
    PrepaidVoucher,
    VerdictDocument,
)
from metering.receipt import SignedReceipt
from metering.terms import LeaseTerms
from metering.units import U128
from xnode.cli.terminal.screen import Screen, say
from xnode.durable import replace_file
from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given

MAX_FILE_BYTES = 4 << 20
"""Of one document: a voucher that names a hundred thousand leases, and far more than any other."""

MAX_FILES = 100_000
"""Of one reading: the receipts of a lease of six days."""

LeaseEvidencePart = LeaseDocument | SignedReceipt | CoveredVoucher | PrepaidVoucher
SignedDocument = LeaseEvidencePart | NumberedDocument | AnswerDocument | VerdictDocument

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(LeaseEvidencePart)}
_NAMES: dict[str, type[Any]] = {
    "lease": LeaseDocument,
    "receipt": SignedReceipt,
    "voucher": CoveredVoucher,
    "prepaid": PrepaidVoucher,
}
_TYPES: dict[str, type[Any]] = {
    "Lease": LeaseDocument,
    "Receipt": SignedReceipt,
    "Voucher": CoveredVoucher,
    "Prepaid": PrepaidVoucher,
    "Offer": NumberedDocument,
    "Quote": NumberedDocument,
    "Answer": AnswerDocument,
    "Verdict": VerdictDocument,
}
"""What `type` names in a page."""


def export_evidence(rows: Iterable[dict[str, str]], folder: Path, screen: Screen) -> None:
    """Write the documents that a daemon gives, and print their files. Raises UserError when there are none."""
    written = [str(path) for path in write_evidence(rows, folder)]
    if not written:
        raise UserError("no lease has been signed yet", where=str(folder), code=ExitCode.NOT_FOUND)
    screen.show(written, lambda: screen.paths(written))


def write_evidence(rows: Iterable[dict[str, str]], folder: Path) -> list[Path]:
    """Write the items of a job.evidence or provider.evidence answer, one file per document; the files."""
    written: list[Path] = []
    vouchers = 0
    for row in rows:
        document: LeaseEvidencePart = decode_strict(bytes.fromhex(row["bytes"].removeprefix("0x")), _KINDS[row["type"]])
        vouchers = vouchers + 1 if isinstance(document, CoveredVoucher | PrepaidVoucher) else 0
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _make_name(document, row["lease_id"].removeprefix("0x")[:8], vouchers)
        replace_file(path, json.dumps(make_page(document), indent=2) + "\n")
        written.append(path)
    return written


def export_documents(rows: Iterable[dict[str, str]], folder: Path, screen: Screen) -> None:
    """Write the documents that prove something, one file each, and print the files. Raises UserError when there are none."""
    written = []
    for row in rows:
        document = decode_strict(bytes.fromhex(row["bytes"].removeprefix("0x")), _TYPES[row["type"]])
        written.append(str(write_document(document, folder)))
    if not written:
        raise UserError("no evidence against another node", where="this node", code=ExitCode.NOT_FOUND)
    screen.show(written, lambda: screen.paths(written))


def write_document(document: NumberedDocument | AnswerDocument | VerdictDocument, folder: Path) -> Path:
    """Write one document under a name that no other document has; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    page = make_page(document)
    path = folder / f"{page['type'].lower()}-{keccak(encode(document)).hex()[:16]}.json"
    replace_file(path, json.dumps(page, indent=2) + "\n")
    return path


def write_receipt(signed: SignedReceipt, folder: Path) -> Path:
    """Write a receipt under the name that `receipts --export` gives it, so that it joins the others of its lease; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _make_name(signed, signed.receipt.lease_id.hex()[:8], 0)
    replace_file(path, json.dumps(make_page(signed), indent=2) + "\n")
    return path


def _make_name(document: LeaseEvidencePart, lease: str, vouchers: int) -> str:
    match document:
        case LeaseDocument():
            return f"lease-{lease}.json"
        case SignedReceipt():
            return f"receipt-{lease}-{document.receipt.number:012}.json"
        case CoveredVoucher():
            return f"voucher-{lease}-{vouchers:06}.json"
        case PrepaidVoucher():
            return f"prepaid-{lease}-{vouchers:06}.json"


def make_page(document: SignedDocument) -> dict[str, Any]:
    """Every field as it is signed, in whole base units and nanoseconds, with the signatures and the canonical bytes."""
    match document:
        case LeaseDocument():
            shown = {
                "type": "Lease",
                "lease_id": "0x" + document.lease_id.hex(),
                "job_hash": "0x" + document.terms.job_hash.hex(),
                "domain": {"chain_id": document.chain_id, "escrow_contract": "0x" + document.contract.hex()},
                "terms": _show(document.terms),
                "escrow": _show(document.escrow),
                "submitter_signature": _show(document.submitter_signature),
                "node_signature": _show(document.node_signature),
            }
        case SignedReceipt():
            shown = {"type": "Receipt", **_show(document.receipt), "signature": _show(document.signature)}
        case CoveredVoucher() | PrepaidVoucher():
            signed = document.signed
            kind = "Voucher" if isinstance(document, CoveredVoucher) else "Prepaid"
            shown = {"type": kind, **_show(signed.voucher), "coverage": _show(document.coverage)}
            shown["signature"] = _show(signed.signature)
        case NumberedDocument():
            shown = {
                "type": document.kind,
                "domain": _show_domain(document, "escrow_contract"),
                **_show_rest(document, "kind"),
            }
        case AnswerDocument():
            shown = {"type": "Answer", "domain": _show_domain(document, "capacity_contract"), **_show_rest(document)}
        case VerdictDocument():
            shown = {"type": "Verdict", "domain": _show_domain(document, "capacity_contract"), **_show_rest(document)}
    return {**shown, "bytes": "0x" + encode(document).hex()}


def _show_domain(document: NumberedDocument | AnswerDocument | VerdictDocument, contract: str) -> dict[str, Any]:
    return {"chain_id": document.chain_id, contract: "0x" + document.contract.hex()}


def _show_rest(document: Any, *left_out: str) -> dict[str, Any]:
    names = set(document.__struct_fields__) - {"chain_id", "contract", *left_out}
    return {name: _show(getattr(document, name)) for name in document.__struct_fields__ if name in names}


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
    """The documents in a folder, lease by lease. Raises UserError, REFUSED, naming the first file that is not what it says."""
    documents: dict[str, dict[str, list[SignedDocument]]] = {}
    hint = "write some with `xnode job receipts JOB --export DIR`"
    for path in _list_documents(folder, _NAMES, hint):
        noun, _, rest = path.stem.partition("-")
        lease = documents.setdefault(rest.partition("-")[0], {name: [] for name in _NAMES})
        lease[noun].append(_read_document(path, _NAMES[noun]))
    return [_make_evidence(folder, lease, found) for lease, found in documents.items()]


def read_documents(paths: Iterable[Path]) -> list[SignedDocument]:
    """The documents in these files and folders, of any kind. Raises UserError, REFUSED, naming the first that is not one.

    Of a folder those files are read that are named as documents are, like receipt-*.json.
    """
    files: list[Path] = []
    nouns = [name.lower() for name in _TYPES]
    for path in paths:
        files += _list_documents(path, nouns) if path.is_dir() else [path]
    if len(files) > MAX_FILES:
        raise UserError(f"{len(files)} documents are more than {MAX_FILES}", hint="name the folders one by one")
    return [_read_any(path) for path in files]


def _list_documents(folder: Path, nouns: Collection[str], hint: str = "") -> list[Path]:
    """The files that are named as these documents are; how many others there are is said. Raises UserError, REFUSED, for none."""
    taken: list[Path] = []
    left: list[Path] = []
    for path in sorted(folder.iterdir()):
        is_named = path.suffix == ".json" and path.stem.partition("-")[0] in nouns
        (taken if is_named else left).append(path)
    named = ", ".join(f"{noun}-*.json" for noun in nouns)
    if not taken:
        others = f"; {_count_files(left)} not taken" if left else ", the folder is empty"
        raise _refuse(
            folder, "evidence_empty", f"no documents found{others}", hint or f"files are read that are named {named}"
        )
    if left:
        say(
            f"{folder}: {_count_files(left)} not taken, like {left[0].name}: only files are read that are named {named}"
        )
    return taken


def _count_files(paths: Sequence[Path]) -> str:
    return "1 file is" if len(paths) == 1 else f"{len(paths)} files are"


def _read_any(path: Path) -> SignedDocument:
    page = _read_page(path)
    kind = _TYPES.get(str(page.get("type")))
    if kind is None:
        raise _refuse(path, "document_type", f"not a signed document; known types are {', '.join(_TYPES)}")
    document: SignedDocument = _parse_document(path, page, kind)
    return document


def _make_evidence(folder: Path, lease: str, found: dict[str, list[Any]]) -> LeaseEvidence:
    if len(found["lease"]) != 1:
        raise _refuse(
            folder / f"lease-{lease}.json", "document_missing", "receipts and vouchers are here, the terms are not"
        )
    document: LeaseDocument = found["lease"][0]
    if document.lease_id.hex()[:8] != lease:
        raise _refuse(
            folder / f"lease-{lease}.json", "document_name", f"holds the terms of lease 0x{document.lease_id.hex()}"
        )
    return LeaseEvidence(document, tuple(found["receipt"]), tuple(found["voucher"]), tuple(found["prepaid"]))


def _read_document(path: Path, kind: type[Any]) -> Any:
    return _parse_document(path, _read_page(path), kind)


def _read_page(path: Path) -> dict[str, Any]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # A pipe would be waited for without end.
        raise _refuse(path, "document_unreadable", "not a signed document: it is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise _refuse(path, "document_large", f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        page = json.loads(read_given(path, MAX_FILE_BYTES))
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "document_unreadable", f"is not JSON: {error!s:.100}") from error
    if not isinstance(page, dict):
        raise _refuse(path, "document_unreadable", "not a signed document: it is not a JSON object")
    return page


def _parse_document(path: Path, page: dict[str, Any], kind: type[Any]) -> Any:
    text = page.get("bytes")
    try:
        raw = bytes.fromhex(text.removeprefix("0x")) if isinstance(text, str) else None
    except ValueError:
        raw = None
    if raw is None:
        raise _refuse(path, "document_unreadable", "not a signed document: `bytes` must be a string of hex digits")
    try:
        document = decode_strict(raw, kind)
        due = make_page(document)
    except (ValueError, OverflowError) as error:
        _check_version(path, page)
        raise _refuse(path, "document_bytes", f"its bytes are not a {kind.__name__}: {str(error)[:100]}") from error
    for name in (*due, *page):
        if page.get(name) != due.get(name) or name not in page or name not in due:
            raise _refuse(path, "document_differs", f"{name} is not what the signed bytes say")
    return document


def _check_version(path: Path, page: dict[str, Any]) -> None:
    """Raises UserError when the page has lease terms of another version: each version signs all fields it knows."""
    terms, known = page.get("terms"), set(LeaseTerms.__struct_fields__)
    if page.get("type") != "Lease" or not isinstance(terms, dict) or terms.keys() == known:
        return
    lacks = ", ".join(sorted(known - terms.keys())) or "none"
    raise _refuse(
        path,
        "document_version",
        f"lease terms of another version of xnode; of the fields of this one they lack: {lacks}",
        "audit it with the version that the lease was made with",
    )


def _refuse(path: Path, code: str, detail: str, hint: str = "") -> UserError:
    return UserError(f"{code}: {detail}", where=str(path), hint=hint, code=ExitCode.REFUSED)
