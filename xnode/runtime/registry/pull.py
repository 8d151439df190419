"""Pull: an image from a registry as an OCI layout folder; every byte is bounded before it comes and checked as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, TypeVar

import trio

from scheduler.job import Blob, Image
from scheduler.policy import MAX_IMAGE_BYTES
from scheduler.registry import is_allowed, parse_reference
from xnode.errors import Permanent, Retryable
from xnode.runtime.host.room import Room, RoomWatch
from xnode.runtime.oci_layout import blob_path, write_index
from xnode.runtime.oci_manifest import Manifest, digest_of, parse_manifest, pick_for_host, telling
from xnode.runtime.registry.client import RegistryClient
from xnode.runtime.registry.reach import Reach

PULL_S = 900.0
"""For all of an image; the lease's capacity is held unpaid meanwhile."""

LOOK_S = 60.0
"""How often it is looked whether a registry still sends enough."""

LEAST_BYTES = 4 << 20
"""In that time: a tenth of what a slow line brings. A registry that drips holds capacity that nobody pays."""

TRY_DELAYS_S = (1.0, 5.0)
"""Between tries of one blob: what fails three times is somebody else's to try."""

WRITE_BYTES = 1 << 20

R = TypeVar("R")


async def pull(image: Image, reach: Reach, allowed: tuple[str, ...], into: Path, room: Room) -> Manifest:
    """The image's manifest, its blobs in the layout folder `into`. An index is followed to the image for this host.

    Raises Permanent, `told` what may be known of it elsewhere.
    """
    named = parse_reference(image.reference)
    if named is None or not is_allowed(named.registry, allowed):
        raise Permanent(
            f"image {image.reference[:200]!a} is at no registry of provider.registries",
            code="image_registry",
            told="this provider does not pull from that registry",
        )
    try:
        with trio.fail_after(PULL_S):
            async with RegistryClient(named, reach) as client:
                return await _pull(client, image, into, room)
    except trio.TooSlowError:
        raise _make_slow(f"image {image.digest} was not here after {PULL_S:g} s") from None
    except OSError as error:
        what = f"image {image.digest} cannot be written to {into}: {error.strerror or error}"
        raise Permanent(what, code="image_room", told="this provider cannot store the image") from error


async def _pull(client: RegistryClient, image: Image, into: Path, room: Room) -> Manifest:
    with telling():
        digest = pick_for_host(raw := await _try_again(lambda: client.read_manifest(image.digest)), image.digest)
        if digest != image.digest:
            raw = await _try_again(lambda: client.read_manifest(digest))
        manifest = parse_manifest(raw, digest)
    most = min(image.size_bytes or MAX_IMAGE_BYTES, MAX_IMAGE_BYTES)
    if manifest.size_bytes > most:
        what = f"image {digest} is {manifest.size_bytes} bytes, and {most} is the most"
        raise Permanent(what, code="image_size", told=what)
    watch = await trio.to_thread.run_sync(_make_room, into, raw, manifest, room)
    for blob in manifest.blobs[1:]:
        await _try_again(lambda blob=blob: _fetch(client, blob, into, watch))  # type: ignore[misc]
    return manifest


def _make_room(into: Path, raw: bytes, manifest: Manifest, room: Room) -> RoomWatch:
    (into / "blobs/sha256").mkdir(parents=True)
    watch = room.watch(into)
    watch.check(manifest.size_bytes)
    blob_path(into, manifest.digest).write_bytes(raw)
    write_index(into, manifest)
    return watch


async def _fetch(client: RegistryClient, blob: Blob, into: Path, watch: RoomWatch) -> None:
    digest = digest_of(blob)
    path, found = blob_path(into, digest), hashlib.sha256()

    def keep(file: IO[bytes], piece: bytes) -> None:
        found.update(piece)
        file.write(piece)

    with await trio.to_thread.run_sync(path.open, "wb") as file:
        async with client.open_blob(digest) as pieces:
            async for piece in _bounded(pieces, blob):
                watch.check()
                await trio.to_thread.run_sync(keep, file, piece)
    if found.digest() != blob.sha256:
        told = f"blob {digest} has other bytes than its digest says"
        raise Permanent(told, code="image", told=told)


async def _bounded(pieces: AsyncIterator[bytes], blob: Blob) -> AsyncIterator[bytes]:
    """The pieces, gathered: no more than the blob's size, no fewer, and not too slowly."""
    left, gathered = blob.size_bytes, bytearray()
    looked_at, came = trio.current_time(), 0
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            told = f"blob {digest_of(blob)} has more bytes than its manifest says"
            raise Permanent(told, code="image", told=told)
        came += len(piece)
        if trio.current_time() - looked_at > LOOK_S:
            if came < LEAST_BYTES:
                raise _make_slow(f"blob {digest_of(blob)}: {came} bytes in {LOOK_S:g} s")
            looked_at, came = trio.current_time(), 0
        gathered += piece
        if len(gathered) >= WRITE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if left:
        raise Retryable(f"blob {digest_of(blob)} ended {left} bytes early")
    if gathered:
        yield bytes(gathered)


async def _try_again(action: Callable[[], Awaitable[R]]) -> R:
    for delay_s in TRY_DELAYS_S:
        try:
            return await action()
        except Retryable:
            await trio.sleep(delay_s)
    try:
        return await action()
    except Retryable as error:
        told = "the registry cannot be reached from this provider, or breaks off"
        raise Permanent(str(error), code="image_unreachable", told=told) from error


def _make_slow(what: str) -> Permanent:
    return Permanent(what, code="image_slow", told="the registry gives the image too slowly")
