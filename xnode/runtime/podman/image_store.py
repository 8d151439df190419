"""Image store: podman's own storage of one engine, filled from checked OCI layouts or from a registry by digest."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from scheduler.job import Image
from xnode.errors import Permanent, Retryable
from xnode.runtime import oci_layout
from xnode.runtime.host.program import last_line
from xnode.runtime.host.room import Room, RoomWatch
from xnode.runtime.lease.stored_image import StoredImage, read_inspection
from xnode.runtime.oci_manifest import check_platform, hash_of
from xnode.runtime.podman.command import LONG_S, Podman
from xnode.single_flight import SingleFlight

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Registries that need no TLS."""

LOOK_S = 0.1
"""Between looks at the disk while an image is unpacked: a fast disk writes some 200 MB meanwhile, less than is kept free."""


class ImageStore:
    """What images this engine has, by the digest of their manifest. room: what unpacking may use of the disk."""

    def __init__(self, podman: Podman, room: Room) -> None:
        self._podman, self._room = podman, room
        self._stored: dict[str, StoredImage] = {}
        self._taking = SingleFlight[str, None]()
        self._leaving: dict[str, trio.Event] = {}

    async def find(self, image: Image) -> StoredImage | None:
        """What podman has of the image, None when it is not stored. Asked once: no other program removes any."""
        while image.digest in self._leaving:
            await self._leaving[image.digest].wait()
        if image.digest not in self._stored:
            done = await self._podman.run("image", "inspect", _name(image))
            if done.returncode == 0:
                self._stored[image.digest] = read_inspection(done.stdout)
            elif b"no such image" not in done.stderr and b"image not known" not in done.stderr:
                raise Retryable(f"podman image inspect: {last_line(done.stderr)}")
        return self._stored.get(image.digest)

    def forget(self, image: Image) -> None:
        """Ask podman again the next time."""
        self._stored.pop(image.digest, None)

    @contextmanager
    def leaving(self, digest: str) -> Iterator[None]:
        """While an image is taken away, nobody is told that it is here."""
        gone = self._leaving[digest] = trio.Event()
        try:
            yield
        finally:
            self._stored.pop(digest, None)
            del self._leaving[digest]
            gone.set()

    async def take_layout(self, image: Image, layout: Path) -> None:
        """Copy an image in from a layout folder; podman checks every byte against its digest."""
        await self._taking.run(image.digest, lambda: self._take_layout(image, layout), source=image)

    async def pull(self, image: Image) -> None:
        """Copy an image in from the registry in its reference, pinned by its digest."""
        await self._taking.run(image.digest, lambda: self._take_from_registry(image), source=image)

    async def _take_layout(self, image: Image, layout: Path) -> None:
        if await self.find(image) is not None:
            return
        async with self._staged(image, layout) as staged:
            manifest = await trio.to_thread.run_sync(oci_layout.check_layout, staged, image)
            try:
                await self._pull(image, f"oci:{staged}", LONG_S)
            except Permanent:
                # Only now, because it reads everything once more: a blob at fault is named.
                await trio.to_thread.run_sync(oci_layout.check_blobs, staged, manifest)
                raise
        await self._name_it(image, manifest.image_id)

    async def _take_from_registry(self, image: Image) -> None:
        if await self.find(image) is not None:
            return
        if not image.reference:
            raise Permanent(f"image {image.digest} names no registry", hint="send its blobs, or set its reference")
        source = f"docker://{_without_tag(image.reference)}@{image.digest}"
        host = image.reference.split("/")[0]
        plain = ("--tls-verify=false",) if host.rsplit(":", 1)[0] in LOOPBACK_HOSTS else ()
        image_id = await self._pull(image, source, LONG_S, *plain)
        found = await self._podman.ask("image", "inspect", "--format={{.Os}} {{.Architecture}}", image_id)
        system, _, architecture = found.strip().partition(" ")
        try:
            check_platform(image.digest, system, architecture)
        except Permanent:
            await self._podman.run("rmi", image_id)
            raise
        await self._name_it(image, image_id)

    async def _pull(self, image: Image, source: str, deadline_s: float, *options: str) -> str:
        policy = self._podman.places.config / "policy.json"
        args = ("pull", "--quiet", f"--signature-policy={policy}", *options, source)
        room = self._room.watch(self._podman.places.home)
        done = await self._run_in(room, *args, deadline_s=deadline_s)
        if done is None:
            # podman marks a layer that it did not finish, and takes it away when it opens its storage again.
            await self._podman.run("rmi", "--ignore", _name(image))
            raise Permanent(f"image {image.digest} unpacks to more than {room.describe()}")
        if done.returncode != 0:
            raise Permanent(f"image {image.digest}: podman cannot take it: {last_line(done.stderr)}")
        return done.stdout.decode().strip()

    async def _run_in(
        self, room: RoomWatch, *args: str, deadline_s: float
    ) -> subprocess.CompletedProcess[bytes] | None:
        """What podman gave; None when it was stopped because the room is used up."""
        done: subprocess.CompletedProcess[bytes] | None = None
        fault: Permanent | Retryable | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_when_full, room, nursery.cancel_scope)
            try:
                done = await self._podman.run_long(*args, deadline_s=deadline_s)
            except (Permanent, Retryable) as error:
                fault = error  # raised outside: a nursery would wrap it in a group
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault
        return done

    async def _name_it(self, image: Image, image_id: str) -> None:
        """Our own name last: an image without it is not ours."""
        await self._podman.ask("tag", image_id, _name(image))

    @asynccontextmanager
    async def _staged(self, image: Image, layout: Path) -> AsyncIterator[Path]:
        """The layout again with an index that names this image only, under a path podman can make an image name of."""
        # A name for each try: what a cancelled one still cleans up is not what the next one makes.
        name = f"{hash_of(image.digest).hex()[:32]}-{secrets.token_hex(8)}"
        places = self._podman.places
        folder, link = places.incoming / name, places.run / f"incoming-{name}"

        def stage() -> None:
            oci_layout.make_layout(image, lambda sha256: layout / "blobs/sha256" / sha256.hex(), folder)
            link.symlink_to(folder)

        def unstage() -> None:
            link.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

        try:
            await trio.to_thread.run_sync(stage)
            yield link
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(unstage)


async def _stop_when_full(room: RoomWatch, scope: trio.CancelScope) -> None:
    while not room.is_used_up():  # noqa: ASYNC110 (a disk tells nobody that it fills)
        await trio.sleep(LOOK_S)
    scope.cancel()


def _name(image: Image) -> str:
    """Our own tag: the manifest's digest in a name that no registry can hold."""
    return f"localhost/xnode:{hash_of(image.digest).hex()}"


def _without_tag(reference: str) -> str:
    """A registry reference without ":tag" or "@digest"; the pinned digest takes their place."""
    name = reference.split("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name
