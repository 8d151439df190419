"""Manifest: what an image's JSON documents say: manifests, indexes of manifests, configs. Bytes in, values out."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from metering.units import Hash32
from scheduler.architecture import can_run
from scheduler.job import Blob
from xnode.errors import Permanent

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

LAYER_TYPES = (
    LAYER_TYPE,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""What podman 4 unpacks of a layout."""

MAX_BRACKETS = 10_000
"""Lists and objects of one document: many times what an index of every platform has.

Such a document cannot be nested deeply enough to matter."""

MAX_DOCUMENT_BYTES = 4 << 20
"""What registries take as well."""

MAX_LAYERS = 127
"""What overlay storage takes."""

MAX_BLOB_BYTES = 1 << 40

MAX_INDEX_DEPTH = 4
"""Indexes in indexes: tools write one or two."""

MAX_MANIFESTS = 256
"""In all indexes of one layout together."""

DEFAULT_PLATFORM = "linux/amd64"
"""What is taken of an image for several platforms, when it is among them and the job names none."""

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")

REF_NAME = "org.opencontainers.image.ref.name"
ATTESTATION = "vnd.docker.reference.type"

Read = Callable[[str], bytes | None]
"""digest -> the document's bytes, None when it is not there."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one image is made of. digest: its own; media_type: of the manifest itself."""

    digest: str
    blob: Blob
    config: Blob
    layers: tuple[Blob, ...]
    media_type: str = MANIFEST_TYPE

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All of them, each once, the manifest first: it names what else to fetch."""
        return tuple(dict.fromkeys((self.blob, self.config, *self.layers)))

    @property
    def size_bytes(self) -> int:
        """Of all blobs together."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def image_id(self) -> str:
        """The engine's name for it: the hash of its config."""
        return self.config.sha256.hex()


@dataclass(frozen=True, slots=True)
class Config:
    """Of an image's config what concerns whether it can run: os and architecture ("" when not said), and the hashes of
    its unpacked layers."""

    os: str
    architecture: str
    diff_ids: tuple[str, ...]

    @property
    def platform(self) -> str:
        """Like "linux/amd64"."""
        return f"{self.os or 'linux'}/{self.architecture or 'unknown'}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that an index names."""

    digest: str
    platform: str
    name: str = ""


def parse_manifest(raw: bytes, digest: str) -> Manifest:
    """The manifest in these bytes. Raises Permanent when they are not the digest's, or too much."""
    check_digest(raw, digest, "manifest")
    where = f"manifest {digest}"
    value = parse_document(raw, where)
    kind = value.get("mediaType", MANIFEST_TYPE)
    if kind not in MANIFEST_TYPES:
        raise Permanent(f"{where} is a {str(kind)[:80]!a}, not an image", hint="name the image for one platform")
    layers = value.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        raise Permanent(f"{where} must have 1 to {MAX_LAYERS} layers")
    for layer in layers:
        if not isinstance(layer, dict) or layer.get("mediaType") not in LAYER_TYPES:
            named = str(layer.get("mediaType"))[:80] if isinstance(layer, dict) else "nothing"
            raise Permanent(f"{where} has a layer that is neither tar, tar+gzip nor tar+zstd, but {named!a}")
    own = Blob(hash_of(digest), len(raw))
    config = _blob_of(value.get("config"), where)
    return Manifest(digest, own, config, tuple(_blob_of(layer, where) for layer in layers), str(kind))


def parse_config(raw: bytes, digest: str) -> Config:
    """The config in these bytes. Raises Permanent when they are not the digest's, or no config."""
    check_digest(raw, digest, "config")
    value = parse_document(raw, f"config {digest}")
    rootfs = value.get("rootfs")
    diffs = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diffs, list) or not all(isinstance(one, str) and DIGEST.match(one) for one in diffs):
        raise Permanent(f"config {digest} does not name the image's layers")
    return Config(_word_of(value, "os"), _word_of(value, "architecture"), tuple(diffs))


def check_platform(digest: str, os: str, architecture: str) -> None:
    """Raises Permanent when this host cannot run the image."""
    if os not in ("", "linux") or not can_run(platform.machine(), architecture):
        raise Permanent(
            f"image {digest} is for {os or 'linux'}/{architecture}, this host is linux/{platform.machine()}"
        )


def pick_for_host(raw: bytes, digest: str) -> str:
    """The digest of the image for this host in an index; the same digest when the bytes are an image's own manifest."""
    check_digest(raw, digest, "manifest")
    where = f"manifest {digest}"
    value = parse_document(raw, where)
    if "manifests" not in value and value.get("mediaType") not in INDEX_TYPES:
        return digest
    entries = value.get("manifests")
    if not isinstance(entries, list) or len(entries) > MAX_MANIFESTS:
        raise Permanent(f"{where} is not an index of at most {MAX_MANIFESTS} images")
    for entry in entries:
        given = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(given, dict) or _word_of(given, "os") != "linux":
            continue
        architecture = _word_of(given, "architecture")
        if architecture and can_run(platform.machine(), architecture):
            return _digest_of(entry, where)
    raise Permanent(f"{where} is for several platforms, and none of them is linux/{platform.machine()}")


@contextmanager
def telling() -> Iterator[None]:
    """What is wrong with an image's documents may be told: it names their digests only."""
    try:
        yield
    except Permanent as error:
        told = error.told or str(error)
        raise Permanent(error.message, code=error.reason_code, hint=error.hint, told=told) from error


def find_candidates(index: dict[str, Any], read: Read, where: str) -> tuple[Candidate, ...]:
    """Every image that an index names, in its order: those only that are there, and no attestations."""
    seen: dict[Candidate, None] = {}
    for count, found in enumerate(_walk(index, read, where, "", 0)):
        if count >= MAX_MANIFESTS:
            raise Permanent(f"{where} names more than {MAX_MANIFESTS} images")
        seen[found] = None
    return tuple(seen)


