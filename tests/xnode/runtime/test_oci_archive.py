"""Images as tools write them are found whole, and archives that are none end in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metering.units import Hash32
from tests.make import images
from tests.make.images import LayoutMaker, platform
from xnode.errors import Permanent
from xnode.net.blobs import BlobStore
from xnode.runtime import oci_layout
from xnode.runtime.oci_archive import read_archive
from xnode.runtime.oci_layout import FoundImage, find_image
from xnode.runtime.oci_manifest import INDEX_TYPES, LAYER_TYPE

NOTES = "org.opencontainers.image.ref.name"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    nothing: Any = None
    return BlobStore(tmp_path / "blobs", nothing)


def read(raw: bytes, store: BlobStore, **wanted: str) -> FoundImage:
    """The archive's image, through a pipe as `podman save |` gives it."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(raw)

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        with os.fdopen(reading, "rb") as file:
            return read_archive(file, store, "it.tar", lambda _count: None, **wanted)[0]
    finally:
        feeding.join()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "podman save --format oci-archive": images.make_oci_archive,
    "docker save, old": images.make_old_docker_archive,
    "docker save, new": images.make_new_docker_archive,
    "kaniko": images.make_kaniko_archive,
}


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize("packed", [False, True])
def test_archive_gives_the_image_whole_whatever_wrote_it(
    store: BlobStore, tmp_path: Path, form: str, packed: bool
) -> None:
    raw = ARCHIVES[form]()
    found = read(gzip.compress(raw) if packed else raw, store)
    assert found.platform == "linux/amd64" and found.image.architecture == "amd64"
    assert all(store.has(blob) for blob in found.image.blobs)
    layout = oci_layout.make_layout(found.image, store.path, tmp_path / "layout")
    oci_layout.check_blobs(layout, oci_layout.check_layout(layout, found.image))
    assert find_image(layout).image == found.image
    assert read(raw, store).image == found.image, "the same archive is the same image"


def test_layout_of_several_platforms_gives_the_one_for_most_hosts_and_says_what_else_there_is(tmp_path: Path) -> None:
    layout = images.make_buildx_layout(tmp_path)
    found = find_image(layout)
    assert (found.platform, found.image.architecture) == ("linux/amd64", "amd64")
    assert found.others == ("linux/arm64/v8",)
    arm = find_image(layout, "linux/arm64")
    assert (arm.platform, arm.image.architecture) == ("linux/arm64/v8", "arm64") and arm.image != found.image
    with pytest.raises(Permanent, match=r"is for linux/arm64/v8, linux/amd64, not for linux/s390x"):
        find_image(layout, "linux/s390x")


def test_platform_is_read_from_the_config_where_the_index_does_not_say(tmp_path: Path) -> None:
    maker = LayoutMaker()
    found = find_image(maker.write(tmp_path, [maker.image("arm64"), maker.image("riscv64")]))
    assert (found.platform, found.others) == ("linux/arm64", ("linux/riscv64",))


def test_platforms_that_were_not_saved_are_passed_over(tmp_path: Path) -> None:
    maker = LayoutMaker()
    absent = {"digest": "sha256:" + "0" * 64, "size": 7, "platform": platform("amd64")}
    assert find_image(maker.write(tmp_path, [maker.index([absent, maker.image("arm64")])])).platform == "linux/arm64"


def test_one_of_several_images_is_taken_by_its_name(tmp_path: Path) -> None:
    maker = LayoutMaker()
    entries = [maker.image(text=name, annotations={NOTES: name}) for name in ("one", "two")]
    layout = maker.write(tmp_path, entries)
    assert find_image(layout, name="two").image.digest == entries[1]["digest"]
    with pytest.raises(Permanent, match="holds 2 images for linux/amd64: one, two"):
        find_image(layout)
    with pytest.raises(Permanent, match="no image named 'three', but one, two"):
        find_image(layout, name="three")


def test_an_image_under_two_names_is_one(tmp_path: Path) -> None:
    maker = LayoutMaker()
    entries = [maker.image(annotations={NOTES: name}) for name in ("one", "two")]
    layout = maker.write(tmp_path, entries)
    assert find_image(layout) == find_image(layout, name="two")


@pytest.mark.parametrize("layer_type", [LAYER_TYPE, LAYER_TYPE + "+gzip", images.DOCKER_LAYER])
def test_docker_and_oci_media_types_are_read(tmp_path: Path, layer_type: str) -> None:
    maker = LayoutMaker()
    entry = maker.image(layer_type=layer_type, media_type=images.DOCKER_MANIFEST)
    listed = maker.index([entry], media_type=INDEX_TYPES[1])
    assert find_image(maker.write(tmp_path, [listed])).image.digest == entry["digest"]


