"""Layouts: OCI layout folders put together from blobs, for the engine to import."""

from __future__ import annotations

import shutil
from pathlib import Path

import trio

from scheduler.job import Image
from xnode.ports.store import Blobs
from xnode.runtime.oci_layout import make_layout


class LayoutStore:
    """One folder per image with its layout; made anew each time, since a half-made one looks like a whole one."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder, self._blobs = folder, blobs

    async def make_layout(self, image: Image) -> Path:
        """The layout of an image whose blobs are here."""
        into = self._folder / image.digest.replace(":", "-")
        await trio.to_thread.run_sync(self._make, image, into)
        return into

    def _make(self, image: Image, into: Path) -> None:
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        make_layout(image, self._blobs.path, into)
