"""Outputs over the net: all files of one lease in one stream, each believed only by its hash, resumed after any break."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import trio

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from metering.units import U32, Address, Hash32, Offset
from scheduler.job import Blob
from xnode.durable import sync_filesystem
from xnode.errors import Permanent, Retryable
from xnode.long_work import hash_file
from xnode.net.blobs import BlobStore, OpenStream, Streams, make_fault
from xnode.ports.net import Peer, RpcRefused
from xnode.ports.store import Fetched, FetchProgress
from xnode.sparse import end_sparse, write_sparse

OUTPUTS_GET = "outputs.get"
"""OutputsRequest -> a stream of OutputsFrame."""

MAX_ASKED = 20_000
"""Files in one request: 640 kB of hashes; the next request asks for more."""

FRAME_BYTES = 256 << 10
"""Of file contents in one frame, small files together and large ones cut."""

MAX_FRAME_PIECES = 1_000
"""Files in one frame, be they ever so small."""

SHA_BYTES = 32

Piece = Annotated[bytes, msgspec.Meta(max_length=FRAME_BYTES)]

FindBlobs = Callable[[Address, Hash32], Awaitable[frozenset[Hash32]]]
"""(caller, lease) -> what it may read as outputs of the lease: the inventory and all that is in it; none of another's."""


class OutputsRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """wanted: SHA-256 sums, one after the other; offset: how much of the first of them the reader has already."""

    lease_id: Hash32
    wanted: Annotated[bytes, msgspec.Meta(max_length=MAX_ASKED * SHA_BYTES)]
    offset: Offset


class OutputsFrame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """pieces: (place in `wanted`, its next bytes), in order; missing: places of what is not to be had."""

    pieces: Annotated[tuple[tuple[U32, Piece], ...], msgspec.Meta(max_length=2 * MAX_FRAME_PIECES)]
    missing: Annotated[tuple[U32, ...], msgspec.Meta(max_length=2 * MAX_FRAME_PIECES)] = ()


class OutputFetcher:
    """Gets a lease's outputs into a blob store."""

    def __init__(self, store: BlobStore, open_stream: OpenStream) -> None:
        self._store, self._open_stream = store, open_stream
        self._locks: dict[Hash32, trio.Lock] = {}

    async def fetch(self, peer: Peer, lease_id: Hash32, blobs: Iterable[Blob], progress: FetchProgress) -> Fetched:
        """Get those that are not here; what is not to be had is said, and holds up nothing else. Durable at the end.

        Raises Retryable when the peer breaks off, Permanent when it refuses, its bytes cannot be read, or the disk is full.
        """
        lock = self._locks.setdefault(lease_id, trio.Lock())
        try:
            async with lock:
                return await self._fetch_alone(peer, lease_id, tuple(dict.fromkeys(blobs)), progress)
        finally:
            if not lock.locked():
                self._locks.pop(lease_id, None)

    async def _fetch_alone(
        self, peer: Peer, lease_id: Hash32, blobs: tuple[Blob, ...], progress: FetchProgress
    ) -> Fetched:
        lacking = await trio.to_thread.run_sync(self._list_lacking, blobs)
        if not lacking:
            return Fetched()
        lacking, too_large = _fit(lacking, self._store.room_bytes())
        here = len(blobs) - len(lacking) - len(too_large)
        here_bytes = _sum(blobs) - _sum(lacking) - _sum(too_large)
        missing: list[Blob] = []
        wrong: list[Blob] = []
        for start in range(0, len(lacking), MAX_ASKED):
            sink = _Sink(self._store, lacking[start : start + MAX_ASKED], lease_id)
            await self._receive(
                peer,
                lease_id,
                sink,
                lambda sink: progress(here + sink.done, here_bytes + sink.done_bytes),  # noqa: B023
            )
            here, here_bytes = here + sink.done, here_bytes + sink.done_bytes
            missing += sink.missing
            wrong += sink.wrong
        await trio.to_thread.run_sync(sync_filesystem, self._store.folder)
        if too_large:
            self._store.check_free(_sum(too_large))
            raise Retryable("the disk was too full for some of the outputs, and has room again")
        return Fetched(tuple(missing), tuple(wrong))

    def _list_lacking(self, blobs: Sequence[Blob]) -> list[Blob]:
        return [blob for blob in blobs if not self._store.use(blob)]

    async def _receive(self, peer: Peer, lease_id: Hash32, sink: _Sink, progress: Callable[[_Sink], None]) -> None:
        offset = await trio.to_thread.run_sync(sink.resume)
        request = OutputsRequest(lease_id, b"".join(blob.sha256 for blob in sink.blobs), offset)
        try:
            async with self._open_stream(peer, OUTPUTS_GET, encode(request)) as frames:
                async for body in frames:
                    await trio.to_thread.run_sync(sink.take, _read_frame(peer, body))
                    progress(sink)
        except RpcRefused as refused:
            raise make_fault(peer, f"the outputs of lease {lease_id.hex()[:16]}", refused) from None
        finally:
            sink.close()
        sink.end()


