"""Job logs on disk: the provider's archive of a finished workload's log, and the submitter's growing copy."""

from __future__ import annotations

import os
from pathlib import Path

from metering.units import Hash32

MAX_LOG_BYTES = 256 << 20
"""The most log kept of one job on the submitter's disk; what follows is dropped."""


class LogArchive:
    """Raw logs of workloads that are off the host, one file per lease."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, lease_id: Hash32) -> Path:
        """Where the lease's log is kept, or will be."""
        return self._folder / lease_id.hex()

    def has(self, lease_id: Hash32) -> bool:
        """True when the lease's log is kept here."""
        return self.path(lease_id).exists()


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
