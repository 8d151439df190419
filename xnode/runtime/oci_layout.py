"""Images: OCI layout folders, read and checked blob by blob, without a registry."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metering.units import Hash32
from scheduler.job import Blob, Image
from xnode.errors import Permanent

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")

MAX_MANIFEST_BYTES = 4 << 20
"""What registries take as well."""

MAX_LAYERS = 127
"""What overlay storage takes."""

MAX_BLOB_BYTES = 1 << 40

MAX_UNPACKED_BYTES = 64 << 30
"""What all layers of an image may unpack to: the largest images with a whole CUDA tool kit take a third of it."""

LAYER_TYPES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""What we cannot unpack we cannot measure."""

OTHER_PACKERS = (b"BZh", b"\xfd7zXZ\0", b"(\xb5/\xfd")
"""How bzip2, xz and zstd begin: engines unpack these whatever the media type is."""

CHUNK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one image is made of. digest: its own; config: "sha256:...", which engines call the image id."""

    digest: str
    blob: Blob
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All of them, each once, the manifest first: it names what else to fetch."""
        return tuple(dict.fromkeys((self.blob, self.config, *self.layers)))

    @property
    def image_id(self) -> str:
        """The engine's name for it: the hash of its config."""
        return self.config.sha256.hex()


def read_layout(path: Path) -> Image:
    """The one image of an OCI layout folder. Raises Permanent when there is none, or several."""
    manifest = read_manifest(path, find_manifest(path))
    return Image(manifest.digest, sum(blob.size_bytes for blob in manifest.blobs))


def list_blobs(path: Path, image: Image | None = None) -> tuple[Blob, ...]:
    """Every blob of the layout's image (or of `image` in it), the manifest first."""
    return read_manifest(path, image.digest if image else find_manifest(path)).blobs


def find_manifest(path: Path) -> str:
    """The digest of the only manifest that a layout's index names."""
    index = _read_json(path / "index.json")
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        count = len(entries) if isinstance(entries, list) else 0
        raise Permanent(f"{path}/index.json names {count} images, not one")
    return _digest_of(entries[0], f"{path}/index.json")


def read_manifest(path: Path, digest: str) -> Manifest:
    """The manifest of this digest in a layout folder, its own bytes checked."""
    return parse_manifest(_read_blob(blob_path(path, digest), digest), digest)


def parse_manifest(raw: bytes, digest: str) -> Manifest:
    """The manifest in these bytes. Raises Permanent when they are not the digest's, or too much."""
    if "sha256:" + hashlib.sha256(raw).hexdigest() != digest:
        raise Permanent(f"manifest {digest} has other bytes than its digest says")
    value = _load(raw, f"manifest {digest}")
    if value.get("mediaType", MANIFEST_TYPE) not in MANIFEST_TYPES:
        raise Permanent(
            f"manifest {digest} is a {value.get('mediaType')}, not an image", hint="name the image for one platform"
        )
    layers = value.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        raise Permanent(f"manifest {digest} must have 1 to {MAX_LAYERS} layers")
    where = f"manifest {digest}"
    for layer in layers:
        if not isinstance(layer, dict) or layer.get("mediaType") not in LAYER_TYPES:
            raise Permanent(f"{where} has a layer that is neither tar nor tar+gzip")
    own = Blob(hash_of(digest), len(raw))
    return Manifest(
        digest, own, _blob_of(value.get("config"), where), tuple(_blob_of(layer, where) for layer in layers)
    )


def check_layout(path: Path, image: Image) -> Manifest:
    """The image's manifest, every one of its blobs read and hashed. Blocks. Raises Permanent naming the blob at
    fault."""
    manifest = read_manifest(path, image.digest)
    total = sum(blob.size_bytes for blob in manifest.blobs)
    if total != image.size_bytes:
        raise Permanent(f"image {image.digest} is {total} bytes, its job says {image.size_bytes}")
    for blob in manifest.blobs:
        check_blob(blob_path(path, digest_of(blob)), blob)
    check_unpacked(path, manifest)
    return manifest


