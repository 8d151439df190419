"""Job logs on disk: the provider's archive of a finished workload's log, and the submitter's growing copy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from metering.units import Hash32
from xnode.durable import naming, replace_file
from xnode.hole import marker_of, read_hole, trim

MAX_STEP_BYTES = 65_536
"""A provider's offset moves by no more than this with one piece; by more, the bytes between were not kept."""


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


@dataclass(frozen=True, slots=True)
class _Mark:
    """offset: where the provider's log goes on; size: of our copy then; lost: bytes that the provider had no more."""

    offset: int
    size: int
    ended: bool
    lost: int


class JobLog:
    """The submitter's copy of one lease's log: <lease>.log, and beside it the provider's offset where it goes on."""

    def __init__(self, folder: Path, lease_id: Hash32) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{lease_id.hex()}.log"
        self._mark = folder / f"{lease_id.hex()}.offset"

    def read_offset(self) -> int:
        """Where the provider's log goes on; a copy that is longer than its mark is cut back to it, so no line doubles."""
        mark = self._read_mark()
        if mark is None:
            self.path.unlink(missing_ok=True)
            marker_of(self.path).unlink(missing_ok=True)
            return 0
        if self.path.exists() and self.path.stat().st_size > mark.size:
            os.truncate(self.path, mark.size)
        return mark.offset

    def read_lost(self) -> int:
        """How much of the log's middle is here no more, or never came."""
        mark, hole = self._read_mark(), read_hole(self.path)
        return (mark.lost if mark else 0) + (hole.end - hole.start if hole else 0)

    def read(self, offset: int, size: int) -> tuple[int, bytes]:
        """(where the log goes on, its next bytes) from an offset in this copy; b"" when there are no more yet."""
        try:
            with self.path.open("rb") as file:
                if offset >= os.fstat(file.fileno()).st_size:
                    # No file system can be asked for any offset at all.
                    return offset, b""
                file.seek(offset)
                data = file.read(size)
        except FileNotFoundError:
            return offset, b""
        hole = read_hole(self.path)
        if hole is None:
            return offset + len(data), data
        usable, after = hole.find_gap(offset, len(data))
        return (offset + usable, data[:usable]) if usable else (after, hole.describe(offset))

    def has_ended(self) -> bool:
        """True when the provider said that nothing follows."""
        mark = self._read_mark()
        return mark is not None and mark.ended

    def append(self, offset: int, data: bytes, ended: bool) -> None:
        """Add a piece, then move the mark; of a long log only head and tail are kept."""
        mark = self._read_mark() or _Mark(0, 0, False, 0)
        step = offset - mark.offset
        with naming(self.path), self.path.open("ab") as file:
            file.write(data)
            file.flush()
            size = file.tell()
        trim(self.path)
        self._write_mark(_Mark(offset, size, ended, mark.lost + (step if step > MAX_STEP_BYTES else 0)))

    def _read_mark(self) -> _Mark | None:
        try:
            offset, size, state, *lost = self._mark.read_text().split()
            return _Mark(int(offset), int(size), state == "ended", int(lost[0]) if lost else 0)
        except (FileNotFoundError, ValueError):
            return None

    def _write_mark(self, mark: _Mark) -> None:
        state = "ended" if mark.ended else "open"
        replace_file(self._mark, f"{mark.offset} {mark.size} {state} {mark.lost}", sync=False)