def nested(depth: int) -> LayoutMaker:
    maker = LayoutMaker()
    entry = maker.image()
    for _ in range(depth):
        entry = maker.index([entry])
    maker.blobs["top"] = json.dumps({"manifests": [entry]}).encode()
    return maker


def test_indexes_without_end_are_refused(tmp_path: Path) -> None:
    maker = nested(9)
    top = json.loads(maker.blobs.pop("top"))["manifests"]
    with pytest.raises(Permanent, match="nested deeper than"):
        find_image(maker.write(tmp_path, top))


def with_long_name(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf() + b"a" * 1024


def entry_of(**fields: Any) -> bytes:
    info = tarfile.TarInfo("blob")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(format=tarfile.GNU_FORMAT)


ODD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no image"),
    "text": (b"hello\n" * 200, "not a tar archive"),
    "a short text": (b"hello\n", "not a tar archive"),
    "cut": (images.make_oci_archive()[:1000], "ends in the middle"),
    "cut gzip": (gzip.compress(images.make_oci_archive())[:300], "not gzip all through"),
    "bzip2": (bz2.compress(images.make_oci_archive()), "packed by bzip2"),
    "a header of 8 GB": (with_long_name(tarfile.GNUTYPE_LONGNAME, (1 << 33) - 1), "document of 8589934591 bytes"),
    "endless attributes": (with_long_name(tarfile.XHDTYPE, 1 << 30), "document of 1073741824 bytes"),
    "spoilt attributes": (with_long_name(tarfile.XHDTYPE, 512), "attributes that cannot be read"),
    "sparse": (entry_of(type=tarfile.GNUTYPE_SPARSE), "sparse"),
    "too many": (entry_of() * 2_001, "more than 2000 entries"),
    "no image": (images.write_tar([("a", b"b")]), "neither index.json nor manifest.json"),
    "a wrong name": (images.write_tar([("blobs/sha256/" + "0" * 64, b"other")]), "other bytes than its name"),
    "an index that is a list": (images.write_tar([("index.json", b"[]")]), "not a JSON object"),
    "deep JSON": (images.write_tar([("index.json", b"[" * 100_000)]), "not JSON that an image needs"),
    "a long index": (images.write_tar([("index.json", b" " * (5 << 20))]), "longer than"),
    "no config": (images.write_tar([("manifest.json", b'[{"Layers": []}]')]), "names no config"),
    "a link in a circle": (
        images.write_tar([("a", "b"), ("b", "a"), ("manifest.json", b'[{"Config": "a", "Layers": []}]')]),
        "names no config",
    ),
    "a path outside": (
        images.write_tar([("c", "../../../etc/passwd"), ("manifest.json", b'[{"Config": "c", "Layers": []}]')]),
        "names no config",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_archive_that_is_no_image_is_one_line(store: BlobStore, what: str) -> None:
    raw, line = ODD[what]
    with pytest.raises(Permanent, match=line) as failed:
        read_archive(io.BufferedReader(io.BytesIO(raw)), store, "it.tar", lambda _count: None)
    assert "\n" not in failed.value.message and len(failed.value.message) < 250


def test_layer_that_is_not_what_the_config_says_is_refused(store: BlobStore) -> None:
    raw = images.make_old_docker_archive().replace(b"layer 1", b"layer X")
    with pytest.raises(Permanent, match="other bytes than its config says"):
        read(raw, store)


def test_names_in_an_archive_never_touch_the_file_system(store: BlobStore, tmp_path: Path) -> None:
    evil = [("../../outside", b"x"), ("/absolute/evil", b"y"), ("..", b"z")]
    maker = LayoutMaker()
    read(images.write_tar([*evil, *maker.files([maker.image()])]), store)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert all(len(bytes.fromhex(name)) == 32 for name in names)
    assert not (tmp_path.parent / "outside").exists() and not Path("/absolute").exists()


def test_a_bomb_of_an_archive_ends_when_the_disk_is_full_and_leaves_nothing(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 64 << 20
    packed = gzip.compress(info.tobuf() + bytes(info.size), compresslevel=1)
    taken = 0

    def take(count: int) -> None:
        nonlocal taken
        taken += count

    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=(256 << 20) + (8 << 20) - taken))
    with pytest.raises(Permanent, match="disk full"):
        read_archive(io.BufferedReader(io.BytesIO(packed)), store, "it.tar", take)
    assert taken < 10 << 20
    assert list(store.path(Hash32(bytes(32))).parent.iterdir()) == []
