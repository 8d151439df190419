"""Commitments: the salts of faults that this home committed to prove, on disk before the chain sees anything of them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from metering.units import Address, Hash32
from xnode.chain.deployment.manifest import Manifest
from xnode.durable import replace_file
from xnode.errors import UserError
from xnode.home import Home
from xnode.text.hex import parse_hex, to_hex


def keep_salt(home: Home, manifest: Manifest, evidence_id: Hash32, reporter: Address) -> Hash32:
    """The salt for this evidence and reporter, made and saved at the first call and the same ever after.

    A commitment whose salt is lost cannot be proved with, so the file is on the disk when this returns.
    """
    path = _find_path(home, manifest, evidence_id, reporter)
    if path.exists():
        return _read(path)
    home.make()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    salt = Hash32(secrets.token_bytes(32))
    _write_durably(path, {"evidence_id": to_hex(evidence_id), "reporter": to_hex(reporter), "salt": to_hex(salt)})
    return salt


def forget_salt(home: Home, manifest: Manifest, evidence_id: Hash32, reporter: Address) -> None:
    """The fault is proved: nothing is left to do."""
    _find_path(home, manifest, evidence_id, reporter).unlink(missing_ok=True)


def _find_path(home: Home, manifest: Manifest, evidence_id: Hash32, reporter: Address) -> Path:
    prover = manifest.contracts.fault_prover.hex()[:8]
    return home.folder / "faults" / f"{prover}-{evidence_id.hex()}-{reporter.hex()[:8]}.json"


def _read(path: Path) -> Hash32:
    try:
        salt = parse_hex(json.loads(path.read_text())["salt"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("holds no salt", where=str(path), hint="remove it and commit anew") from error
    return Hash32(salt)


def _write_durably(path: Path, document: dict[str, str]) -> None:
    replace_file(path, json.dumps(document, indent=2) + "\n", 0o600)
