"""Stock: the node's own files that may go one day: blobs, what has come of them, logs; listed, and removed by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metering.units import NANOS_PER_HOUR, Hash32
from xnode.hole import marker_of
from xnode.node.needed import Needed
from xnode.node.retention import Kept, Rule

SPARE_NS = 6 * NANOS_PER_HOUR
"""Images and inputs of jobs that have ended: the next job of a series may bring the same, and nobody misses them else."""

PART_NS = 24 * NANOS_PER_HOUR
"""What has come of a file whose fetch broke off and was not taken up again."""

BLOB, IDLE, PART, LOG, IMAGE = "blob", "idle", "part", "log", "image"

_HASH = re.compile("[0-9a-f]{64}")


def make_rules(keep_files_ns: int, keep_images_ns: int) -> dict[str, Rule]:
    """What is kept for how long. blob: outputs, and images of our own jobs; log: of leases and jobs; image: an engine's."""
    return {
        BLOB: Rule(keep_files_ns),
        LOG: Rule(keep_files_ns),
        IDLE: Rule(SPARE_NS, is_spare=True),
        PART: Rule(PART_NS, is_spare=True),
        IMAGE: Rule(keep_images_ns, is_spare=True),
    }


@dataclass(frozen=True, slots=True)
class Stock:
    """blobs: the blob store's folder; logs: folders of logs, each file named by its lease."""

    blobs: Path
    logs: tuple[Path, ...]

    def list_files(self, needed: Needed) -> tuple[Kept, ...]:
        """Everything in the folders. Blocks."""
        return (*self._list_blobs(needed), *self._list_logs(needed))

    def remove(self, one: Kept) -> None:
        """Take it away; what is gone already is fine. Blocks."""
        path = Path(one.name)
        path.unlink(missing_ok=True)
        if one.kind == LOG:
            for beside in (marker_of(path), path.with_suffix(".offset")):
                beside.unlink(missing_ok=True)

    def is_needed(self, one: Kept, needed: Needed) -> bool:
        """As needed by what goes on now, or used since it was listed."""
        if _was_used(one):
            return True
        found = _HASH.match(Path(one.name).name)
        if found is None:
            return False
        key = Hash32(bytes.fromhex(found[0]))
        return key in (needed.leases if one.kind == LOG else needed.blobs)

    def _list_blobs(self, needed: Needed) -> Iterator[Kept]:
        for entry in _scan(self.blobs):
            found = _HASH.match(entry.name)
            if found is None and not entry.name.endswith(".part"):
                continue
            key = Hash32(bytes.fromhex(found[0])) if found else None
            kind = PART if entry.name.endswith(".part") else IDLE if key in needed.brought else BLOB
            yield from _keep(entry, kind, key in needed.blobs)

    def _list_logs(self, needed: Needed) -> Iterator[Kept]:
        for folder in self.logs:
            for entry in _scan(folder):
                found = _HASH.match(entry.name)
                if found is None or entry.name.endswith((".hole", ".offset")):
                    continue
                yield from _keep(entry, LOG, Hash32(bytes.fromhex(found[0])) in needed.leases)


def _was_used(one: Kept) -> bool:
    try:
        return Path(one.name).lstat().st_mtime_ns > one.used_at_ns
    except FileNotFoundError:
        return False


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return


def _keep(entry: os.DirEntry[str], kind: str, is_needed: bool) -> Iterator[Kept]:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    yield Kept(kind, entry.path, found.st_blocks * 512, found.st_mtime_ns, is_needed)
