"""Blobs: content-addressed files on disk, fetched from peers in pieces, resumed, and believed only by their hash."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import trio

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import Address, Hash32, Offset
from scheduler.job import Blob
from xnode.durable import naming, sync_file, sync_folder
from xnode.errors import Permanent, Retryable
from xnode.long_work import end_if_cancelled, hash_file
from xnode.ports.net import Peer, RpcRefused, StreamHandler
from xnode.single_flight import SingleFlight
from xnode.text.told import MAX_CODE_CHARS, cut_told

BLOB_GET = "blob.get"

PIECE_BYTES = 256 << 10
"""One frame: four muxer frames, so that smaller requests pass between two pieces."""

BATCH_BYTES = 1 << 20
"""Read, hashed and written in one go in a thread: a hop costs about 50 us."""

FREE_RESERVE_BYTES = 256 << 20
"""Left free on the disk: the journal on it must never meet a full one."""

MAX_FETCHES = 8
"""Blobs fetched at once; more would only share the same line."""

TURN_S, TURN_BYTES = 60.0, 1 << 20
"""A peer that sends less in this time gives its turn to others, and goes on where it was when it is its turn again: some peers
that drip would hold up all that is fetched."""

Allow = Callable[[Address, Hash32], bool]
"""(caller, sha256) -> may it read this blob? Only the other side of a lease may read what belongs to it."""

OpenStream = Callable[[Peer, str, bytes], AbstractAsyncContextManager[Any]]
"""ports.Net.stream."""


def _ignore(_bytes: int) -> None:
    """Progress that nobody watches."""


class BlobRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """offset: how much of the blob the reader has already."""

    sha256: Hash32
    offset: Offset


class Streams(Protocol):
    """What serves streams: Net."""

    def serve_stream(self, method: str, handler: StreamHandler) -> None: ...


class BlobStore:
    """One folder: <sha256 hex> is a whole blob, <sha256 hex>.part what has come of one so far."""

    def __init__(self, folder: Path, open_stream: OpenStream) -> None:
        self._folder = folder
        self._open_stream = open_stream
        self._slots = trio.CapacityLimiter(MAX_FETCHES)
        self._fetching = SingleFlight[Hash32, None]()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("new-*.part"):
            left.unlink()

    def path(self, sha256: Hash32) -> Path:
        """Where a blob is, or will be."""
        assert len(sha256) == 32
        return self._folder / sha256.hex()

    def has(self, blob: Blob) -> bool:
        """True when the whole blob is here."""
        try:
            return self.path(blob.sha256).stat().st_size == blob.size_bytes
        except FileNotFoundError:
            return False

    def use(self, blob: Blob) -> bool:
        """True when the whole blob is here, which begins the time anew that it is kept: another job counts on it. Blocks."""
        if not self.has(blob):
            return False
        try:
            os.utime(self.path(blob.sha256))
        except FileNotFoundError:
            return False
        return True

    async def add_file(self, source: Path, progress: Callable[[int], None] = _ignore) -> Blob:
        """Copy a file in; durable when this returns. progress: told how many more bytes are in.

        Raises Permanent when it cannot be read or the disk is full.
        """

        def copy() -> Blob:
            self.check_free(source.stat().st_size)
            with source.open("rb") as file:
                return self.take_pieces(_read_pieces(file, progress))

        try:
            return await trio.to_thread.run_sync(copy)
        except OSError as error:
            raise Permanent(f"{source} cannot be added to the blobs in {self._folder}: {error.strerror}") from error

    def take_pieces(self, pieces: Iterable[bytes]) -> Blob:
        """Write pieces in, as one blob; durable when this returns. Blocks; leaves nothing when it or `pieces` fails."""
        file = self._new_file()
        try:
            with file:
                digest = hashlib.sha256()
                for piece in pieces:
                    end_if_cancelled()
                    self.check_free(len(piece))
                    digest.update(piece)
                    file.write(piece)
                return self._name_new(file, digest.digest())
        except OSError as error:
            raise Permanent(f"a blob cannot be written to {self._folder}: {error.strerror}") from error
        finally:
            Path(file.name).unlink(missing_ok=True)

    def remove(self, sha256: Hash32) -> None:
        """Take a blob away. Blocks; what another name still links to stays on the disk."""
        self.path(sha256).unlink(missing_ok=True)

    async def add_bytes(self, data: bytes) -> Blob:
        """Write bytes in; durable when this returns."""
        return await trio.to_thread.run_sync(self.take_pieces, (data,))

    async def fetch(self, peer: Peer, blob: Blob, progress: Callable[[int], None]) -> None:
        """Get a blob from a peer, going on where an earlier fetch broke off. progress: bytes here so far.

        Raises Retryable when the peer breaks off; Permanent when it refuses, its bytes are wrong, or the disk is full.
        """

        async def fetch() -> None:
            async with self._slots:
                await self._fetch_alone(peer, blob, progress)

        while not self.has(blob):  # again, when who fetched it believed in another size
            await self._fetching.run(blob.sha256, fetch, source=(peer.address, blob.size_bytes))
        progress(blob.size_bytes)

    async def _fetch_alone(self, peer: Peer, blob: Blob, progress: Callable[[int], None]) -> None:
        part = self._folder / f"{blob.sha256.hex()}.part"
        with part.open("ab") as file:
            if file.tell() > blob.size_bytes:
                file.truncate(0)
            offset = file.tell()
            self.check_free(blob.size_bytes - offset)
            digest = await trio.to_thread.run_sync(_hash_file, part)
            sink = _Sink(file, digest, offset, blob, peer)
            try:
                await self._receive(sink, progress)
                await trio.to_thread.run_sync(sync_file, file)
            except OSError as error:
                raise Permanent(f"blob {_short(blob)} cannot be written to {part}: {error.strerror}") from error
            except _Overrun:
                part.unlink(missing_ok=True)
                raise
        self._settle(sink, part, offset > 0)

    async def _receive(self, sink: _Sink, progress: Callable[[int], None]) -> None:
        request = encode(BlobRequest(sink.blob.sha256, sink.size_bytes))
        try:
            async with self._open_stream(sink.peer, BLOB_GET, request) as items:
                try:
                    with trio.move_on_after(TURN_S) as turn:
                        least = sink.size_bytes + TURN_BYTES
                        async for piece in items:
                            await sink.take(piece)
                            progress(sink.size_bytes)
                            if sink.size_bytes >= least:
                                turn.deadline, least = trio.current_time() + TURN_S, sink.size_bytes + TURN_BYTES
                    if turn.cancelled_caught:
                        raise Retryable(f"{_name(sink.peer)} sends blob {_short(sink.blob)} slowly; others first")
                finally:
                    # What has come is kept for the next try, also when this one is cancelled.
                    with trio.CancelScope(shield=True):
                        await sink.flush()
        except RpcRefused as refusal:
            raise make_fault(sink.peer, f"blob {_short(sink.blob)}", refusal) from None

    def _settle(self, sink: _Sink, part: Path, resumed: bool) -> None:
        if sink.is_right():
            with naming(part):
                part.replace(self.path(sink.blob.sha256))
                sync_folder(self._folder)
            return
        part.unlink()
        what = f"blob {_short(sink.blob)} from {_name(sink.peer)} has wrong bytes"
        # A resumed one may be wrong through what was here before: only bytes all from one try convict the peer.
        raise Retryable(f"{what}; getting it anew") if resumed else Permanent(what, code="job")

    @property
    def folder(self) -> Path:
        """Where the blobs lie."""
        return self._folder

    def room_bytes(self) -> int:
        """How much more may be written to the disk."""
        return shutil.disk_usage(self._folder).free - FREE_RESERVE_BYTES

    def check_free(self, more_bytes: int) -> None:
        """Raises Permanent when the disk has no room for so much."""
        missing = more_bytes - self.room_bytes()
        if missing > 0:
            raise Permanent(
                f"disk full: {self._folder} lacks {missing} bytes", hint="free them or move the data folder"
            )

    def _new_file(self) -> IO[bytes]:
        return (self._folder / f"new-{secrets.token_hex(8)}.part").open("xb")

    def _name_new(self, file: IO[bytes], sha256: bytes) -> Blob:
        sync_file(file)
        blob = Blob(Hash32(sha256), file.tell())
        Path(file.name).replace(self.path(blob.sha256))
        sync_folder(self._folder)
        return blob


class _Overrun(Permanent):
    """More bytes came than the blob has."""


class _Sink:
    """The end of a fetch: hashes and writes what comes, in batches, and takes no byte more than was asked for."""

    def __init__(self, file: IO[bytes], digest: Any, size_bytes: int, blob: Blob, peer: Peer) -> None:
        self.blob, self.peer, self.size_bytes = blob, peer, size_bytes
        self._file, self._digest = file, digest
        self._waiting = bytearray()

    async def take(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        if self.size_bytes > self.blob.size_bytes:
            raise _Overrun(
                f"{_name(self.peer)} sends more than the {self.blob.size_bytes} bytes of {_short(self.blob)}"
            )
        self._waiting += piece
        if len(self._waiting) >= BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        batch, self._waiting = self._waiting, bytearray()
        if batch:
            await trio.to_thread.run_sync(self._write, batch)

    def is_right(self) -> bool:
        """True when all bytes are here and are the blob's."""
        whole = self.size_bytes == self.blob.size_bytes
        return whole and bool(self._digest.digest() == self.blob.sha256)

    def _write(self, batch: bytearray) -> None:
        self._file.write(batch)
        self._file.flush()
        self._digest.update(batch)


