"""Receipt files: each receipt as a JSON file that an auditor can check without us."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metering.codec import decode
from metering.receipt import SignedReceipt


def write_receipts(rows: Iterable[dict[str, Any]], folder: Path) -> list[Path]:
    """Write folder/receipt-LEASE-NUMBER.json for each row of a job.receipts answer; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in rows:
        path = folder / f"receipt-{str(row['lease_id'])[2:10]}-{int(row['number']):06}.json"
        path.write_text(json.dumps(make_receipt_document(row), indent=2) + "\n")
        written.append(path)
    return written


def make_receipt_document(row: dict[str, Any]) -> dict[str, Any]:
    """Every field as it is signed, in whole base units and nanoseconds, with the signature and the bytes."""
    raw = bytes.fromhex(str(row["signed"]).removeprefix("0x"))
    signed = decode(raw, SignedReceipt)
    receipt = signed.receipt
    return {
        "type": "Receipt",
        "lease_id": "0x" + receipt.lease_id.hex(),
        "number": receipt.number,
        "at_ns": receipt.at_ns,
        "running_ns": receipt.running_ns,
        "usage": {name: str(int(getattr(receipt.usage, name))) for name in receipt.usage.__struct_fields__},
        "cost": str(int(receipt.cost)),
        "final": receipt.final,
        "signature": "0x" + signed.signature.hex(),
        "bytes": "0x" + raw.hex(),
    }
