"""Job logs on disk: the provider's archive of a finished workload's log, and the submitter's growing copy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from metering.units import Hash32

_HEAD_BYTES = 12
MAX_LOG_BYTES = 256 << 20
"""The most log kept of one job; what follows is dropped, and the log says so."""

_CUT = b"\n[xnode: the log is longer than can be kept; the rest is left out]\n"


class LogArchive:
    """One file a lease: records of 8 bytes offset-after, 4 bytes length, and the piece, so that offsets stay what the
    engine said they were."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    async def keep(self, lease_id: Hash32, pieces: AsyncIterator[tuple[int, bytes]]) -> None:
        """Keep a finished log; whole and durable when this returns."""
        part = self._folder / f"{lease_id.hex()}.part"
        async with await trio.open_file(part, "wb") as file:
            kept = 0
            async for offset, piece in pieces:
                kept += len(piece)
                if kept > MAX_LOG_BYTES:
                    piece = _CUT
                await file.write(offset.to_bytes(8, "big") + len(piece).to_bytes(4, "big") + piece)
                if kept > MAX_LOG_BYTES:
                    break
            await file.flush()
            await trio.to_thread.run_sync(os.fsync, file.fileno())
        part.replace(self._path(lease_id))

    def has(self, lease_id: Hash32) -> bool:
        """True when the lease's log is kept here."""
        return self._path(lease_id).exists()

    async def read(self, lease_id: Hash32, offset: int) -> AsyncIterator[tuple[int, bytes]]:
        """(offset after this piece, piece) of a kept log, from an offset on."""
        async with await trio.open_file(self._path(lease_id), "rb") as file:
            while head := await file.read(_HEAD_BYTES):
                after = int.from_bytes(head[:8], "big")
                piece = await file.read(int.from_bytes(head[8:], "big"))
                if after > offset:
                    yield after, piece

    def _path(self, lease_id: Hash32) -> Path:
        return self._folder / lease_id.hex()


class JobLog:
    """The submitter's copy of one lease's log: <lease>.log, and beside it the provider's offset where it goes on."""

    def __init__(self, folder: Path, lease_id: Hash32) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{lease_id.hex()}.log"
        self._mark = folder / f"{lease_id.hex()}.offset"

    def read_offset(self) -> int:
        """Where the provider's log goes on; a copy that is longer than its mark is cut back to it, so no line doubles."""
        try:
            offset, size, _ = self._mark.read_text().split()
        except (FileNotFoundError, ValueError):
            self.path.unlink(missing_ok=True)
            return 0
        if self.path.exists() and self.path.stat().st_size > int(size):
            os.truncate(self.path, int(size))
        return int(offset)

    def has_ended(self) -> bool:
        """True when the provider said that nothing follows."""
        try:
            return self._mark.read_text().split()[2] == "ended"
        except (FileNotFoundError, IndexError):
            return False

    def append(self, offset: int, data: bytes, ended: bool) -> None:
        """Add a piece, then move the mark."""
        with self.path.open("ab") as file:
            if file.tell() < MAX_LOG_BYTES:
                file.write(data)
            file.flush()
            size = file.tell()
        part = self._mark.with_suffix(".part")
        part.write_text(f"{offset} {size} {'ended' if ended else 'open'}")
        part.replace(self._mark)
