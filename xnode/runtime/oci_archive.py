"""Archive: an image in one tar file, as `podman save`, `docker save`, buildx, skopeo and kaniko write them, read in one go
into blobs: an OCI layout in a tar, or docker's own form with a manifest.json."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

from metering.units import Hash32
from scheduler.job import Blob
from xnode.errors import Permanent
from xnode.runtime.oci_layout import FoundImage, describe_image
from xnode.runtime.oci_manifest import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    MAX_DOCUMENT_BYTES,
    MAX_LAYERS,
    Candidate,
    choose,
    digest_of,
    find_candidates,
    hash_of,
    parse_config,
    parse_document,
)
from xnode.runtime.tar_stream import TarStream

MAX_LINKS = 8
"""Links that lead to links."""

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"(\xb5/\xfd"

Progress = Callable[[int], None]
"""Told how many more bytes were read; may raise to stop."""


class Keep(Protocol):
    """Where the contents go: a blob store."""

    def path(self, sha256: Hash32) -> Path: ...

    def take_pieces(self, pieces: Iterable[bytes]) -> Blob:
        """Write a blob; durable when this returns."""
        ...


@dataclass(slots=True)
class _Contents:
    """What an archive holds, by the names in it. magics: how each begins."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    magics: dict[str, bytes] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """The file's own name, links followed."""
        name = posixpath.normpath(name)
        for _ in range(MAX_LINKS):
            if name in self.blobs:
                return name
            if name not in self.links:
                return None
            name = self.links[name]
        return None


def read_archive(
    file: IO[bytes], keep: Keep, where: str, progress: Progress, platform: str = "", name: str = ""
) -> tuple[FoundImage, tuple[Blob, ...]]:
    """(the archive's image of this platform and name, every blob that was kept, needed or not). Blocks.

    file: buffered, read once from here to its end; it may be a pipe. Raises Permanent with what is wrong; what was kept by
    then stays in the store.
    """
    contents = _read_contents(TarStream(file, where), keep, where, progress)
    kept = {blob.sha256: blob for blob in contents.blobs.values()}

    def read(digest: str) -> bytes | None:
        sha256 = hash_of(digest)
        return _read_document(keep, sha256) if sha256 in kept else None

    if (index := contents.find("index.json")) is not None:
        raw = _read_document(keep, contents.blobs[index].sha256)
        candidates = find_candidates(parse_document(raw, f"index.json of {where}"), read, where)
    elif (index := contents.find("manifest.json")) is not None:
        raw = _read_document(keep, contents.blobs[index].sha256)
        made = [_make_manifest(one, contents, keep, where) for one in _parse_saved(raw, where)]
        kept |= {blob.sha256: blob for blob, _ in made}
        candidates = tuple(dict.fromkeys(candidate for _, candidate in made))
    else:
        raise Permanent(
            f"{where} is no image: it has neither index.json nor manifest.json",
            hint="a root file system becomes one by `podman import FILE NAME`, then `xnode image import podman:NAME`",
        )
    chosen = choose(candidates, platform, name, where)
    found = describe_image(chosen, candidates, read)
    for blob in found.image.blobs:
        if kept.get(blob.sha256) != blob:
            raise Permanent(f"blob {digest_of(blob)} is missing in {where}")
    return found, tuple(kept.values())


def _read_contents(tar: TarStream, keep: Keep, where: str, progress: Progress) -> _Contents:
    contents = _Contents()
    for entry in tar.entries():
        name = posixpath.normpath(entry.name)
        if entry.kind == "link":
            # Hard links name from the archive's root, symbolic ones from where they lie; both stay names here.
            near = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.target))
            contents.links[name] = near if near in contents.blobs else posixpath.normpath(entry.target)
        if entry.kind != "file":
            continue
        pieces = _watched(tar.content(), progress)
        first = next(pieces, b"")
        blob = keep.take_pieces(chain((first,), pieces))
        if name.startswith("blobs/sha256/") and name.removeprefix("blobs/sha256/") != blob.sha256.hex():
            raise Permanent(f"{name[:90]} in {where} has other bytes than its name says")
        contents.blobs[name], contents.magics[name] = blob, first[:4]
    return contents


def _watched(pieces: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for piece in pieces:
        progress(len(piece))
        yield piece


def _parse_saved(raw: bytes, where: str) -> list[dict[str, Any]]:
    """The entries of docker's manifest.json."""
    entries = parse_document(b'{"images":' + raw + b"}", f"manifest.json of {where}")["images"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Permanent(f"manifest.json of {where} is not a list of images")
    return entries


def _make_manifest(entry: dict[str, Any], contents: _Contents, keep: Keep, where: str) -> tuple[Blob, Candidate]:
    """An OCI manifest for what docker describes in its own way: the same archive always gives the same one."""
    config_name, layer_names, tags = entry.get("Config"), entry.get("Layers"), entry.get("RepoTags")
    found = contents.find(config_name) if isinstance(config_name, str) else None
    if found is None or not isinstance(layer_names, list) or len(layer_names) > MAX_LAYERS:
        raise Permanent(f"manifest.json of {where} names no config, or no layers")
    config_blob = contents.blobs[found]
    config = parse_config(_read_document(keep, config_blob.sha256), digest_of(config_blob))
    if len(config.diff_ids) != len(layer_names):
        raise Permanent(f"{where} has {len(layer_names)} layers, and its config names {len(config.diff_ids)}")
    layers = []
    for layer, diff_id in zip(layer_names, config.diff_ids, strict=True):
        name = contents.find(layer) if isinstance(layer, str) else None
        if name is None:
            raise Permanent(f"layer {str(layer)[:80]!a} is missing in {where}")
        blob, magic = contents.blobs[name], contents.magics[name]
        suffix = "+gzip" if magic.startswith(GZIP_MAGIC) else "+zstd" if magic == ZSTD_MAGIC else ""
        if not suffix and digest_of(blob) != diff_id:
            raise Permanent(f"layer {name[:80]} of {where} has other bytes than its config says")
        layers.append(_describe(blob, LAYER_TYPE + suffix))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": _describe(config_blob, CONFIG_TYPE)}
    raw = json.dumps(manifest | {"layers": layers}, sort_keys=True, separators=(",", ":")).encode()
    own = keep.take_pieces((raw,))
    tag = tags[0] if isinstance(tags, list) and tags and isinstance(tags[0], str) else ""
    return own, Candidate(digest_of(own), config.platform, tag)


def _describe(blob: Blob, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": blob.size_bytes}


def _read_document(keep: Keep, sha256: Hash32) -> bytes:
    with keep.path(sha256).open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)
