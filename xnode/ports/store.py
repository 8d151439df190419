"""Store: what must be on disk before it is said, and content-addressed bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metering.units import Hash32
from scheduler.job import Blob
from xnode.node.records import Record
from xnode.ports.net import Peer


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine that a job takes with it. path: where the job finds it below /work/in."""

    path: str
    source: Path
    size_bytes: int
    executable: bool


class Promises(Protocol):
    """What was said once and for all, on disk before it is said. Raises Retryable when the database cannot take it."""

    async def keep(self, kind: str, subject: bytes, value: bytes) -> bytes:
        """The value that stands for the subject from now on: this one, or the one that was there first."""
        ...

    async def promise(self, kind: str, subject: bytes, value: bytes) -> None:
        """As keep(); Permanent (code "promised") when another value was there first: then this one must not be signed."""
        ...

    async def find(self, kind: str, subject: bytes) -> bytes | None:
        """The value that stands, or None."""
        ...

    async def list_values(self, kind: str) -> tuple[bytes, ...]:
        """All that stand of one kind, in order of subject."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes on disk."""

    def path(self, sha256: Hash32) -> Path: ...

    def has(self, blob: Blob) -> bool: ...

    async def add_file(self, source: Path, progress: Callable[[int], None] = ...) -> Blob:
        """Copy a file in, by its hash. progress: told how many more bytes are in; it may raise to stop."""
        ...

    def take_pieces(self, pieces: Iterable[bytes]) -> Blob:
        """Write pieces in, as one blob; durable when this returns. Blocks."""
        ...

    def remove(self, sha256: Hash32) -> None:
        """Take a blob away. Blocks."""
        ...

    async def fetch(self, peer: Peer, blob: Blob, progress: Callable[[int], None]) -> None:
        """Get a blob from a peer, resuming, checking its hash; Permanent when the bytes are wrong."""
        ...


class Records(Protocol):
    """The node's records, for reading: the live ones and the archived ones. Raises Retryable when the database is away."""

    async def read_records(self, record_type: type[Record]) -> tuple[Record, ...]:
        """Every record of a kind."""
        ...

    async def read_record(self, record_type: type[Record], key: bytes) -> Record | None:
        """The record of this kind and key."""
        ...
