"""Outputs of one lease between two processes: many files in one stream, and what a store believes of them."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from metering.codec import encode
from metering.refusal import Refusal
from metering.units import Address, Hash32
from scheduler.job import Blob
from tests.xnode.net.remote import make_settings
from tests.xnode.net.test_blobs import READER_SECRET, BlobServer, start_server
from xnode.errors import Permanent, Retryable
from xnode.net.blobs import BlobStore
from xnode.net.edge import Net, open_net
from xnode.net.outputs import OutputFetcher, OutputsFrame
from xnode.ports.net import Peer, RpcRefused
from xnode.ports.store import Fetched

pytestmark = pytest.mark.net

LEASE = Hash32(b"\x07" * 32)
GONE = Blob(Hash32(bytes(32)), 5)
"""What the server may give, and has no more."""


@pytest.fixture
async def reader() -> AsyncIterator[Net]:
    async with open_net(make_settings(secret=READER_SECRET), time.time_ns) as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BlobServer]:
    started = start_server(tmp_path / "served")
    yield started
    started.end()


@pytest.fixture
def store(reader: Net, tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "own", reader.stream)


def ignore(_files: int, _size: int) -> None:
    """Of no interest."""


async def test_ten_thousand_small_files_come_in_one_stream(reader: Net, store: BlobStore, server: BlobServer) -> None:
    blobs = [server.put(b"%08d" % number + bytes(992)) for number in range(10_000)]
    seen: list[tuple[int, int]] = []
    fetcher = OutputFetcher(store, reader.stream)
    with trio.fail_after(20):
        fetched = await fetcher.fetch(server.peer, LEASE, blobs, lambda *done: seen.append(done))
    assert fetched == Fetched()
    assert all(store.path(blob.sha256).read_bytes()[:8] == b"%08d" % number for number, blob in enumerate(blobs))
    assert seen[-1] == (10_000, 10_000_000) and seen == sorted(seen)


async def test_large_small_and_empty_files_come_in_any_order(reader: Net, store: BlobStore, server: BlobServer) -> None:
    sizes = (5, 3_000_000, 0, 262_144, 1, 700_000, 262_143)
    blobs = [server.put(secrets.token_bytes(size)) for size in sizes]
    hole = server.put(bytes(20_000_000))
    assert (
        await OutputFetcher(store, reader.stream).fetch(server.peer, LEASE, (*blobs, hole, blobs[0]), ignore)
        == Fetched()
    )
    for blob in (*blobs, hole):
        assert hashlib.sha256(store.path(blob.sha256).read_bytes()).digest() == blob.sha256
    assert store.path(hole.sha256).stat().st_blocks * 512 < 1_000_000, "a hole stays one"


async def test_what_is_gone_or_wrong_is_said_and_the_rest_comes(
    reader: Net, store: BlobStore, server: BlobServer
) -> None:
    good = [server.put(secrets.token_bytes(100_000)) for _ in range(5)]
    wrong = server.put(b"another", name=hashlib.sha256(b"promised").digest())
    short = Blob(server.put(bytes(1_000)).sha256, 2_000)
    wanted = [good[0], GONE, good[1], Blob(wrong.sha256, 8), good[2], short, good[3], good[4]]
    fetched = await OutputFetcher(store, reader.stream).fetch(server.peer, LEASE, wanted, ignore)
    assert fetched == Fetched(missing=(GONE,), wrong=(Blob(wrong.sha256, 8), short))
    assert all(store.has(blob) for blob in good)


async def test_what_an_earlier_job_left_here_too_is_kept_as_long_as_if_it_had_come_now(
    reader: Net, store: BlobStore, server: BlobServer
) -> None:
    old, new = server.put(b"the same of every job"), server.put(b"of this one")
    fetcher = OutputFetcher(store, reader.stream)
    await fetcher.fetch(server.peer, LEASE, [old], ignore)
    os.utime(store.path(old.sha256), (0, 0))
    begin_ns = store.path(old.sha256).stat().st_ctime_ns

    await fetcher.fetch(server.peer, LEASE, [old, new], ignore)

    assert store.path(old.sha256).stat().st_mtime_ns >= begin_ns
    assert not store.use(GONE)


async def test_a_file_that_the_disk_has_no_room_for_holds_up_no_other(
    reader: Net, store: BlobStore, server: BlobServer
) -> None:
    good = [server.put(secrets.token_bytes(100_000)) for _ in range(3)]
    huge = Blob(server.put(b"a sparse one").sha256, 1 << 60)
    with pytest.raises(Permanent, match="disk full"):
        await OutputFetcher(store, reader.stream).fetch(server.peer, LEASE, [good[0], huge, *good[1:]], ignore)
    assert all(store.has(blob) for blob in good)


async def test_a_stream_that_broke_goes_on_where_it_was(reader: Net, store: BlobStore, server: BlobServer) -> None:
    blobs = [server.put(secrets.token_bytes(size)) for size in (1_000, 60 << 20, 2_000)]
    fetcher = OutputFetcher(store, reader.stream)
    frames = 0

    def stop_early(_files: int, _size: int) -> None:
        nonlocal frames
        frames += 1
        if frames == 100:
            server.signal(signal.SIGKILL)

    with trio.fail_after(30), pytest.raises(Retryable):
        await fetcher.fetch(server.peer, LEASE, blobs, stop_early)
    assert store.has(blobs[0])
    (part,) = store.folder.glob("*.part")
    assert part.stat().st_size >= 20 << 20
    served = {blob.sha256: (server.folder / blob.sha256.hex()).read_bytes() for blob in blobs}
    again = OutputFetcher(store, Answers(served, offset=part.stat().st_size).open)
    assert await again.fetch(server.peer, LEASE, blobs, ignore) == Fetched()
    assert all(hashlib.sha256(store.path(blob.sha256).read_bytes()).digest() == blob.sha256 for blob in blobs)


class Answers:
    """A provider in this process. It proves that only what was lacking is asked for."""

    def __init__(self, served: dict[Hash32, bytes], offset: int = 0) -> None:
        self._served, self._offset = served, offset
        self.asked: list[bytes] = []

    @asynccontextmanager
    async def open(self, _peer: Peer, _method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        assert body.endswith(encode(self._offset))
        self.asked.append(body)
        yield self._frames(body)

    async def _frames(self, body: bytes) -> AsyncIterator[bytes]:
        wanted = sorted((body.find(sha256), data) for sha256, data in self._served.items() if bytes(sha256) in body)
        for place, (_, data) in enumerate(wanted):
            data = data[self._offset :] if place == 0 else data
            for start in range(0, len(data), 250_000):
                yield encode(OutputsFrame(((place, data[start : start + 250_000]),)))


async def test_a_part_that_was_damaged_is_fetched_anew(store: BlobStore) -> None:
    data = secrets.token_bytes(300_000)
    blob = Blob(Hash32(hashlib.sha256(data).digest()), len(data))
    part = store.folder / f"{blob.sha256.hex()}.{LEASE.hex()[:16]}.part"
    part.write_bytes(b"rotten")
    peer = Peer(Address(bytes(20)))
    with pytest.raises(Retryable, match="anew"):
        await OutputFetcher(store, Answers({blob.sha256: data}, offset=6).open).fetch(peer, LEASE, (blob,), ignore)
    assert (
        await OutputFetcher(store, Answers({blob.sha256: data}).open).fetch(peer, LEASE, (blob,), ignore) == Fetched()
    )


@pytest.mark.parametrize(
    "frames, fault",
    [
        ([OutputsFrame(((1, b"x"),))], Permanent),
        ([OutputsFrame(((-1, b"x"),))], Permanent),
        ([OutputsFrame(((0, bytes(101)),))], Permanent),
        ([OutputsFrame(((0, bytes(60)),)), OutputsFrame(((0, bytes(60)),))], Permanent),
        ([b"nonsense"], Permanent),
        ([OutputsFrame(())], Retryable),
        ([], Retryable),
    ],
    ids=["beyond", "before", "more at once", "more in two", "nonsense", "empty", "nothing"],
)
async def test_a_provider_that_breaks_the_protocol_leaves_nothing(
    store: BlobStore, frames: list[OutputsFrame | bytes], fault: type[Exception]
) -> None:
    @asynccontextmanager
    async def open_stream(_peer: Peer, _method: str, _body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        async def give() -> AsyncGenerator[bytes, None]:
            for frame in frames:
                yield frame if isinstance(frame, bytes) else encode(frame)

        async with aclosing(give()) as items:
            yield items

    with pytest.raises(fault):
        await OutputFetcher(store, open_stream).fetch(Peer(Address(bytes(20))), LEASE, (Blob(LEASE, 100),), ignore)
    assert list(store.folder.iterdir()) == []


async def test_a_busy_provider_is_asked_again_and_another_refusal_stands(store: BlobStore) -> None:
    def refusing(code: str) -> OutputFetcher:
        @asynccontextmanager
        async def open_stream(_peer: Peer, _method: str, _body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
            raise RpcRefused(encode(Refusal(code, "why")))
            yield

        return OutputFetcher(store, open_stream)

    with pytest.raises(Retryable):
        await refusing("busy").fetch(Peer(Address(bytes(20))), LEASE, (GONE,), ignore)
    with pytest.raises(Permanent) as refused:
        await refusing("outputs_unknown").fetch(Peer(Address(bytes(20))), LEASE, (GONE,), ignore)
    assert refused.value.reason_code == "outputs_unknown"


async def test_a_stranger_gets_nothing(net: Net, server: BlobServer, tmp_path: Path) -> None:
    blob = server.put(b"not for you")
    fetcher = OutputFetcher(BlobStore(tmp_path / "strange", net.stream), net.stream)
    with pytest.raises(Permanent, match="outputs_unknown"):
        await fetcher.fetch(server.peer, LEASE, (blob,), ignore)


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", encode((LEASE, b"", 0)), encode((LEASE, bytes(31), 0)), encode((b"", bytes(32), 0))]
)
async def test_a_malformed_request_is_refused(reader: Net, server: BlobServer, body: bytes) -> None:
    with pytest.raises(RpcRefused):
        async with reader.stream(server.peer, "outputs.get", body) as items:
            async for _ in items:
                pass


async def test_blobs_asked_for_one_by_one_are_slowed_down_and_never_refused(
    store: BlobStore, server: BlobServer
) -> None:
    blobs = [server.put(b"%d" % number) for number in range(90)]
    with trio.fail_after(30):
        for blob in blobs:
            await store.fetch(server.peer, blob, lambda _done: None)
    assert all(store.has(blob) for blob in blobs)
