"""Tar: the entries of an archive as it streams by, packed by gzip or not; nothing of it reaches the file system here.

Our own reader, because the standard one takes headers of any length into memory and guesses on in damaged archives.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from xnode.errors import Permanent

BLOCK_BYTES = 512
PIECE_BYTES = 1 << 20

MAX_HEADER_BYTES = 1 << 20
"""Of a long name or of extended attributes: tools write some hundred bytes."""

MAX_ENTRIES = 2_000
"""An image has some ten blobs; old archives three files for each layer."""

MAX_NAME_BYTES = 4096

_OTHER_PACKERS = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"(\xb5/\xfd": "zstd"}

_NO_TAR = "is not a tar archive, or is damaged"

Kind = Literal["file", "link", "other"]
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "link", b"2": "link"}


@dataclass(frozen=True, slots=True)
class Entry:
    """name and target as written; kind "link": another name for `target`, "other": folders, devices and the like."""

    name: str
    kind: Kind
    size_bytes: int
    target: str


class TarStream:
    """Read entries() in order, and between two of them at will content() of the last one. Raises Permanent for what is not
    a tar, or too much."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._where, self._left, self._padding = where, 0, 0
        self._is_tar = False
        start = _peek(file)
        for magic, packer in _OTHER_PACKERS.items():
            if start.startswith(magic):
                raise Permanent(f"{where} is packed by {packer}", hint="unpack it first, or save it packed by gzip")
        self._file = gzip.GzipFile(fileobj=file) if start.startswith(b"\x1f\x8b") else file

    def entries(self) -> Iterator[Entry]:
        """Each entry; what is not read of its content is skipped."""
        for _ in range(MAX_ENTRIES):
            entry = self._next_entry()
            if entry is None:
                return
            yield entry
        raise Permanent(f"{self._where} has more than {MAX_ENTRIES} entries")

    def content(self) -> Iterator[bytes]:
        """The last entry's bytes in pieces."""
        while self._left:
            piece = self._read(min(PIECE_BYTES, self._left))
            self._left -= len(piece)
            yield piece

    def read_small(self, limit_bytes: int) -> bytes:
        """The last entry's bytes at once; Permanent when they are more than the limit."""
        if self._left > limit_bytes:
            raise Permanent(f"{self._where} has a document of {self._left} bytes, and {limit_bytes} is the most")
        return b"".join(self.content())

    def _next_entry(self) -> Entry | None:
        long: dict[str, str] = {}
        while True:
            header = self._next_header()
            if header is None:
                return None
            kind, size = header[156:157], _number_of(header[124:136], self._where)
            self._left, self._padding = size, -size % BLOCK_BYTES
            if kind in (b"x", b"L", b"K", b"g"):
                raw = self.read_small(MAX_HEADER_BYTES)
                long |= _parse_long(kind, raw, self._where)
                continue
            if kind == b"S" or any(key.startswith("GNU.sparse") for key in long):
                raise Permanent(f"{self._where} has a sparse file", hint="save it without --sparse")
            if "size" in long:
                self._left = _decimal_of(long["size"], self._where)
                self._padding = -self._left % BLOCK_BYTES
            name = long.get("path") or _name_of(header)
            target = long.get("linkpath") or _text_of(header[157:257])
            if len(name) > MAX_NAME_BYTES or len(target) > MAX_NAME_BYTES:
                raise Permanent(f"{self._where} has a name longer than {MAX_NAME_BYTES} bytes")
            return Entry(name, _KINDS.get(kind, "other"), self._left, target)

    def _next_header(self) -> bytes | None:
        """The next header block, None at the end of the archive."""
        for _ in self.content():
            pass
        if self._padding:
            self._read(self._padding)
            self._padding = 0
        header = self._read(BLOCK_BYTES, may_end=True)
        if not header.strip(b"\0"):
            return None
        stored = _number_of(header[148:156], self._where)
        if stored != sum(header) - sum(header[148:156]) + 8 * 32:
            raise Permanent(f"{self._where} {_NO_TAR}")
        self._is_tar = True
        return header

    def _read(self, count: int, may_end: bool = False) -> bytes:
        """Exactly so many bytes; none at the end of the file where that may be."""
        parts, left = [], count
        try:
            while left and (part := self._file.read(left)):
                parts.append(part)
                left -= len(part)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Permanent(f"{self._where} is not gzip all through ({error})") from None
        except OSError as error:
            raise Permanent(f"{self._where} cannot be read: {error.strerror or error}") from error
        if left and not (may_end and left == count):
            raise Permanent(f"{self._where} {'ends in the middle' if self._is_tar else _NO_TAR}")
        return b"".join(parts)


def _peek(file: IO[bytes]) -> bytes:
    """The first bytes, which stay to be read: the file is buffered, and may be a pipe."""
    peek = getattr(file, "peek", None)
    assert peek is not None, "open the archive buffered"
    return bytes(peek(BLOCK_BYTES))[:8]


def _parse_long(kind: bytes, raw: bytes, where: str) -> dict[str, str]:
    """What the entry before an entry says of it: its long name, or extended attributes ("g", of all entries, says nothing
    that we read)."""
    if kind == b"L":
        return {"path": _text_of(raw)}
    if kind == b"K":
        return {"linkpath": _text_of(raw)}
    found: dict[str, str] = {}
    while raw and kind == b"x":
        head, _, _ = raw.partition(b" ")
        length = int(head) if head.isdigit() and len(head) <= 7 else 0
        if not len(head) < length <= len(raw):
            raise Permanent(f"{where} has extended attributes that cannot be read")
        key, _, value = raw[len(head) + 1 : length].removesuffix(b"\n").partition(b"=")
        found[key.decode(errors="replace")] = value.decode(errors="replace")
        raw = raw[length:]
    return found


def _name_of(header: bytes) -> str:
    name, prefix = _text_of(header[:100]), _text_of(header[345:500]) if header[257:262] == b"ustar" else ""
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _text_of(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="replace")


def _number_of(field: bytes, where: str) -> int:
    """Octal digits, or what GNU tar writes for larger numbers."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big") & ((1 << 63) - 1)
    text = field.strip(b"\0 ")
    if text and not all(0x30 <= digit <= 0x37 for digit in text):
        raise Permanent(f"{where} is not a tar archive, or is damaged")
    return int(text or b"0", 8)


def _decimal_of(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Permanent(f"{where} has an entry without a size")
    return int(text)
