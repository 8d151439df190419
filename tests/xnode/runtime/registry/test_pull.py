"""An image from a real registry on a real port: exactly its bytes come, from nowhere inside, and no more than were named."""

from __future__ import annotations

import hashlib
import json
import platform
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trio

from scheduler.architecture import architecture_of
from scheduler.job import Image
from tests.xnode.runtime.registry.server import Answer, Served, reply, serve_registry
from xnode.errors import Permanent
from xnode.runtime import oci_layout, oci_manifest
from xnode.runtime.host.room import Room
from xnode.runtime.oci_manifest import Manifest
from xnode.runtime.podman.engine import PodmanEngine
from xnode.runtime.registry import pull as pulling
from xnode.runtime.registry.pull import pull
from xnode.runtime.registry.reach import Reach


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between tries."""
    monkeypatch.setattr(pulling, "TRY_DELAYS_S", (0.0, 0.0))


async def take(served: Served, digest: str, into: Path, room: Room | None = None, size_bytes: int = 0) -> Manifest:
    allowed = (served.place,)
    image = Image(digest, size_bytes, f"{served.place}/some/name:tag")
    with trio.fail_after(30):
        return await pull(image, Reach(allowed), allowed, into, room or Room())


async def refuse(layout: Path, into: Path, answer: Answer, size_bytes: int = 0) -> Permanent:
    """Why the image is not taken from a registry that answers so."""
    with serve_registry(layout, answer) as served, pytest.raises(Permanent) as caught:
        await take(served, oci_layout.read_layout(layout).digest, into, size_bytes=size_bytes)
    # What goes back names no place of this host and no other program's words.
    assert caught.value.told and "127.0.0.1" not in caught.value.told and str(into) not in caught.value.told
    return caught.value


async def test_pulled_image_is_the_layout_that_it_was(layout: Path, tmp_path: Path) -> None:
    image = oci_layout.read_layout(layout)
    with serve_registry(layout) as served:
        manifest = await take(served, image.digest, tmp_path / "into", size_bytes=image.size_bytes)
    assert oci_layout.read_layout(tmp_path / "into") == image
    assert manifest == oci_layout.check_layout(tmp_path / "into", image)
    assert served.asked[0] == f"/v2/some/name/manifests/{image.digest}"


async def test_index_leads_to_the_image_for_this_host(layout: Path, tmp_path: Path) -> None:
    image = oci_layout.read_layout(layout)
    entries = [
        {"digest": "sha256:" + "1" * 64, "size": 1, "platform": {"os": "windows", "architecture": "amd64"}},
        {"digest": "sha256:" + "2" * 64, "size": 1, "platform": {"os": "linux", "architecture": "s390x"}},
        {"digest": image.digest, "platform": {"os": "linux", "architecture": architecture_of(platform.machine())}},
    ]
    raw = json.dumps({"mediaType": oci_manifest.INDEX_TYPES[0], "manifests": entries}).encode()
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()

    def answer(request: BaseHTTPRequestHandler) -> bool:
        return request.path.endswith(digest) and reply(request, 200, raw)

    with serve_registry(layout, answer) as served:
        manifest = await take(served, digest, tmp_path / "into")
    assert manifest.digest == image.digest


async def test_token_is_fetched_where_the_registry_says_and_shown_to_it_alone(layout: Path, tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> bool:
        if request.path.startswith("/token?"):
            return reply(request, 200, json.dumps({"token": "t0"}).encode())
        if request.headers.get("Authorization") != "Bearer t0":
            challenge = f'Bearer realm="http://{served.place}/token",service="here",scope="x"'
            return reply(request, 401, www_authenticate=challenge)
        return False

    with serve_registry(layout, answer) as served:
        await take(served, oci_layout.read_layout(layout).digest, tmp_path / "into")
    assert served.asked[1] == "/token?scope=repository%3Asome%2Fname%3Apull&service=here"
    assert served.tokens[:2] == ["", ""] and set(served.tokens[2:]) == {"Bearer t0"}


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
async def test_redirect_to_a_service_inside_is_not_followed(layout: Path, tmp_path: Path, kind: str) -> None:
    """A public registry may send us anywhere: to this host's own ports, or to a cloud's metadata."""
    with serve_registry(layout) as inside:
        for target in (f"http://{inside.place}/secret", f"//{inside.place}/secret", "http://169.254.169.254/latest/"):

            def answer(request: BaseHTTPRequestHandler, target: str = target) -> bool:
                return f"/{kind}/" in request.path and reply(request, 302, location=target)

            fault = await refuse(layout, tmp_path / str(len(target)), answer)
            assert fault.reason_code == "image_address"
    assert inside.asked == []


@pytest.mark.parametrize(
    "realm", ["http://{}/token", "https://{}/token", "http://169.254.169.254/t", "https://localhost/t"]
)
async def test_token_is_not_fetched_inside(layout: Path, tmp_path: Path, realm: str) -> None:
    with serve_registry(layout) as inside:
        challenge = f'Bearer realm="{realm.format(inside.place)}"'
        fault = await refuse(layout, tmp_path / "into", lambda request: reply(request, 401, www_authenticate=challenge))
    assert fault.reason_code == "image_address" and inside.asked == []


async def test_registry_that_is_not_listed_is_not_asked(layout: Path, tmp_path: Path) -> None:
    with serve_registry(layout) as served:
        image = Image(oci_layout.read_layout(layout).digest, 1, f"{served.place}/x")
        for allowed in ((), ("docker.io",), ("any public",)):
            with pytest.raises(Permanent) as caught:
                await pull(image, Reach(allowed), allowed, tmp_path / "into", Room())
            assert caught.value.reason_code == "image_registry"
    assert served.asked == []


async def test_circle_of_redirects_ends(layout: Path, tmp_path: Path) -> None:
    fault = await refuse(layout, tmp_path / "into", lambda request: reply(request, 307, location=request.path))
    assert "in circles" in fault.told


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "job_image"), (403, "job_image"), (429, "image_busy"), (500, "image_unreachable"), (204, "image")],
)
async def test_what_a_registry_refuses_has_a_code_of_ours(layout: Path, tmp_path: Path, status: int, code: str) -> None:
    fault = await refuse(layout, tmp_path / "into", lambda request: reply(request, status, b"\x1b[31mroot:x:0:0" * 9))
    assert fault.reason_code == code and "root" not in str(fault) + fault.told


async def test_image_larger_than_its_job_says_is_not_fetched(layout: Path, tmp_path: Path) -> None:
    image = oci_layout.read_layout(layout)
    fault = await refuse(layout, tmp_path / "into", lambda _request: False, size_bytes=image.size_bytes - 1)
    assert fault.reason_code == "image_size" and not (tmp_path / "into").exists()


def cut(request: BaseHTTPRequestHandler) -> bool:
    """A blob that ends in the middle."""
    if "/blobs/" not in request.path:
        return False
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    request.wfile.write(b"x" * 10)
    return True


def lie(request: BaseHTTPRequestHandler) -> bool:
    """A blob of other bytes."""
    return "/blobs/" in request.path and reply(request, 200, b"x" * 10)


def flood(request: BaseHTTPRequestHandler) -> bool:
    """A blob without an end, and headers of any size before it."""
    if "/blobs/" not in request.path:
        return False
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(4096):
            request.wfile.write(b"\0" * (1 << 20))
        raise AssertionError("4 GiB were read")
    except OSError:
        return True


@pytest.mark.parametrize(("answer", "code"), [(cut, "image_unreachable"), (lie, "image_unreachable"), (flood, "image")])
async def test_blob_of_other_bytes_is_not_taken(layout: Path, tmp_path: Path, answer: Answer, code: str) -> None:
    assert (await refuse(layout, tmp_path / "into", answer)).reason_code == code
    assert disk_usage_of(tmp_path) < 4 << 20


def disk_usage_of(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if not path.is_symlink())


async def test_blob_with_one_wrong_bit_is_not_taken(layout: Path, tmp_path: Path) -> None:
    image = oci_layout.read_layout(layout)
    raw = bytearray(oci_layout.blob_path(layout, oci_manifest.digest_of(image.blobs[-1])).read_bytes())
    raw[-1] ^= 1
    fault = await refuse(
        layout,
        tmp_path / "into",
        lambda request: request.path.endswith(image.blobs[-1].sha256.hex()) and reply(request, 200, bytes(raw)),
    )
    assert fault.reason_code == "image" and image.blobs[-1].sha256.hex() in fault.told


async def test_endless_manifest_and_endless_token_are_cut(layout: Path, tmp_path: Path) -> None:
    raw = b"[" * (8 << 20)
    await refuse(layout, tmp_path / "a", lambda request: reply(request, 200, raw))


async def test_registry_that_drips_is_left(layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "LOOK_S", 0.05)
    layer = oci_layout.read_layout(layout).blobs[-1].sha256.hex()

    def drip(request: BaseHTTPRequestHandler) -> bool:
        if not request.path.endswith(layer):
            return False
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            return True

    assert (await refuse(layout, tmp_path / "into", drip)).reason_code == "image_slow"


async def test_registry_that_says_nothing_is_left(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(pulling, "PULL_S", 0.2)

    def wait(_request: BaseHTTPRequestHandler) -> bool:
        return done.wait(20)

    with serve_registry(layout, wait) as served:
        with pytest.raises(Permanent) as caught:
            await take(served, oci_layout.read_layout(layout).digest, tmp_path / "into")
        done.set()
    assert caught.value.reason_code == "image_slow"


async def test_image_for_which_the_disk_has_no_room_is_not_fetched(layout: Path, tmp_path: Path) -> None:
    with serve_registry(layout) as served, pytest.raises(Permanent) as caught:
        await take(served, oci_layout.read_layout(layout).digest, tmp_path / "into", Room(keep_bytes=1 << 60))
    assert caught.value.reason_code == "image_room" and str(tmp_path) not in caught.value.told
    assert len(served.asked) == 1


@pytest.mark.engine
async def test_image_is_pulled_from_a_registry_by_its_digest(state_dir: Path, layout: Path) -> None:
    image = oci_layout.read_layout(layout)
    with serve_registry(layout) as served:
        engine = PodmanEngine(state_dir, "puller", registries=(served.place,))
        named = Image(image.digest, image.size_bytes, f"{served.place}/some/name:tag")
        assert not await engine.has_image(named)
        await engine.pull_image(named)
    assert await PodmanEngine(state_dir, "puller").has_image(image)
    assert list((state_dir / "puller/incoming").glob("pull-*")) == []


@pytest.mark.engine
async def test_image_that_the_registry_does_not_have_is_not_pulled(state_dir: Path, layout: Path) -> None:
    with serve_registry(layout) as served:
        engine = PodmanEngine(state_dir, "puller", registries=(served.place,))
        with pytest.raises(Permanent, match="answered HTTP 404"):
            await engine.pull_image(Image("sha256:" + "0" * 64, 1, f"{served.place}/some/name"))
        with pytest.raises(Permanent, match="names no registry"):
            await engine.pull_image(Image("sha256:" + "0" * 64, 1))
