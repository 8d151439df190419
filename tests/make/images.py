"""Images: small ones in every form that tools write: layouts with indexes in indexes, archives of docker, podman and kaniko."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xnode.runtime.oci_manifest import CONFIG_TYPE, INDEX_TYPES, LAYER_TYPE, MANIFEST_TYPE, MANIFEST_TYPES

DOCKER_MANIFEST = MANIFEST_TYPES[1]
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(raw: bytes) -> str:
    """ "sha256:<hex>"."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def make_layer(text: str = "hello") -> bytes:
    """A layer of one small file, as a tar."""
    return write_tar([("etc/greeting", text.encode())])


def write_tar(files: Iterable[tuple[str, bytes | str]]) -> bytes:
    """A tar of these files; text is the target of a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_config(layers: Iterable[bytes], architecture: str = "amd64", os: str = "linux") -> bytes:
    """An image's config, for these (unpacked) layers."""
    diffs = [digest(layer) for layer in layers]
    config = {"architecture": architecture, "os": os, "config": {"Cmd": ["none"]}}
    return json.dumps(config | {"rootfs": {"type": "layers", "diff_ids": diffs}}, sort_keys=True).encode()


@dataclass
class LayoutMaker:
    """Blobs of a layout, by digest; index() closes it."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, raw: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """A blob's descriptor."""
        self.blobs[digest(raw)] = raw
        return {"mediaType": media_type, "digest": digest(raw), "size": len(raw), **more}

    def image(
        self,
        architecture: str = "amd64",
        text: str = "hello",
        layer_type: str = LAYER_TYPE + "+gzip",
        media_type: str = MANIFEST_TYPE,
        **more: Any,
    ) -> dict[str, Any]:
        """An image's descriptor."""
        plain = make_layer(text)
        packed = gzip.compress(plain, mtime=0) if layer_type.endswith("gzip") else plain
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.put(make_config([plain], architecture), CONFIG_TYPE),
            "layers": [self.put(packed, layer_type)],
        }
        return self.put(json.dumps(manifest, sort_keys=True).encode(), media_type, **more)

    def index(self, entries: Iterable[dict[str, Any]], media_type: str = INDEX_TYPES[0], **more: Any) -> dict[str, Any]:
        """The descriptor of an index of these."""
        value = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
        return self.put(json.dumps(value, sort_keys=True).encode(), media_type, **more)

    def attestation(self, of: dict[str, Any]) -> dict[str, Any]:
        """What buildx adds about an image."""
        statement = self.put(b'{"predicateType":"https://slsa.dev/provenance/v0.2"}', "application/vnd.in-toto+json")
        config = self.put(make_config([], "unknown", "unknown"), CONFIG_TYPE)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [statement]}
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"]}
        unknown = {"architecture": "unknown", "os": "unknown"}
        return self.put(json.dumps(manifest).encode(), MANIFEST_TYPE, annotations=notes, platform=unknown)

    def files(self, entries: Iterable[dict[str, Any]]) -> list[tuple[str, bytes]]:
        """All files of the layout whose index.json names these entries."""
        index = json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()
        blobs = [(f"blobs/sha256/{name.removeprefix('sha256:')}", raw) for name, raw in self.blobs.items()]
        return [*blobs, ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]

    def write(self, folder: Path, entries: Iterable[dict[str, Any]]) -> Path:
        """The layout folder whose index.json names these entries."""
        for name, raw in self.files(entries):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        return folder


def platform(architecture: str) -> dict[str, str]:
    """A descriptor's platform."""
    return {"architecture": architecture, "os": "linux"}


def make_buildx_layout(folder: Path) -> Path:
    """What `docker buildx build --platform linux/arm64,linux/amd64 -o type=oci` writes: an index of an index, with a
    statement for each image."""
    maker = LayoutMaker()
    arm = maker.image("arm64", platform=platform("arm64") | {"variant": "v8"})
    amd = maker.image("amd64", platform=platform("amd64"))
    notes = {"org.opencontainers.image.ref.name": "latest"}
    inner = maker.index([arm, amd, maker.attestation(arm), maker.attestation(amd)], annotations=notes)
    return maker.write(folder, [inner])


def make_oci_archive(text: str = "hello", architecture: str = "amd64") -> bytes:
    """What `podman save --format oci-archive` and `skopeo copy ... oci-archive:` write."""
    maker = LayoutMaker()
    return write_tar(maker.files([maker.image(architecture, text)]))


def make_old_docker_archive(layers: int = 2) -> bytes:
    """What `docker save` wrote before version 25: layers in folders of their own, one of them a link to another."""
    plain = [make_layer(f"layer {number}") for number in range(layers)]
    plain.append(plain[0])
    config = make_config(plain)
    names = [f"{number:064x}/layer.tar" for number in range(len(plain))]
    files: list[tuple[str, bytes | str]] = [*zip(names[:-1], plain, strict=False)]
    files.append((names[-1], f"../{names[0]}"))
    saved = [{"Config": f"{digest(config)[7:]}.json", "RepoTags": ["greeter:latest"], "Layers": names}]
    return write_tar([*files, (f"{digest(config)[7:]}.json", config), ("manifest.json", json.dumps(saved).encode())])


def make_new_docker_archive() -> bytes:
    """What `docker save` writes since version 25: a layout, with a manifest.json for those who read the old form."""
    maker = LayoutMaker()
    plain, entry = make_layer(), maker.image(layer_type=LAYER_TYPE)
    config, layer = digest(make_config([plain]))[7:], digest(plain)[7:]
    saved = [{"Config": f"blobs/sha256/{config}", "RepoTags": ["a:1"], "Layers": [f"blobs/sha256/{layer}"]}]
    return write_tar([*maker.files([entry]), ("manifest.json", json.dumps(saved).encode())])


def make_kaniko_archive() -> bytes:
    """What `kaniko --tar-path` writes: docker's old form with packed layers."""
    plain = make_layer()
    packed, config = gzip.compress(plain, mtime=0), make_config([plain])
    name = f"{digest(packed)[7:]}.tar.gz"
    saved = [{"Config": digest(config), "RepoTags": ["registry.test/a:1"], "Layers": [name]}]
    return write_tar([(digest(config), config), (name, packed), ("manifest.json", json.dumps(saved).encode())])
