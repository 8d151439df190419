"""Outputs: which of the things a workload left in /work/out reach its submitter: one set of rules, held by both sides.

What the rules allow is taken; what they do not is left out and listed with its reason. The list is the inventory: it
travels as one blob, so that a lease of 100,000 files is not larger on the wire or in a journal than one of three. A name is
whatever bytes Linux takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from metering.bounds import Detail
from metering.codec import decode_strict, encode
from metering.units import U64, Nanos
from scheduler.job import Blob

MAX_ENTRIES = 100_000
"""Files, links and empty folders of one lease; more belong into an archive."""

MAX_LISTED = 1_000
"""Things left out that are listed by name; the rest is counted."""

MAX_FIRST = 5
"""Of them, how many a report names itself: enough to see the kind."""

MAX_PATH_BYTES = 4_096
MAX_PART_BYTES = 255
"""What Linux takes as a path, and as a name in it."""

MAX_FOLDERS = 256
"""Folders in folders: a walk holds one open for each."""

MAX_NAMES_BYTES = 16 << 20
"""Of all paths and link targets together: the list is held in memory."""

MAX_REASON_CHARS = 200

MAX_ROW_BYTES = (1 << 16) - 1
"""Of the inventory: a row's length stands in two bytes."""

OutputPath = Annotated[bytes, msgspec.Meta(max_length=MAX_ROW_BYTES)]
"""What breaks the rules of a path is left out by its name, so it may be longer than they allow."""

MAX_COUNT = 1 << 53
"""The most that a stranger's count is believed to be: sums of it still fit into 64 bits."""

MAX_INVENTORY_BYTES = 32 << 20
"""Of the list as a blob: all that the limits above allow fits."""

MIN_LIMIT_BYTES = 1 << 20
"""A lease with a smaller disk gets this much: no file system fits into less."""

OUT = b"/work/out"
"""Where the workload sees the folder: a link that names it so is kept, as a relative one."""


class FileEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="file"):
    """A regular file. mtime_ns: when it was last changed, ns UTC (0: before 1970). Of its mode only `executable` is kept."""

    path: OutputPath
    blob: Blob
    executable: bool = False
    mtime_ns: Nanos = 0


class LinkEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="link"):
    """A symbolic link that stays inside the folder, wherever the folder is."""

    path: OutputPath
    target: OutputPath


class FolderEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="folder"):
    """An empty folder; the others follow from the paths of what is in them."""

    path: OutputPath


class LeftOut(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="left"):
    """What was not taken, and why."""

    path: OutputPath
    reason: Detail


Entry = FileEntry | LinkEntry | FolderEntry


