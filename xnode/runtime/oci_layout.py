"""Layout: folders in which an image lies as blobs by their hashes, without a registry."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metering.units import Hash32
from scheduler.job import Blob, Image
from xnode.errors import Permanent
from xnode.long_work import hash_file
from xnode.runtime.oci_manifest import (
    MAX_DOCUMENT_BYTES,
    Candidate,
    Manifest,
    check_platform,
    choose,
    digest_of,
    find_candidates,
    hash_of,
    parse_config,
    parse_document,
    parse_manifest,
)


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image of a layout or archive. platform: "linux/amd64"; others: the platforms that were not taken."""

    image: Image
    platform: str
    others: tuple[str, ...] = ()


def read_layout(path: Path) -> Image:
    """The image of an OCI layout folder, with its blobs. Raises Permanent when there is none, or several."""
    return find_image(path).image


def find_image(path: Path, platform: str = "", name: str = "") -> FoundImage:
    """The image of this platform and name in a layout folder; see oci_manifest.choose(). Nothing but its documents is read."""

    def read(digest: str) -> bytes | None:
        return _read_if_there(blob_path(path, digest))

    index = _read_if_there(path / "index.json")
    if index is None:
        raise Permanent(f"{path}/index.json is missing, so this is not an OCI layout folder")
    where = f"{path}/index.json"
    candidates = find_candidates(parse_document(index, where), read, where)
    chosen = choose(candidates, platform, name, str(path))
    return describe_image(chosen, candidates, read)


def describe_image(
    chosen: Candidate, candidates: tuple[Candidate, ...], read: Callable[[str], bytes | None]
) -> FoundImage:
    """The chosen image as jobs name it."""
    raw = read(chosen.digest)
    if raw is None:
        raise Permanent(f"manifest {chosen.digest} is missing in the image")
    manifest = parse_manifest(raw, chosen.digest)
    raw = read(digest_of(manifest.config))
    if raw is None:
        raise Permanent(f"config {digest_of(manifest.config)} is missing in the image")
    config = parse_config(raw, digest_of(manifest.config))
    image = Image(chosen.digest, manifest.size_bytes, "", manifest.blobs, config.architecture)
    others = tuple(dict.fromkeys(one.platform for one in candidates if one.digest != chosen.digest))
    return FoundImage(image, chosen.platform, tuple(one for one in others if not one.startswith("unknown/")))


def read_manifest(path: Path, digest: str) -> Manifest:
    """The manifest of this digest in a layout folder, its own bytes checked."""
    return parse_manifest(_read_blob(blob_path(path, digest), digest), digest)


def check_layout(path: Path, image: Image) -> Manifest:
    """The image's manifest: its blobs are all there and add up, and this host can run it. Raises Permanent naming what is
    wrong. The layers' bytes are left to the engine, which checks them as it unpacks them."""
    manifest = read_manifest(path, image.digest)
    if manifest.size_bytes != image.size_bytes:
        raise Permanent(f"image {image.digest} is {manifest.size_bytes} bytes, its job says {image.size_bytes}")
    for blob in manifest.blobs:
        _check_size(blob_path(path, digest_of(blob)), blob)
    config_digest = digest_of(manifest.config)
    config = parse_config(_read_blob(blob_path(path, config_digest), config_digest), config_digest)
    check_platform(image.digest, config.os, config.architecture)
    return manifest


def check_blobs(path: Path, manifest: Manifest) -> None:
    """Raises Permanent naming the first blob that is missing or has other bytes than its digest says. Blocks."""
    for blob in manifest.blobs:
        place = blob_path(path, digest_of(blob))
        _check_size(place, blob)
        with place.open("rb") as file:
            found = hash_file(file).digest()
        if found != blob.sha256:
            raise Permanent(f"blob {digest_of(blob)} has other bytes than its digest says")


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
    write_index(into, manifest)
    return into


def write_index(into: Path, manifest: Manifest) -> None:
    """The two files that make a folder of blobs a layout with one image."""
    entry = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.blob.size_bytes}
    (into / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (into / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}, sort_keys=True))


def link_or_copy(source: Path, target: Path) -> None:
    """Another name for the same bytes, or their copy when they lie on another file system."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def blob_path(layout: Path, digest: str) -> Path:
    """Where a layout folder keeps a blob."""
    return layout / "blobs/sha256" / hash_of(digest).hex()


def _check_size(path: Path, blob: Blob) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise Permanent(f"blob {digest_of(blob)} is missing in the image") from None
    if size != blob.size_bytes:
        raise Permanent(f"blob {digest_of(blob)} is {size} bytes, not {blob.size_bytes}")


def _read_blob(path: Path, digest: str) -> bytes:
    raw = _read_if_there(path)
    if raw is None:
        raise Permanent(f"blob {digest} is missing in the image")
    return raw


def _read_if_there(path: Path) -> bytes | None:
    """At most one byte more than any document may have: reading on would be for nothing."""
    try:
        # A layout is a person's folder: a pipe in the place of a file would wait forever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Permanent(f"{path} cannot be read: {error.strerror}", told="the image cannot be read") from error
