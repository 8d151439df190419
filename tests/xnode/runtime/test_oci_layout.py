"""No image gets in whose bytes are not exactly those its digest names."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metering.units import Hash32
from scheduler.job import Blob, Image
from tests.xnode.runtime.conftest import Bench
from xnode.errors import Permanent
from xnode.runtime import oci_layout
from xnode.runtime.podman.engine import PodmanEngine


@pytest.fixture
def copy(layout: Path, tmp_path: Path) -> Path:
    """A layout of our own to spoil."""
    return Path(shutil.copytree(layout, tmp_path / "layout"))


def test_layout_names_every_blob_and_the_size_of_all(layout: Path) -> None:
    image, blobs = oci_layout.read_layout(layout), oci_layout.list_blobs(layout)
    files = {path.name: path.stat().st_size for path in (layout / "blobs/sha256").iterdir()}
    assert {blob.sha256.hex(): blob.size_bytes for blob in blobs} == files
    assert image.size_bytes == sum(files.values())
    assert oci_layout.digest_of(blobs[0]) == image.digest
    assert oci_layout.check_layout(layout, image).blobs == blobs


@pytest.mark.parametrize("position", [0, 1, 2])
def test_changed_blob_is_named(copy: Path, position: int) -> None:
    image, blob = oci_layout.read_layout(copy), oci_layout.list_blobs(copy)[position]
    path = oci_layout.blob_path(copy, oci_layout.digest_of(blob))
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(Permanent, match=oci_layout.digest_of(blob)):
        oci_layout.check_layout(copy, image)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_missing_blob_is_named(copy: Path, tmp_path: Path, position: int) -> None:
    image, blob = oci_layout.read_layout(copy), oci_layout.list_blobs(copy)[position]
    oci_layout.blob_path(copy, oci_layout.digest_of(blob)).unlink()
    with pytest.raises(Permanent, match=oci_layout.digest_of(blob)):
        oci_layout.check_layout(copy, image)
    with pytest.raises(Permanent, match=oci_layout.digest_of(blob)):
        oci_layout.make_layout(image, lambda sha256: copy / "blobs/sha256" / sha256.hex(), tmp_path / "made")


def test_layout_made_of_blobs_is_the_same_image(layout: Path, tmp_path: Path) -> None:
    image = oci_layout.read_layout(layout)

    def path_of(sha256: Hash32) -> Path:
        return layout / "blobs/sha256" / sha256.hex()

    made = oci_layout.make_layout(image, path_of, tmp_path / "made")
    assert oci_layout.read_layout(made) == image
    assert oci_layout.check_layout(made, image) == oci_layout.check_layout(layout, image)


def test_wrong_size_in_the_job_is_refused(layout: Path) -> None:
    image = oci_layout.read_layout(layout)
    with pytest.raises(Permanent, match="its job says"):
        oci_layout.check_layout(layout, Image(image.digest, image.size_bytes + 1))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", [], "1 to 127 layers"),
        ("layers", [{"digest": "sha256:" + "0" * 64, "size": 1}] * 128, "1 to 127 layers"),
        ("layers", [{"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": "x/zstd"}], "neither tar"),
        ("config", {"digest": "sha256:../../etc", "size": 1}, "without a sha256 digest"),
        ("config", {"digest": "sha256:" + "0" * 64, "size": -1}, "without a size"),
        ("mediaType", "application/vnd.oci.image.index.v1+json", "not an image"),
    ],
)
def test_odd_manifest_is_refused(layout: Path, field: str, value: object, message: str) -> None:
    manifest = json.loads(oci_layout.blob_path(layout, oci_layout.read_layout(layout).digest).read_bytes())
    raw = json.dumps(manifest | {field: value}).encode()
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    with pytest.raises(Permanent, match=message):
        oci_layout.parse_manifest(raw, digest)


def test_layer_that_unpacks_to_too_much_is_refused(layout: Path, tmp_path: Path) -> None:
    packed = gzip.compress(bytes(4 << 20)) * 4
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    digest = hashlib.sha256(packed).digest()
    (tmp_path / "blobs/sha256" / digest.hex()).write_bytes(packed)
    whole = oci_layout.read_manifest(layout, oci_layout.read_layout(layout).digest)
    layer = Blob(Hash32(digest), len(packed))
    manifest = oci_layout.Manifest(whole.digest, whole.blob, whole.config, (layer,))
    oci_layout.check_unpacked(tmp_path, manifest, limit_bytes=16 << 20)
    with pytest.raises(Permanent, match="unpacks to more"):
        oci_layout.check_unpacked(tmp_path, manifest, limit_bytes=(16 << 20) - 1)


@pytest.mark.parametrize("packer", [bz2.compress, lzma.compress])
def test_layer_of_another_packer_is_refused(layout: Path, tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    packed = packer(bytes(1000))
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    digest = hashlib.sha256(packed).digest()
    (tmp_path / "blobs/sha256" / digest.hex()).write_bytes(packed)
    whole = oci_layout.read_manifest(layout, oci_layout.read_layout(layout).digest)
    manifest = oci_layout.Manifest(whole.digest, whole.blob, whole.config, (Blob(Hash32(digest), len(packed)),))
    with pytest.raises(Permanent, match="not by gzip"):
        oci_layout.check_unpacked(tmp_path, manifest)


@pytest.mark.engine
async def test_image_with_a_wrong_blob_is_not_imported(bench: Bench, copy: Path) -> None:
    layer = oci_layout.list_blobs(copy)[2]
    path = oci_layout.blob_path(copy, oci_layout.digest_of(layer))
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    manifest = json.loads(oci_layout.blob_path(copy, bench.image.digest).read_bytes()) | {"annotations": {"a": "b"}}
    fresh = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(fresh).hexdigest()
    oci_layout.blob_path(copy, digest).write_bytes(fresh)
    image = Image(digest, len(fresh) + sum(blob.size_bytes for blob in oci_layout.list_blobs(copy)[1:]))
    with pytest.raises(Permanent, match=oci_layout.digest_of(layer)):
        await bench.engine.import_image(image, copy)
    assert not await bench.engine.has_image(image)
    path.write_bytes(bytes(raw[:-1]) + bytes([raw[-1] ^ 1]))
    await bench.engine.import_image(image, copy)
    assert await bench.engine.has_image(image)


class Registry(BaseHTTPRequestHandler):
    """The reading half of a registry, over a layout folder."""

    layout: Path

    def do_GET(self) -> None:
        kind, _, digest = self.path.rpartition("/")
        path = self.layout / "blobs/sha256" / digest.removeprefix("sha256:")
        found = self.path == "/v2/" or path.is_file()
        raw = path.read_bytes() if path.is_file() else b"{}"
        self.send_response(200 if found else 404)
        is_manifest = kind.endswith("/manifests")
        self.send_header("Content-Type", oci_layout.MANIFEST_TYPE if is_manifest else "application/octet-stream")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw if self.command == "GET" else b"")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(layout: Path) -> Iterator[str]:
    """host:port of a registry that has the busybox image under any name."""
    handler = type("BusyboxRegistry", (Registry,), {"layout": layout})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.engine
async def test_image_is_pulled_from_a_registry_by_its_digest(state_dir: Path, layout: Path, registry: str) -> None:
    image = oci_layout.read_layout(layout)
    engine = PodmanEngine(state_dir, "puller")
    named = Image(image.digest, image.size_bytes, f"{registry}/some/name:tag")
    assert not await engine.has_image(named)
    await engine.pull_image(named)
    assert await PodmanEngine(state_dir, "puller").has_image(image)


@pytest.mark.engine
async def test_image_that_the_registry_does_not_have_is_not_pulled(state_dir: Path, registry: str) -> None:
    engine = PodmanEngine(state_dir, "puller")
    with pytest.raises(Permanent, match="cannot take it"):
        await engine.pull_image(Image("sha256:" + "0" * 64, 1, f"{registry}/some/name"))
    with pytest.raises(Permanent, match="names no registry"):
        await engine.pull_image(Image("sha256:" + "0" * 64, 1))