class OutputSummary(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The outputs in a few bytes, as a provider reports them. inventory: None when there is nothing in it; first: some of
    those left out."""

    inventory: Blob | None = None
    entries: U64 = 0
    size_bytes: U64 = 0
    left_out: U64 = 0
    first: Annotated[tuple[LeftOut, ...], msgspec.Meta(max_length=MAX_FIRST)] = ()


NOTHING = OutputSummary()


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was taken, in order of path, and what was not. left_out_count: also those that are not listed."""

    entries: tuple[Entry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_count: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(one.blob.size_bytes for one in self.files())

    def files(self) -> Iterator[FileEntry]:
        return (one for one in self.entries if isinstance(one, FileEntry))

    def summary(self, blob: Blob) -> OutputSummary:
        """The report; `blob` is this inventory, encoded."""
        if not self.entries and not self.left_out_count:
            return NOTHING
        return OutputSummary(blob, len(self.entries), self.size_bytes, self.left_out_count, self.left_out[:MAX_FIRST])


@dataclass(slots=True)
class Selection:
    """Takes or leaves one thing after the other, in order of path (see path_order), and ends as an Inventory."""

    limit_bytes: int
    _entries: list[Entry] = field(default_factory=list)
    _left_out: list[LeftOut] = field(default_factory=list)
    _left_out_count: int = 0
    _size_bytes: int = 0
    _names_bytes: int = 0

    @property
    def count(self) -> int:
        """How many were taken."""
        return len(self._entries)

    def check(self, path: bytes, size_bytes: int = 0, target: bytes = b"") -> str | None:
        """Why this cannot be taken next, or None."""
        if len(self._entries) >= MAX_ENTRIES:
            return f"more than {MAX_ENTRIES:,} files, links and folders; put them into an archive"
        if self._names_bytes + len(path) + len(target) > MAX_NAMES_BYTES:
            return f"all names together are longer than {MAX_NAMES_BYTES >> 20} MiB; put them into an archive"
        if self._size_bytes + size_bytes > self.limit_bytes:
            return f"with it the files would come to more than the {self.limit_bytes:,} bytes of the lease's disk"
        return check_path(path) or self._check_place(path)

    def _check_place(self, path: bytes) -> str | None:
        """In order of path, only the last one taken can be in the way."""
        last = self._entries[-1] if self._entries else None
        if last is None:
            return None
        if path == last.path:
            return "another one of this name was taken"
        if path_order(path) < path_order(last.path):
            return "it is not in order of path"
        below = path.startswith(last.path + b"/")
        return "it lies below what is not a folder" if below and not isinstance(last, FolderEntry) else None

    def take(self, entry: Entry) -> None:
        """It passed check(), and is taken."""
        self._entries.append(entry)
        self._names_bytes += len(entry.path)
        if isinstance(entry, LinkEntry):
            self._names_bytes += len(entry.target)
        if isinstance(entry, FileEntry):
            self._size_bytes += entry.blob.size_bytes

    def leave(self, path: bytes, reason: str) -> None:
        """It is left out."""
        self._left_out_count += 1
        if len(self._left_out) < MAX_LISTED:
            self._left_out.append(LeftOut(path[:MAX_PATH_BYTES], reason[:MAX_REASON_CHARS]))

    def leave_more(self, count: int) -> None:
        """So many others are left out, which nobody can name."""
        self._left_out_count += count

    def finish(self) -> Inventory:
        """What came of it."""
        return Inventory(tuple(self._entries), tuple(self._left_out), self._left_out_count)


def limit_of(disk_bytes: int) -> int:
    """The most that the outputs of a lease with such a disk may come to."""
    return max(disk_bytes, MIN_LIMIT_BYTES)


def path_order(path: bytes) -> bytes:
    """A key that sorts a folder's content right after the folder: no name has a NUL in it."""
    return path.replace(b"/", b"\0")


def check_path(path: bytes) -> str | None:
    """Why this is not the path of an output, or None: relative, without "..", and no longer than Linux takes."""
    if len(path) > MAX_PATH_BYTES:
        return f"its path is longer than {MAX_PATH_BYTES:,} bytes"
    parts = path.split(b"/")
    if len(parts) > MAX_FOLDERS:
        return f"it lies deeper than {MAX_FOLDERS} folders"
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        return "its path does not stay inside the folder"
    if any(len(part) > MAX_PART_BYTES for part in parts):
        return f"a name in its path is longer than {MAX_PART_BYTES} bytes"
    return None


def find_inner_target(path: bytes, target: bytes) -> bytes | None:
    """The link's target in the one form that cannot lead outside, or None when it might.

    ".." may only come first: behind a name it would go up from wherever another link of that name leads.
    """
    depth = path.count(b"/")
    if target == OUT or target.startswith(OUT + b"/"):
        target = b"../" * depth + (target[len(OUT) + 1 :] or b".")
    if not target or target.startswith(b"/") or b"\0" in target or len(target) > MAX_PATH_BYTES:
        return None
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    ups = next((at for at, part in enumerate(parts) if part != b".."), len(parts))
    if ups > depth or b".." in parts[ups:] or any(len(part) > MAX_PART_BYTES for part in parts):
        return None
    return b"/".join(parts) or b"."


def is_wanted(path: bytes, patterns: tuple[str, ...]) -> bool:
    """True when one of the patterns matches the path, or there are none."""
    text = path.decode("utf-8", "surrogateescape")
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


def show_path(path: bytes) -> str:
    """The path for people and terminals: what does not print is shown as an escape, \\x0a or \\xff."""
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


# ------------------------------------------------------------------------------------------------------ on the wire


def encode_inventory(inventory: Inventory) -> bytes:
    """The inventory as a blob: rows, each behind its length in two bytes, so that a reader needs one row's memory."""
    rows = (encode(row) for row in (*inventory.entries, *inventory.left_out))
    return b"".join(len(row).to_bytes(2, "big") + row for row in rows)


def read_inventory(data: bytes, limit_bytes: int, left_out_count: int = 0) -> Inventory:
    """A provider's inventory as far as it keeps the rules; what breaks them is left out by name.

    left_out_count: how many the provider says it left out, in all.
    """
    selection = Selection(limit_bytes)
    entries: list[Entry] = []
    listed = unread = 0
    for row in _iter_rows(data):
        if isinstance(row, LeftOut):
            listed += 1
            selection.leave(row.path, row.reason)
        elif row is None or len(entries) >= MAX_ENTRIES:
            unread += 1
        else:
            entries.append(row)
    for entry in sorted(entries, key=lambda one: path_order(one.path)):
        reason = _check_entry(selection, entry)
        if reason is None:
            selection.take(entry)
        else:
            selection.leave(entry.path, reason)
    selection.leave_more(unread + max(0, min(left_out_count, MAX_COUNT) - listed))
    return selection.finish()


def cut_summary(summary: OutputSummary) -> OutputSummary:
    """A stranger's report, no longer than one of ours."""
    first = (LeftOut(one.path[:MAX_PATH_BYTES], one.reason[:MAX_REASON_CHARS]) for one in summary.first[:MAX_FIRST])
    return msgspec.structs.replace(summary, first=tuple(first))


def _check_entry(selection: Selection, entry: Entry) -> str | None:
    if isinstance(entry, LinkEntry):
        if find_inner_target(entry.path, entry.target) != entry.target:
            return "a link that may lead outside the folder"
        return selection.check(entry.path, target=entry.target)
    if isinstance(entry, FileEntry):
        return selection.check(entry.path, entry.blob.size_bytes)
    return selection.check(entry.path)


def _iter_rows(data: bytes) -> Iterator[Entry | LeftOut | None]:
    """Every row; None for one that cannot be read."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        try:
            yield decode_strict(data[at + 2 : at + 2 + size], FileEntry | LinkEntry | FolderEntry | LeftOut)  # type: ignore[arg-type]  # a union is no class
        except ValueError:
            yield None
        at += 2 + size
