"""Layouts: OCI layout folders put together from blobs, for the engine to import."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from scheduler.job import Image
from xnode.ports.store import Blobs
from xnode.runtime.oci_layout import make_layout


class LayoutStore:
    """Folders of links, one for each import: no two share one, so none can take another's away."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder, self._blobs = folder, blobs
        shutil.rmtree(folder, ignore_errors=True)  # what a crash left

    @asynccontextmanager
    async def open_layout(self, image: Image) -> AsyncIterator[Path]:
        """The layout of an image whose blobs are here, as long as you are inside."""
        into = self._folder / f"{image.digest.replace(':', '-')}-{secrets.token_hex(8)}"
        try:
            await trio.to_thread.run_sync(self._make, image, into)
            yield into
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(into, ignore_errors=True))

    def _make(self, image: Image, into: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        into.mkdir()
        make_layout(image, self._blobs.path, into)
