"""Image shelf: the images that one engine holds, when each was last used, and those taken away again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import trio

from scheduler.job import Image
from xnode.errors import Permanent
from xnode.ports.runtime import HeldImage
from xnode.runtime.host.program import last_line
from xnode.runtime.oci_manifest import hash_of
from xnode.runtime.podman.command import LONG_S, Podman
from xnode.runtime.podman.image_store import ImageStore

_OURS = re.compile(r"localhost/xnode:([0-9a-f]{64})\Z")


class ImageShelf:
    """Over podman's own storage of this engine. When an image was used is the time of an empty file with its name."""

    def __init__(self, podman: Podman, store: ImageStore) -> None:
        self._podman, self._store = podman, store

    async def note_use(self, image: Image) -> None:
        """It is used now."""
        await trio.to_thread.run_sync(self._touch, hash_of(image.digest).hex())

    async def list_images(self) -> tuple[HeldImage, ...]:
        """All of them; one whose use nobody noted counts as used now."""
        text = await self._podman.ask("images", "--format=json")
        # A row for each name that an image has.
        images = dict(found for found in map(_read, json.loads(text or "[]")) if found is not None)
        return await trio.to_thread.run_sync(self._add_times, images)

    async def remove(self, digest: str) -> None:
        """Take an image away, with every name it has. Permanent while a container is made of it."""
        with self._store.leaving(digest):
            name = f"localhost/xnode:{_hash(digest)}"
            shown = await self._podman.run("image", "inspect", "--format={{json .RepoTags}}", name)
            names = json.loads(shown.stdout) if shown.returncode == 0 else []
            done = await self._podman.run("rmi", "--ignore", *(names or [name]), deadline_s=LONG_S)
        if done.returncode != 0:
            raise Permanent(f"image {digest}: {last_line(done.stderr)}", code="image_in_use")
        await trio.to_thread.run_sync(lambda: (self._folder / _hash(digest)).unlink(missing_ok=True))

    @property
    def _folder(self) -> Path:
        return self._podman.places.home / "used"

    def _touch(self, name: str) -> None:
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        (self._folder / name).touch()

    def _add_times(self, images: dict[str, int]) -> tuple[HeldImage, ...]:
        held = []
        for name, size_bytes in images.items():
            mark = self._folder / name
            if not mark.exists():
                self._touch(name)
            held.append(HeldImage(f"sha256:{name}", size_bytes, mark.stat().st_mtime_ns))
        for mark in list(self._folder.glob("*")):
            if mark.name not in images:
                mark.unlink(missing_ok=True)
        return tuple(held)


def read_leased_bytes(leases: Path) -> int:
    """What the disks of this engine's leases take, allocated whole. Blocks."""
    total = 0
    for image in leases.glob("*/disk.img"):
        try:
            total += image.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def _read(row: dict[str, Any]) -> tuple[str, int] | None:
    for name in row.get("Names") or ():
        found = _OURS.match(name)
        if found is not None:
            return found[1], int(row.get("Size", 0))
    return None


def _hash(digest: str) -> str:
    return digest.removeprefix("sha256:")
