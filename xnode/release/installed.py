"""Installed: whether this installation is the release it says it is: its own files, their signature, its libraries."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from xnode.errors import ExitCode, UserError
from xnode.given_file import read_given_text
from xnode.release.manifest import Difference, find_differences, hash_file, read_manifest
from xnode.release.sshsig import BadSignature, Signer, key_that_signed, read_signers

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parent

MANIFEST, SIGNATURE = "release/manifest.sha256", "release/manifest.sha256.sig"
WITHOUT = frozenset({MANIFEST, SIGNATURE})
CONSTRAINTS = FOLDER / "constraints.txt"
SIGNERS = FOLDER / "allowed_signers"

MAX_SIGNERS_BYTES = 1 << 16
"""A few hundred keys."""

_PIN = re.compile(r"([\w.\-]+)==([^\s;]+)")


@dataclass(frozen=True, slots=True)
class Report:
    """files: of the manifest; signed_by: who, with the key's fingerprint, "" when nobody whose signature counts did;
    signature_fault: why a signature that is there does not count; libraries: looked at; other_versions: "NAME VERSION, tested
    with VERSION"; changed_libraries: files that are not as they were installed."""

    files: int
    differences: tuple[Difference, ...]
    signed_by: str
    signature_fault: str
    libraries: int
    other_versions: tuple[str, ...]
    changed_libraries: tuple[str, ...]


def verify_installation(signers: Sequence[Signer] | None = None, package: Path = PACKAGE) -> Report:
    """Compares every file of this installation with what was shipped. Blocks for seconds.

    signers: whose signature counts; None: those that were shipped, which vouch for nothing but themselves where somebody
    changed them too. Raises UserError when there is nothing to compare with, as in a checkout.
    """
    manifest_file = package / MANIFEST
    if not manifest_file.is_file():
        what = "nothing to compare with: this is a checkout, not an installed release"
        raise UserError(what, where=str(package), hint="`git status` shows what was changed", code=ExitCode.NOT_FOUND)
    raw = manifest_file.read_bytes()
    manifest = _read(manifest_file, raw)
    signed_by, fault = judge_signature(raw, package, load_signers() if signers is None else signers)
    found = list(_find_libraries())
    return Report(
        len(manifest),
        tuple(find_differences(package, manifest, WITHOUT)),
        signed_by,
        fault,
        len(found),
        tuple(f"{name} {one.version}, tested with {version}" for name, version, one in found if one.version != version),
        tuple(_find_changed([one for _, _, one in found])),
    )


def load_signers(path: Path = SIGNERS) -> tuple[Signer, ...]:
    """Who may sign. Raises UserError with the line that is wrong."""
    try:
        return read_signers(read_given_text(path, MAX_SIGNERS_BYTES))
    except OSError as error:
        raise UserError(error.strerror or "it cannot be read", where=str(path), hint="check the path") from error
    except ValueError as error:
        hint = "write an allowed-signers file, as ssh-keygen(1) describes it"
        raise UserError(str(error), where=str(path), hint=hint) from error


def judge_signature(raw: bytes, package: Path, signers: Sequence[Signer]) -> tuple[str, str]:
    """Who signed, and why what is there does not count; both "" where there is no signature."""
    path = package / SIGNATURE
    if not path.is_file():
        return "", ""
    try:
        key = key_that_signed(raw, path.read_text(errors="replace"))
    except BadSignature as error:
        return "", str(error)
    by = Signer("", key)
    for signer in signers:
        if signer.key == key:
            return f"{signer.name} ({signer.fingerprint})", ""
    return "", f"by {by.fingerprint}, which is not among those who may sign"


def _read(path: Path, raw: bytes) -> dict[str, str]:
    try:
        return read_manifest(raw.decode())
    except ValueError as error:
        raise UserError(str(error), where=str(path), hint="install xnode anew", code=ExitCode.FAILED) from error


def _find_libraries() -> Iterator[tuple[str, str, Distribution]]:
    """Each library that is installed of those that we need: its name, the version tested, and itself."""
    tested = {found[1]: found[2] for found in map(_PIN.match, CONSTRAINTS.read_text().splitlines()) if found}
    seen = set()
    for one in distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower()
        # Of two on the path, the first is imported.
        if name in tested and name not in seen:
            seen.add(name)
            yield name, tested[name], one


def _find_changed(libraries: Sequence[Distribution]) -> Iterator[str]:
    """Files that no record has as they are: some libraries bring a file of the same name, and the last one's is there."""
    recorded: dict[Path, set[str]] = {}
    names = {}
    for one in libraries:
        for file in one.files or ():
            if file.hash is not None and file.hash.mode == "sha256" and file.suffix != ".pyc":
                path = Path(str(file.locate()))
                recorded.setdefault(path, set()).add(file.hash.value)
                names[path] = str(file)
    for path, hashes in recorded.items():
        if not path.is_file():
            yield f"{names[path]} is missing"
        elif _record_hash(path) not in hashes:
            yield f"{names[path]} is changed"


def _record_hash(path: Path) -> str:
    """As a RECORD has it."""
    return base64.urlsafe_b64encode(bytes.fromhex(hash_file(path))).decode().rstrip("=")