def serve_blobs(net: Streams, store: BlobStore, allow: Allow) -> None:
    """Answer blob.get from a store, to whom `allow` allows it."""

    async def get(caller: Address, body: bytes, send: Callable[[bytes], Any]) -> None:
        request = _read_request(body)
        path = store.path(request.sha256)
        # One answer for "not yours" and "not here": a caller that may not read it must not learn whether we have it.
        if not allow(caller, request.sha256) or not path.is_file() or request.offset > path.stat().st_size:
            raise RpcRefused(
                encode(Refusal("blob_unknown", f"there is no blob {request.sha256.hex()[:16]} for this caller"))
            )
        with path.open("rb") as file:
            file.seek(request.offset)
            while batch := await trio.to_thread.run_sync(file.read, BATCH_BYTES):
                for start in range(0, len(batch), PIECE_BYTES):
                    await send(batch[start : start + PIECE_BYTES])

    net.serve_stream(BLOB_GET, get)


def _read_request(body: bytes) -> BlobRequest:
    with suppress(ValueError):
        request = decode_strict(body, BlobRequest)
        if len(request.sha256) == 32 and request.offset >= 0:
            return request
    raise RpcRefused(encode(Refusal("blob_request", "a blob request is [sha256, offset]")))


def _read_pieces(file: IO[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    while piece := file.read(BATCH_BYTES):
        progress(len(piece))
        yield piece


def _hash_file(path: Path) -> Any:
    with path.open("rb") as file:
        return hash_file(file)


def make_fault(peer: Peer, what: str, refused: RpcRefused) -> Retryable | Permanent:
    """What it means that a peer refuses to give something: a busy one gives it later."""
    code = "refused"
    with suppress(ValueError):
        code = cut_told(decode_strict(refused.body, Refusal).code, MAX_CODE_CHARS)
    message = f"{_name(peer)} does not give {what}: {code}"
    return Retryable(message) if code == "busy" else Permanent(message, code=code)


def _short(blob: Blob) -> str:
    return blob.sha256.hex()[:16]


def _name(peer: Peer) -> str:
    return f"node 0x{peer.address.hex()}"
