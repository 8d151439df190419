"""No image gets in whose bytes are not exactly those its digest names."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from metering.units import Hash32
from scheduler.job import Image
from xnode.errors import Permanent
from xnode.runtime import oci_layout, oci_manifest
from xnode.runtime.host.room import Room
from xnode.runtime.podman.engine import PodmanEngine


@pytest.fixture
def copy(layout: Path, tmp_path: Path) -> Path:
    """A layout of our own to spoil."""
    return Path(shutil.copytree(layout, tmp_path / "layout"))


def test_layout_names_every_blob_and_the_size_of_all(layout: Path) -> None:
    image, blobs = oci_layout.read_layout(layout), oci_layout.read_layout(layout).blobs
    files = {path.name: path.stat().st_size for path in (layout / "blobs/sha256").iterdir()}
    assert {blob.sha256.hex(): blob.size_bytes for blob in blobs} == files
    assert image.size_bytes == sum(files.values())
    assert oci_manifest.digest_of(blobs[0]) == image.digest
    assert oci_layout.check_layout(layout, image).blobs == blobs


@pytest.mark.parametrize("position", [0, 1])
def test_changed_document_is_named(copy: Path, position: int) -> None:
    image, blob = oci_layout.read_layout(copy), oci_layout.read_layout(copy).blobs[position]
    path = oci_layout.blob_path(copy, oci_manifest.digest_of(blob))
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(Permanent, match=oci_manifest.digest_of(blob)):
        oci_layout.check_layout(copy, image)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_missing_blob_is_named(copy: Path, tmp_path: Path, position: int) -> None:
    image, blob = oci_layout.read_layout(copy), oci_layout.read_layout(copy).blobs[position]
    oci_layout.blob_path(copy, oci_manifest.digest_of(blob)).unlink()
    with pytest.raises(Permanent, match=oci_manifest.digest_of(blob)):
        oci_layout.check_layout(copy, image)
    with pytest.raises(Permanent, match=oci_manifest.digest_of(blob)):
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
        oci_manifest.parse_manifest(raw, digest)


@pytest.mark.parametrize("field", ["architecture", "os"])
def test_image_for_another_platform_is_refused(copy: Path, field: str) -> None:
    image = respell_config(copy, field, "arm64" if field == "architecture" else "windows")
    with pytest.raises(Permanent, match=r"is for .*(arm64|windows).*, this host is linux/"):
        oci_layout.check_layout(copy, image)


def respell_config(layout: Path, field: str, value: str) -> Image:
    """The layout's image with one word of its config changed."""
    manifest = json.loads(oci_layout.blob_path(layout, oci_layout.read_layout(layout).digest).read_bytes())
    config = json.loads(oci_layout.blob_path(layout, manifest["config"]["digest"]).read_bytes()) | {field: value}
    manifest["config"] |= put(layout, json.dumps(config).encode())
    entry = put(layout, json.dumps(manifest).encode()) | {"mediaType": oci_manifest.MANIFEST_TYPE}
    (layout / "index.json").write_text(json.dumps({"manifests": [entry]}))
    found = oci_layout.read_manifest(layout, entry["digest"])
    return Image(found.digest, found.size_bytes, "", found.blobs)


def put(layout: Path, raw: bytes) -> dict[str, Any]:
    """A blob in a layout; its descriptor."""
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    oci_layout.blob_path(layout, digest).write_bytes(raw)
    return {"digest": digest, "size": len(raw)}


PACKERS = {"gzip": ["gzip", "-1"], "zstd": ["zstd", "-q", "-1"], "bzip2": ["bzip2", "-1"]}

MIB = 1 << 20


def zeros(plain: Path) -> None:
    """A tar of one file of zeros."""
    info = tarfile.TarInfo("zeros")
    info.size = 256 * MIB
    with plain.open("wb") as file:
        file.write(info.tobuf())
        file.truncate(512 + info.size + 10240)


def holes(plain: Path) -> None:
    """A tar of one file that is a hole: some kilobytes, whatever it unpacks to."""
    hole = plain.with_name("hole")
    with hole.open("wb") as file:
        file.truncate(4096 * MIB)
    subprocess.run(["tar", "--format=posix", "--sparse", "-cf", plain, "-C", hole.parent, hole.name], check=True)
    hole.unlink()


def many(plain: Path) -> None:
    """A tar of very many empty files."""
    with tarfile.open(plain, "w") as tar:
        for number in range(30_000):
            tar.addfile(tarfile.TarInfo(f"{number % 100}/{number}"))


