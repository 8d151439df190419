"""CuttableDisk: a disk in memory whose power can fail: what was not synced survives in part, sector by sector, at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import PurePath

import apsw

SECTOR_BYTES = 512


class PowerCut(Exception):
    """The machine went off in the middle of a write."""


@dataclass(slots=True)
class _Content:
    """A file: what reads see, what surely survives, and what was written since: (offset, bytes), or (length, None)."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)


class CuttableDisk:
    """All files. cut_after: writes, truncations, syncs and deletions until the power fails."""

    def __init__(self, entropy: random.Random) -> None:
        self.entropy = entropy
        self.files: dict[str, _Content] = {}
        self.cut_after = 0
        self.is_off = False

    def tick(self) -> None:
        """One operation that changes the disk."""
        if self.is_off:
            raise PowerCut
        self.cut_after -= 1
        if self.cut_after <= 0:
            self.is_off = True
            raise PowerCut

    def power_on(self) -> None:
        """What is there after the power came back: each unsynced sector may or may not have reached the disk."""
        for content in self.files.values():
            luck = self.entropy.choice((0.0, 0.5, 0.9, 1.0))
            for offset, data in content.unsynced:
                _keep_some(content.synced, offset, data, self.entropy, luck)
            content.unsynced.clear()
            content.seen = bytearray(content.synced)
        self.is_off = False


def _keep_some(into: bytearray, offset: int, data: bytes | None, entropy: random.Random, luck: float) -> None:
    if data is None:
        if entropy.random() < luck:
            del into[offset:]
        return
    for start in range(0, len(data), SECTOR_BYTES):
        if entropy.random() < luck:
            _write(into, offset + start, data[start : start + SECTOR_BYTES])


def _write(into: bytearray, offset: int, data: bytes) -> None:
    if len(into) < offset + len(data):
        into.extend(bytes(offset + len(data) - len(into)))
    into[offset : offset + len(data)] = data


class CuttableFile:
    """One open file, as SQLite's VFS wants it."""

    def __init__(self, disk: CuttableDisk, content: _Content) -> None:
        self._disk, self._content = disk, content

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._content.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.tick()
        _write(self._content.seen, offset, bytes(data))
        self._content.unsynced.append((offset, bytes(data)))

    def xTruncate(self, length: int) -> None:
        self._disk.tick()
        del self._content.seen[length:]
        self._content.unsynced.append((length, None))

    def xSync(self, _flags: int) -> None:
        self._disk.tick()
        self._content.synced = bytearray(self._content.seen)
        self._content.unsynced.clear()

    def xFileSize(self) -> int:
        return len(self._content.seen)

    def xLock(self, _level: int) -> None:
        """One process only."""

    def xUnlock(self, _level: int) -> None:
        """One process only."""

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, _operation: int, _pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        # No promise of atomic or ordered writes: the worst disk.
        return 0

    def xClose(self) -> None:
        """The content stays with the disk."""


class CuttableVfs(apsw.VFS):
    """SQLite's door to a CuttableDisk. Close it with unregister()."""

    def __init__(self, disk: CuttableDisk, name: str) -> None:
        self._disk = disk
        self._temporary = 0
        super().__init__(name, "")

    def xOpen(self, name: apsw.URIFilename | str | None, _flags: list[int]) -> CuttableFile:  # type: ignore[override]  # apsw takes any object with its methods
        if name is None:
            self._temporary += 1
        text = f"temporary-{self._temporary}" if name is None else _name(name)
        return CuttableFile(self._disk, self._disk.files.setdefault(text, _Content()))

    def xAccess(self, path: str, _flags: int) -> bool:
        return _name(path) in self._disk.files

    def xDelete(self, path: str, _sync: bool) -> None:
        self._disk.tick()
        self._disk.files.pop(_name(path), None)

    def xFullPathname(self, path: str) -> str:
        return path


def _name(path: apsw.URIFilename | str) -> str:
    return PurePath(path if isinstance(path, str) else path.filename()).name
