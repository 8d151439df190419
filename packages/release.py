"""Release: signs a wheel's manifest, and the checksums of everything that is published; see `make release`.

    python -m packages.release sign-manifest WHEEL KEY OUT    the signature that the wheel is then built again with
    python -m packages.release sums FOLDER [KEY]              SHA256SUMS of the folder, and SHA256SUMS.sig

KEY is the file of an Ed25519 key of openssh, or of its public half when ssh-agent has the other.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAMESPACE = "xnode"
"""As in xnode/release/sshsig.py."""

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
MANIFEST = "xnode/release/manifest.sha256"


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["sign-manifest", wheel, key, out]:
            Path(out).write_text(sign(read_manifest(Path(wheel)), Path(key)))
        case ["sums", folder]:
            write_sums(Path(folder))
        case ["sums", folder, key]:
            sums = write_sums(Path(folder))
            (Path(folder) / SIGNATURE).write_text(sign(sums.read_bytes(), Path(key)))
        case _:
            sys.exit(__doc__)


def read_manifest(wheel: Path) -> bytes:
    """The manifest inside of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MANIFEST)


def sign(message: bytes, key: Path) -> str:
    """openssh's signature over these bytes, armored. SystemExit with its own words when it makes none."""
    if shutil.which("ssh-keygen") is None:
        sys.exit("error: ssh-keygen is not installed\nhint: apt install openssh-client")
    with tempfile.TemporaryDirectory(prefix="xnode-sign-") as folder:
        path = Path(folder, "message")
        path.write_bytes(message)
        # What it asks for, a passphrase or a touch, it asks on the terminal.
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path)], check=False
        )
        if done.returncode:
            sys.exit(f"error: {key}: ssh-keygen did not sign")
        return Path(folder, "message.sig").read_text()


def write_sums(folder: Path) -> Path:
    """The file with the SHA-256 of every other file of the folder, as sha256sum writes it, by name."""
    target = folder / SUMS
    (folder / SIGNATURE).unlink(missing_ok=True)
    lines = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path != target:
            with path.open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    target.write_text("".join(lines))
    return target


if __name__ == "__main__":
    main()