def make_bomb(layout: Path, packer: str, write: Callable[[Path], None]) -> Path:
    """An image of one layer, a thousandth of what it unpacks to."""
    (layout / "blobs/sha256").mkdir(parents=True)
    plain, packed = layout / "plain", layout / "packed"
    write(plain)
    with plain.open("rb") as source, packed.open("wb") as target:
        subprocess.run(PACKERS[packer], stdin=source, stdout=target, check=True)
    with plain.open("rb") as source:
        diff = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
    plain.unlink()
    raw = packed.read_bytes()
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [diff]}}
    layer = put(layout, raw) | {"mediaType": oci_manifest.LAYER_TYPE + ("+zstd" if packer == "zstd" else "+gzip")}
    described = put(layout, json.dumps(config).encode()) | {"mediaType": oci_manifest.CONFIG_TYPE}
    manifest = {"config": described, "layers": [layer], "schemaVersion": 2}
    entry = put(layout, json.dumps(manifest).encode()) | {"mediaType": oci_manifest.MANIFEST_TYPE}
    (layout / "index.json").write_text(json.dumps({"manifests": [entry]}))
    return layout


@pytest.mark.engine
@pytest.mark.parametrize(
    ("packer", "write", "room"),
    [
        *((packer, zeros, Room(most_bytes=32 * MIB)) for packer in PACKERS),
        ("gzip", holes, Room(most_bytes=32 * MIB)),
        ("gzip", many, Room(most_files=2_000)),
    ],
)
async def test_a_small_layer_that_unpacks_to_very_much_ends_at_the_room_there_is(
    state_dir: Path, tmp_path: Path, packer: str, write: Callable[[Path], None], room: Room
) -> None:
    """Whatever the media type says, engines unpack what they know; the disk is what bounds them all."""
    layout = await trio.to_thread.run_sync(make_bomb, tmp_path / "bomb", packer, write)
    image = oci_layout.read_layout(layout)
    engine = PodmanEngine(state_dir, "bounded", room=room)
    with pytest.raises(Permanent, match=rf"unpacks to more than \d+ bytes or {room.most_files} files") as caught:
        await engine.import_image(image, layout)
    assert caught.value.reason_code == "image_unpacked"
    assert not await engine.has_image(image)
    assert await trio.to_thread.run_sync(disk_usage_of, state_dir / "bounded") < 16 * MIB


def test_what_others_write_meanwhile_is_not_laid_to_an_image(tmp_path: Path) -> None:
    """A disk fills from many sides at once; only what the image's own layers hold is counted against it."""
    watch = Room(most_bytes=MIB).watch(tmp_path)
    (tmp_path / "workload").write_bytes(b"x" * (8 * MIB))
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer/file").write_bytes(b"x" * 1000)
    assert watch.may_be_used_up() and not watch.is_used_up_by([tmp_path / "layer"])
    (tmp_path / "layer/more").write_bytes(b"x" * (2 * MIB))
    assert watch.is_used_up_by([tmp_path / "layer"])


def test_an_image_may_unpack_to_some_times_its_size_and_a_small_one_to_a_gigabyte() -> None:
    assert Room().for_packed(1000).most_bytes == 1024 * MIB
    assert Room().for_packed(200 * MIB).most_bytes == 4000 * MIB
    assert Room().for_packed(1 << 40).most_bytes == Room().most_bytes
    assert Room(most_bytes=5).for_packed(1 << 40).most_bytes == 5


def disk_usage_of(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink())


@pytest.mark.engine
async def test_image_with_a_wrong_blob_is_not_imported(state_dir: Path, copy: Path) -> None:
    engine = PodmanEngine(state_dir, "cautious")
    layer = oci_layout.read_layout(copy).blobs[2]
    path = oci_layout.blob_path(copy, oci_manifest.digest_of(layer))
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    manifest = json.loads(oci_layout.blob_path(copy, oci_layout.read_layout(copy).digest).read_bytes()) | {
        "annotations": {"a": "b"}
    }
    fresh = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(fresh).hexdigest()
    oci_layout.blob_path(copy, digest).write_bytes(fresh)
    image = Image(digest, len(fresh) + sum(blob.size_bytes for blob in oci_layout.read_layout(copy).blobs[1:]))
    with pytest.raises(Permanent, match=oci_manifest.digest_of(layer)):
        await engine.import_image(image, copy)
    assert not await engine.has_image(image)
    path.write_bytes(bytes(raw[:-1]) + bytes([raw[-1] ^ 1]))
    await engine.import_image(image, copy)
    assert await engine.has_image(image)