def _fit(blobs: Iterable[Blob], room_bytes: int) -> tuple[list[Blob], list[Blob]]:
    """(those that there is room for, in their order, the others): one that is too large is no reason to go without the rest."""
    fitting: list[Blob] = []
    others: list[Blob] = []
    for blob in blobs:
        fits = blob.size_bytes <= room_bytes
        room_bytes -= blob.size_bytes if fits else 0
        (fitting if fits else others).append(blob)
    return fitting, others


def _sum(blobs: Iterable[Blob]) -> int:
    return sum(blob.size_bytes for blob in blobs)


def _read_frame(peer: Peer, body: bytes) -> OutputsFrame:
    try:
        return decode_strict(body, OutputsFrame)
    except ValueError as error:
        raise Permanent(
            f"node 0x{peer.address.hex()} sends what is no frame of outputs", code="malformed_answer"
        ) from error


class _Sink:
    """Where the files of one request go, one after the other; all of it blocks."""

    def __init__(self, store: BlobStore, blobs: Sequence[Blob], lease_id: Hash32) -> None:
        self.blobs, self.done, self.done_bytes = blobs, 0, 0
        self.missing: list[Blob] = []
        self.wrong: list[Blob] = []
        self._store, self._lease_id = store, lease_id
        self._at = 0
        self._folder = str(store.folder)
        self._new = f"{self._folder}/new-{secrets.token_hex(8)}.part"
        self._file: IO[bytes] | None = None
        self._digest: Any = None
        self._size = 0
        self._resumed = False

    def resume(self) -> int:
        """How much of the first file an earlier request has left here."""
        part = self._part(self.blobs[0])
        if not part.exists() or part.stat().st_size > self.blobs[0].size_bytes:
            part.unlink(missing_ok=True)
            return 0
        self._file = part.open("r+b")
        self._digest = hash_file(self._file)
        self._size = self._file.seek(0, 2)
        self._resumed = True
        return self._size

    def take(self, frame: OutputsFrame) -> None:
        """Write what has come. Raises Permanent when it is not in order, or more than was asked for."""
        for place, data in frame.pieces:
            if not self._at <= place < len(self.blobs):
                raise Permanent("the provider sends outputs out of order", code="malformed_answer")
            if place > self._at and self._file is not None:
                self.close()
                self._part(self.blobs[self._at]).unlink()
                self._reject(self.blobs[self._at])
            self._at = place
            try:
                self._add(self.blobs[place], data)
            except OSError as error:
                raise Permanent(f"outputs cannot be written to {self._store.folder}: {error.strerror}") from error
        self.missing += [self.blobs[place] for place in frame.missing if 0 <= place < len(self.blobs)]

    def _add(self, blob: Blob, data: bytes) -> None:
        if self._file is None and len(data) == blob.size_bytes:
            if hashlib.sha256(data).digest() == blob.sha256:
                try:
                    self._write_small(data)
                    self._settle(self._new, blob)
                except OSError:
                    Path(self._new).unlink(missing_ok=True)
                    raise
            else:
                self._reject(blob)
            return
        if self._file is None:
            self._file, self._digest, self._size = self._part(blob).open("wb"), hashlib.sha256(), 0
        self._size += len(data)
        if self._size > blob.size_bytes:
            self.close()
            self._part(blob).unlink()
            raise Permanent("the provider sends more than an output has", code="malformed_answer")
        self._digest.update(data)
        write_sparse(self._file, data)
        if self._size == blob.size_bytes:
            self._end_file(blob)

    def _write_small(self, data: bytes) -> None:
        """By the system calls alone: there may be 100,000 of them."""
        fd = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)

    def _end_file(self, blob: Blob) -> None:
        self.close()
        part, resumed = self._part(blob), self._resumed
        self._resumed = False
        if self._digest.digest() == blob.sha256:
            self._settle(part, blob)
            return
        part.unlink()
        if resumed:
            # It may be wrong through what was here before: only bytes all from one try convict the provider.
            raise Retryable("a file that was here in part has wrong bytes; getting it anew")
        self._reject(blob)

    def _settle(self, path: str | Path, blob: Blob) -> None:
        os.replace(path, f"{self._folder}/{blob.sha256.hex()}")  # noqa: PTH105 (Path costs as much as the call)
        self.done, self.done_bytes, self._at = self.done + 1, self.done_bytes + blob.size_bytes, self._at + 1

    def _reject(self, blob: Blob) -> None:
        self.wrong.append(blob)
        self._at += 1

    def close(self) -> None:
        """Close what is open; what has come of it is kept for the next try."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            with file:
                end_sparse(file)
        except OSError as error:
            raise Permanent(f"outputs cannot be written to {self._store.folder}: {error.strerror}") from error

    def end(self) -> None:
        """The stream has ended as it should. Raises Retryable when files did not come."""
        if self.done + len(self.missing) + len(self.wrong) < len(self.blobs):
            raise Retryable("the provider ended before all outputs had come")

    def _part(self, blob: Blob) -> Path:
        return self._store.folder / f"{blob.sha256.hex()}.{self._lease_id.hex()[:16]}.part"


def serve_outputs(net: Streams, store: BlobStore, find_blobs: FindBlobs) -> None:
    """Answer outputs.get from a store."""

    async def get(caller: Address, body: bytes, send: Callable[[bytes], Any]) -> None:
        request = _read_request(body)
        sums = request.wanted
        wanted = [Hash32(sums[start : start + SHA_BYTES]) for start in range(0, len(sums), SHA_BYTES)]
        allowed = await find_blobs(caller, request.lease_id)
        if not allowed.issuperset(wanted):
            raise RpcRefused(
                encode(
                    Refusal(
                        "outputs_unknown", f"no such outputs of a lease {request.lease_id.hex()[:16]} of yours here"
                    )
                )
            )
        frames = _make_frames([store.path(sha256) for sha256 in wanted], request.offset)
        while (frame := await trio.to_thread.run_sync(next, frames, None)) is not None:
            await send(encode(frame))

    net.serve_stream(OUTPUTS_GET, get)


def _make_frames(paths: Sequence[Path], offset: int) -> Iterator[OutputsFrame]:
    """The files' contents, many to a frame. Each step blocks."""
    pieces: list[tuple[int, bytes]] = []
    missing: list[int] = []
    room = FRAME_BYTES
    for place, path in enumerate(paths):
        try:
            with path.open("rb") as file:
                file.seek(offset if place == 0 else 0)
                is_first = True
                while (data := file.read(room)) or is_first:
                    pieces.append((place, data))
                    is_first, room = False, room - len(data)
                    if not room:
                        yield OutputsFrame(tuple(pieces), tuple(missing))
                        pieces, missing, room = [], [], FRAME_BYTES
        except OSError:
            missing.append(place)
        if len(pieces) >= MAX_FRAME_PIECES or len(missing) >= MAX_FRAME_PIECES:
            yield OutputsFrame(tuple(pieces), tuple(missing))
            pieces, missing, room = [], [], FRAME_BYTES
    yield OutputsFrame(tuple(pieces), tuple(missing))


def _read_request(body: bytes) -> OutputsRequest:
    with suppress(ValueError):
        request = decode_strict(body, OutputsRequest)
        size = len(request.wanted)
        is_list = 0 < size <= MAX_ASKED * SHA_BYTES and not size % SHA_BYTES
        if is_list and len(request.lease_id) == SHA_BYTES and request.offset >= 0:
            return request
    raise RpcRefused(encode(Refusal("outputs_request", f"a request is [lease, 1 to {MAX_ASKED} hashes, offset]")))
