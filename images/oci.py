"""An OCI image layout with one layer, byte for byte the same from the same tar. Standard library only."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK_BYTES = 1 << 20


class Hashing:
    """A writable file that hashes and counts what goes through it."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Hash, count, and pass on."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data) if self._file else len(data)

    def flush(self) -> None:
        """There is no buffer here."""

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def write_layout(out: Path, layer: BinaryIO, config: dict[str, Any]) -> str:
    """Write the layout folder of an image with this layer (an uncompressed tar); gives its manifest's digest.

    config: what the image's "config" says (Env, Cmd, WorkingDir).
    """
    blobs = out / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    diff, packed = _pack(layer, blobs)
    image_config = {
        "architecture": ARCHITECTURES[platform.machine()],
        "config": config,
        "created": "1970-01-01T00:00:00Z",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _put(blobs, image_config) | {"mediaType": CONFIG_TYPE},
        "layers": [packed | {"mediaType": LAYER_TYPE}],
    }
    entry = _put(blobs, manifest) | {"mediaType": MANIFEST_TYPE}
    (out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (out / "index.json").write_bytes(_canonical({"schemaVersion": 2, "manifests": [entry]}))
    return str(entry["digest"])


def write_tar(file: BinaryIO, entries: Iterable[tuple[tarfile.TarInfo, BinaryIO | None]]) -> None:
    """A tar of these entries in this order, without the times and user names of the machine that wrote it."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            info.mtime, info.uname, info.gname, info.pax_headers = 0, "", "", {}
            tar.addfile(info, content)


def _pack(layer: BinaryIO, blobs: Path) -> tuple[str, dict[str, Any]]:
    """Compress the layer into the blobs; gives the digest of the tar and the descriptor of the blob."""
    plain, fresh = Hashing(), blobs / ".layer"
    with fresh.open("wb") as file:
        packed = Hashing(file)
        with gzip.GzipFile(fileobj=packed, filename="", mode="wb", compresslevel=6, mtime=0) as packer:
            while chunk := layer.read(CHUNK_BYTES):
                plain.write(chunk)
                packer.write(chunk)
    fresh.replace(blobs / packed.digest.removeprefix("sha256:"))
    return plain.digest, {"digest": packed.digest, "size": packed.size}


def _put(blobs: Path, value: object) -> dict[str, Any]:
    raw = _canonical(value)
    name = hashlib.sha256(raw).hexdigest()
    (blobs / name).write_bytes(raw)
    return {"digest": f"sha256:{name}", "size": len(raw)}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