def check_unpacked(path: Path, manifest: Manifest, limit_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Raises Permanent when the layers unpack to more than the limit: a few MB of gzip can hold as many GB."""
    left = limit_bytes
    for layer in manifest.layers:
        left -= _unpacked_bytes(blob_path(path, digest_of(layer)), left)
        if left < 0:
            raise Permanent(f"image {manifest.digest} unpacks to more than {limit_bytes} bytes")


def _unpacked_bytes(layer: Path, enough: int) -> int:
    """How many bytes a layer unpacks to; stops counting soon after `enough`."""
    with layer.open("rb") as file:
        start = file.read(8)
        if start.startswith(OTHER_PACKERS):
            raise Permanent(f"blob sha256:{layer.name} is packed, but not by gzip")
        if not start.startswith(GZIP_MAGIC):
            return layer.stat().st_size
        file.seek(0)
        total, unpacker = 0, zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        data = file.read(CHUNK_BYTES)
        while data and total <= enough:
            total += len(_unpack(unpacker, data, layer))
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if unpacker.eof:  # several gzip members in a row are one stream
                unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            data = data or file.read(CHUNK_BYTES)
    return total


def _unpack(unpacker: Any, data: bytes, layer: Path) -> bytes:
    try:
        return bytes(unpacker.decompress(data, CHUNK_BYTES))
    except zlib.error:
        raise Permanent(f"blob sha256:{layer.name} is not gzip all through") from None


def check_blob(path: Path, blob: Blob) -> None:
    """Raises Permanent when a file is missing or is not the blob."""
    name = digest_of(blob)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != blob.size_bytes:
                raise Permanent(f"blob {name} is {size} bytes, not {blob.size_bytes}")
            found = hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        raise Permanent(f"blob {name} is missing in the image") from None
    if found != blob.sha256:
        raise Permanent(f"blob {name} has other bytes than its digest says")


def make_layout(image: Image, blob_path_of: Callable[[Hash32], Path], into: Path) -> Path:
    """A layout folder at `into` of blobs that lie by hash elsewhere (linked, or copied from another disk). Blocks.

    Raises Permanent naming the first missing blob. The bytes are checked when the layout is imported.
    """
    raw = _read_blob(blob_path_of(hash_of(image.digest)), image.digest)
    manifest = parse_manifest(raw, image.digest)
    (into / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    for blob in manifest.blobs:
        source, target = blob_path_of(blob.sha256), blob_path(into, digest_of(blob))
        if not source.exists():
            raise Permanent(f"blob {digest_of(blob)} of image {image.digest} is missing")
        link_or_copy(source, target)
    write_index(into, image.digest, len(raw))
    return into


def write_index(into: Path, digest: str, size: int) -> None:
    """The two files that make a folder of blobs a layout with one image."""
    entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": size}
    (into / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (into / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}, sort_keys=True))


def link_or_copy(source: Path, target: Path) -> None:
    """Another name for the same bytes, or their copy when they lie on another file system."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def digest_of(blob: Blob) -> str:
    """ "sha256:<hex>" of a blob."""
    return "sha256:" + blob.sha256.hex()


def hash_of(digest: str) -> Hash32:
    """The bytes of a digest; Permanent when it is not one we know."""
    if not DIGEST.match(digest):
        raise Permanent(f"{digest[:80]!r} is not a sha256 digest")
    return Hash32(bytes.fromhex(digest.removeprefix("sha256:")))


def blob_path(layout: Path, digest: str) -> Path:
    """Where a layout folder keeps a blob."""
    return layout / "blobs/sha256" / hash_of(digest).hex()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _load(file.read(MAX_MANIFEST_BYTES + 1), str(path))
    except FileNotFoundError:
        raise Permanent(f"{path} is missing, so this is not an OCI layout folder") from None


def _read_blob(path: Path, digest: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise Permanent(f"blob {digest} is missing in the image") from None


def _load(raw: bytes, where: str) -> dict[str, Any]:
    if len(raw) > MAX_MANIFEST_BYTES:
        raise Permanent(f"{where} is longer than {MAX_MANIFEST_BYTES} bytes")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise Permanent(f"{where} is not JSON") from None
    if not isinstance(value, dict):
        raise Permanent(f"{where} is not a JSON object")
    return value


def _blob_of(entry: object, where: str) -> Blob:
    size = entry.get("size") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(size, int) or not 0 <= size <= MAX_BLOB_BYTES:
        raise Permanent(f"{where} names a blob without a size")
    return Blob(hash_of(_digest_of(entry, where)), size)


def _digest_of(entry: dict[str, Any], where: str) -> str:
    digest = entry.get("digest")
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise Permanent(f"{where} names a blob without a sha256 digest")
    return digest