def choose(candidates: tuple[Candidate, ...], wanted: str, name: str, where: str) -> Candidate:
    """The one to take: of this name where one is given, for the wanted platform ("": linux/amd64 where it is among
    several, else the first for Linux). Raises Permanent, with what there is."""
    named = tuple(one for one in candidates if not name or one.name == name)
    if not named:
        names = ", ".join(sorted({one.name for one in candidates if one.name})[:8])
        what = f"holds no image named {name!a}, but {names or 'none with a name'}" if name else "names no image"
        raise Permanent(f"{where} {what}")
    fitting = [one for one in named if one.platform.startswith("linux/")]
    first = wanted or next((one.platform for one in fitting if one.platform == DEFAULT_PLATFORM), "")
    first = first or (fitting[0].platform if fitting else "")
    chosen = list({one.digest: one for one in fitting if _is_platform(one.platform, first)}.values())
    if not chosen:
        have = ", ".join(dict.fromkeys(one.platform for one in named))
        raise Permanent(f"{where} is for {have}, not for {wanted or 'linux'}")
    if len(chosen) > 1:
        names = ", ".join(sorted(one.name or one.digest[:19] for one in chosen)[:8])
        raise Permanent(
            f"{where} holds {len(chosen)} images for {first}: {names}",
            hint="name one of them behind a colon, path:NAME",
        )
    return chosen[0]


def check_digest(raw: bytes, digest: str, what: str) -> None:
    """Raises Permanent when the bytes are not the digest's."""
    if "sha256:" + hashlib.sha256(raw).hexdigest() != digest:
        raise Permanent(f"{what} {digest} has other bytes than its digest says")


def parse_document(raw: bytes, where: str) -> dict[str, Any]:
    """A JSON object, of bounded size. Raises Permanent."""
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise Permanent(f"{where} is longer than {MAX_DOCUMENT_BYTES} bytes")
    if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
        # Whatever the interpreter's recursion limit has been set to, the parser's stack is the process's own.
        raise Permanent(f"{where} is not JSON that an image needs: it has more than {MAX_BRACKETS} lists and objects")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise Permanent(f"{where} is not JSON") from None
    if not isinstance(value, dict):
        raise Permanent(f"{where} is not a JSON object")
    return value


def digest_of(blob: Blob) -> str:
    """ "sha256:<hex>" of a blob."""
    return "sha256:" + blob.sha256.hex()


def hash_of(digest: str) -> Hash32:
    """The bytes of a digest; Permanent when it is not one we know."""
    if not DIGEST.match(digest):
        raise Permanent(f"{digest[:80]!r} is not a sha256 digest")
    return Hash32(bytes.fromhex(digest.removeprefix("sha256:")))


def _walk(index: dict[str, Any], read: Read, where: str, name: str, depth: int) -> Iterator[Candidate]:
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) > MAX_MANIFESTS:
        raise Permanent(f"{where} is not an index of at most {MAX_MANIFESTS} images")
    if depth > MAX_INDEX_DEPTH:
        raise Permanent(f"{where} has indexes nested deeper than {MAX_INDEX_DEPTH}")
    for entry in entries:
        if not isinstance(entry, dict):
            raise Permanent(f"{where} has an entry that is not an object")
        notes = entry.get("annotations")
        notes = notes if isinstance(notes, dict) else {}
        digest = _digest_of(entry, where)
        raw = None if ATTESTATION in notes else read(digest)
        if raw is None:
            continue  # a statement about an image, or a platform that was not saved with the others
        called = str(notes.get(REF_NAME, "")) or name
        document = parse_document(raw, f"manifest {digest}")
        if "manifests" in document or entry.get("mediaType") in INDEX_TYPES:
            check_digest(raw, digest, "index")
            yield from _walk(document, read, f"index {digest}", called, depth + 1)
        else:
            yield Candidate(digest, _platform_of(entry, document, read), called)


def _platform_of(entry: dict[str, Any], manifest: dict[str, Any], read: Read) -> str:
    """As the index says, else as the image's config says."""
    given = entry.get("platform")
    if isinstance(given, dict) and _word_of(given, "architecture") not in ("", "unknown"):
        parts = (_word_of(given, "os"), _word_of(given, "architecture"), _word_of(given, "variant"))
        return "/".join(part for part in parts if part)
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    raw = read(digest) if isinstance(digest, str) and DIGEST.match(digest) else None
    try:
        return parse_config(raw, str(digest)).platform if raw is not None else "linux/unknown"
    except Permanent:
        return "unknown/unknown"  # a signature, a chart: what else lies in layouts and is no image


def _is_platform(there: str, wanted: str) -> bool:
    """ "linux/arm64" is also "linux/arm64/v8"."""
    return there == wanted or there.startswith(wanted + "/")


def _word_of(value: dict[str, Any], key: str) -> str:
    word = value.get(key, "")
    return word if isinstance(word, str) and len(word) <= 32 and word.isprintable() else ""


def _blob_of(entry: Any, where: str) -> Blob:
    if not isinstance(entry, dict):
        raise Permanent(f"{where} names a blob that is not an object")
    digest, size = _digest_of(entry, where), entry.get("size")
    if type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise Permanent(f"{where} names a blob without a size of 0 to {MAX_BLOB_BYTES} bytes")
    return Blob(hash_of(digest), size)


def _digest_of(entry: dict[str, Any], where: str) -> str:
    digest = entry.get("digest")
    if not isinstance(digest, str) or not DIGEST.match(digest):
        raise Permanent(f"{where} names a blob without a sha256 digest")
    return digest
