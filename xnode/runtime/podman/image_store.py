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
from xnode.runtime.oci_manifest import hash_of, telling
from xnode.runtime.podman.command import LONG_S, Podman
from xnode.runtime.registry.pull import pull
from xnode.runtime.registry.reach import Reach
from xnode.single_flight import SingleFlight

LOOK_S = 0.1
"""Between looks at the disk while an image is unpacked: a fast disk writes some 200 MB meanwhile, less than is kept free."""

UNPACK_S, UNPACK_BYTES_S = 120.0, 5e6
"""How long unpacking may take: so long, and longer by what a slow disk under load takes for the image's bytes."""


class ImageStore:
    """What images this engine has, by the digest of their manifest. room: what unpacking may use of the disk; registries:
    what is pulled from."""

    def __init__(self, podman: Podman, room: Room, registries: tuple[str, ...]) -> None:
        self._podman, self._room, self._registries = podman, room, registries
        # One after the other: else what one unpacks is counted as another's.
        self._unpacking = trio.Lock()
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

    async def _take_layout(self, image: Image, layout: Path, name: Image | None = None) -> None:
        """name: what the image is called here, where an index of several platforms has led to it."""
        if await self.find(name or image) is not None:
            return
        async with self._staged(image, layout) as staged:
            with telling():
                manifest = await trio.to_thread.run_sync(oci_layout.check_layout, staged, image)
            try:
                await self._unpack(image, f"oci:{staged}")
            except Permanent as error:
                if error.told:
                    raise
                # Only now, because it reads everything once more: a blob at fault is named.
                with telling():
                    await trio.to_thread.run_sync(oci_layout.check_blobs, staged, manifest)
                raise
        await self._name_it(name or image, manifest.image_id)

    async def _take_from_registry(self, image: Image) -> None:
        if await self.find(image) is not None:
            return
        if not image.reference:
            raise Permanent(f"image {image.digest} names no registry", hint="send its blobs, or set its reference")
        folder = self._podman.places.incoming / f"pull-{secrets.token_hex(8)}"
        try:
            manifest = await pull(image, Reach(self._registries), self._registries, folder, self._room)
            found = Image(manifest.digest, manifest.size_bytes, "", manifest.blobs)
            await self._take_layout(found, folder, name=image)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def _unpack(self, image: Image, source: str) -> None:
        """Have podman take what lies here: it is bounded in bytes, files and time by the image's packed size."""
        policy = self._podman.places.config / "policy.json"
        args = ("pull", "--quiet", f"--signature-policy={policy}", source)
        async with self._unpacking:
            watch = self._room.for_packed(image.size_bytes).watch(self._podman.places.home)
            deadline_s = min(LONG_S, UNPACK_S + image.size_bytes / UNPACK_BYTES_S)
            done, fault = await self._run_watched(watch, *args, deadline_s=deadline_s)
            if fault is not None:
                # podman marks a layer that it did not finish, and takes it away when it opens its storage again.
                await self._podman.run("rmi", "--ignore", _name(image), deadline_s=LONG_S)
                raise fault
        if done is None or done.returncode != 0:
            said = last_line(done.stderr) if done is not None else "it gave nothing"
            raise Permanent(f"image {image.digest}: podman cannot take it: {said}")

    async def _run_watched(
        self, watch: RoomWatch, *args: str, deadline_s: float
    ) -> tuple[subprocess.CompletedProcess[bytes] | None, Permanent | None]:
        """(what podman gave, None), or (None, why it was stopped)."""
        layers = self._podman.places.home / "images/overlay"
        before = frozenset(_list(layers))
        done: subprocess.CompletedProcess[bytes] | None = None
        fault: Permanent | None = None

        async def stop_when_full() -> None:
            nonlocal fault
            pause_s = LOOK_S
            while fault is None:
                await trio.sleep(pause_s)
                try:
                    watch.check()
                except Permanent as full:
                    fault = full
                if watch.may_be_used_up():
                    began = trio.current_time()
                    ours = [layer for layer in _list(layers) if layer not in before]
                    if await trio.to_thread.run_sync(watch.is_used_up_by, ours):
                        fault = _make_bomb(watch)
                    # Others write too: to count millions of files again and again would be load for nothing.
                    pause_s = max(LOOK_S, 4 * (trio.current_time() - began))
            nursery.cancel_scope.cancel()

        async def run() -> None:
            nonlocal done, fault
            try:
                done = await self._podman.run_long(*args, deadline_s=deadline_s)
            except Retryable as error:
                fault = Permanent(str(error), code="image_slow", told="the image takes too long to unpack here")
            except Permanent as error:
                fault = error
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_when_full)
            nursery.start_soon(run)
        return (done, None) if done is not None else (None, fault)

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


def _make_bomb(watch: RoomWatch) -> Permanent:
    what = f"the image unpacks to more than {watch.describe()}"
    return Permanent(what, code="image_unpacked", told=what)


def _list(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


def _name(image: Image) -> str:
    """Our own tag: the manifest's digest in a name that no registry can hold."""
    return f"localhost/xnode:{hash_of(image.digest).hex()}"
