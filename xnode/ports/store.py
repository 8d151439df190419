"""Store: what must be on disk before it is said, and content-addressed bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from metering.units import Hash32
from scheduler.job import Blob, OutputFile
from scheduler.outputs import OutputSummary
from xnode.node.records import OutputsHere, Record
from xnode.ports.net import Peer


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine that a job takes with it. path: where the job finds it below /work/in."""

    path: str
    source: Path
    size_bytes: int
    executable: bool


R = TypeVar("R", bound=Record)


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

    async def add_bytes(self, data: bytes) -> Blob:
        """Write bytes in, by their hash."""
        ...

    async def fetch(self, peer: Peer, blob: Blob, progress: Callable[[int], None]) -> None:
        """Get a blob from a peer, resuming, checking its hash; Permanent when the bytes are wrong."""
        ...


FetchProgress = Callable[[int, int], None]
"""(files, bytes) that are here so far."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What did not come of a lease's outputs. missing: the provider has it no more; wrong: its bytes are not what it said."""

    missing: tuple[Blob, ...] = ()
    wrong: tuple[Blob, ...] = ()


class OutputFetcher(Protocol):
    """Gets a lease's outputs from its provider."""

    async def fetch(self, peer: Peer, lease_id: Hash32, blobs: Iterable[Blob], progress: FetchProgress) -> Fetched:
        """Get those that are not here, in one stream, checked by their hashes, resumed after a break."""
        ...


class Outputs(Protocol):
    """What workloads of ours left: had from their providers, and put where users want it."""

    async def take(
        self, peer: Peer, lease_id: Hash32, left: OutputSummary, limit_bytes: int, only: tuple[str, ...],
        older: tuple[OutputFile, ...] = (),
    ) -> OutputsHere:  # fmt: skip
        """Get the list and the wanted files; what cannot be had is counted. Raises Retryable."""
        ...

    async def deliver(self, here: OutputsHere, only: tuple[str, ...], into: str, other: str) -> OutputsHere:
        """Write what is here into the folder, or one of the name into-other beside it."""
        ...


@dataclass(frozen=True, slots=True)
class Pick:
    """Which of the node's jobs or leases. statuses: none means all; since_ns: those of this moment and later."""

    limit: int
    offset: int = 0
    statuses: tuple[str, ...] = ()
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Records, the newest first. total: how many there are with those on the other pages."""

    records: tuple[R, ...]
    total: int


class Records(Protocol):
    """The node's records, for reading: the live ones and the archived ones. Raises Retryable when the database is away."""

    async def read_records(self, record_type: type[R], from_key: bytes = b"") -> tuple[R, ...]:
        """Every record of a kind of which there are few, from a key on."""
        ...

    async def read_record(self, record_type: type[R], key: bytes) -> R | None:
        """The record of this kind and key."""
        ...
