"""Blobs between two processes, and what a store believes."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from metering.codec import decode_strict, encode
from metering.units import Address, Hash32
from scheduler.job import Blob
from tests.xnode.net.remote import Remote, ask, make_settings, start_remote
from xnode.errors import Permanent, Retryable
from xnode.net import blobs
from xnode.net.blobs import MAX_FETCHES, PIECE_BYTES, BlobRequest, BlobStore
from xnode.net.edge import Net, open_net
from xnode.net.identity import node_address_of
from xnode.ports.net import Peer, RpcRefused

pytestmark = pytest.mark.net

READER_SECRET = secrets.token_bytes(32)


@pytest.fixture
async def reader() -> AsyncIterator[Net]:
    """The other side of the lease."""
    async with open_net(make_settings(secret=READER_SECRET), time.time_ns) as opened:
        yield opened


@dataclass
class BlobServer(Remote):
    folder: Path

    def put(self, data: bytes, name: bytes | None = None) -> Blob:
        """A file where blobs are, under the hash of something else if it is to lie."""
        sha256 = name or hashlib.sha256(data).digest()
        (self.folder / sha256.hex()).write_bytes(data)
        return Blob(Hash32(sha256), len(data))


def start_server(folder: Path) -> BlobServer:
    remote = start_remote(blobs=str(folder), readers=[node_address_of(READER_SECRET).hex()])
    return BlobServer(**vars(remote), folder=folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobServer]:
    started = start_server(tmp_path_factory.mktemp("served"))
    yield started
    started.end()


@pytest.fixture
def mortal_server(tmp_path: Path) -> Iterator[BlobServer]:
    started = start_server(tmp_path / "served")
    yield started
    started.end()


@pytest.fixture
def store(reader: Net, tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "own", reader.stream)


async def test_blob_is_fetched_whole(store: BlobStore, server: BlobServer, tmp_path: Path) -> None:
    data = secrets.token_bytes(3 * PIECE_BYTES + 17)
    blob = server.put(data)
    seen: list[int] = []
    assert not store.has(blob)
    await store.fetch(server.peer, blob, seen.append)
    assert store.path(blob.sha256).read_bytes() == data
    assert store.has(blob)
    assert seen == sorted(seen) and seen[-1] == len(data)
    assert sorted(each.name for each in store.path(blob.sha256).parent.iterdir()) == [blob.sha256.hex()]


async def test_empty_blob_is_fetched(store: BlobStore, server: BlobServer, tmp_path: Path) -> None:
    blob = server.put(b"")
    await store.fetch(server.peer, blob, lambda done: None)
    assert store.path(blob.sha256).read_bytes() == b""


async def test_stranger_is_refused_as_if_there_were_no_blob(net: Net, server: BlobServer, tmp_path: Path) -> None:
    blob = server.put(b"not for you")
    store = BlobStore(tmp_path / "strange", net.stream)
    with pytest.raises(Permanent, match="blob_unknown"):
        await store.fetch(server.peer, blob, lambda done: None)


async def test_missing_blob_is_refused(store: BlobStore, server: BlobServer) -> None:
    with pytest.raises(Permanent, match="blob_unknown"):
        await store.fetch(server.peer, Blob(Hash32(bytes(32)), 5), lambda done: None)


async def test_fetch_goes_on_where_it_broke_off(store: BlobStore, mortal_server: BlobServer, tmp_path: Path) -> None:
    server, data = mortal_server, secrets.token_bytes(40 << 20)
    blob = server.put(data)
    broke_at: list[int] = []

    def stop_early(done: int) -> None:
        if done > 20 << 20 and not broke_at:
            broke_at.append(done)
            server.signal(signal.SIGKILL)

    with trio.fail_after(20), pytest.raises(Retryable):
        await store.fetch(server.peer, blob, stop_early)
    assert broke_at
    part = store.path(blob.sha256).with_suffix(".part")
    had = part.stat().st_size
    assert had >= 16 << 20
    # Another node has it too, but only what is missing: the first half there is zeros.
    again = BlobStore(tmp_path / "own", FakeStream(had, data[had:]).open)
    await again.fetch(server.peer, blob, lambda done: None)
    assert again.path(blob.sha256).read_bytes() == data


class FakeStream:
    """A peer that has only the end of a blob, and proves that only the end was asked for."""

    def __init__(self, offset: int, rest: bytes) -> None:
        self._expected = offset
        self._rest = rest

    @asynccontextmanager
    async def open(self, peer: Peer, method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        assert body.endswith(encode(self._expected))
        yield self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._rest), PIECE_BYTES):
            yield self._rest[start : start + PIECE_BYTES]


async def test_wrong_bytes_are_permanent_and_name_the_peer(
    store: BlobStore, server: BlobServer, tmp_path: Path
) -> None:
    blob = server.put(b"wrong bytes", name=hashlib.sha256(b"right bytes").digest())
    with pytest.raises(Permanent, match=f"0x{server.peer.address.hex()} has wrong bytes"):
        await store.fetch(server.peer, blob, lambda done: None)
    assert not store.has(blob)
    assert list(store.path(blob.sha256).parent.iterdir()) == []


async def test_more_bytes_than_the_blob_has_are_not_taken(store: BlobStore, server: BlobServer, tmp_path: Path) -> None:
    served = server.put(bytes(10 * PIECE_BYTES))
    with pytest.raises(Permanent, match="sends more than the 1000 bytes"):
        await store.fetch(server.peer, Blob(served.sha256, 1000), lambda done: None)


async def test_fewer_bytes_than_the_blob_has_are_wrong(store: BlobStore, server: BlobServer, tmp_path: Path) -> None:
    served = server.put(bytes(1000))
    with pytest.raises(Permanent, match="wrong bytes"):
        await store.fetch(server.peer, Blob(served.sha256, 2000), lambda done: None)


async def test_partial_file_that_was_damaged_is_fetched_anew(
    store: BlobStore, server: BlobServer, tmp_path: Path
) -> None:
    data = secrets.token_bytes(2 * PIECE_BYTES)
    blob = server.put(data)
    store.path(blob.sha256).with_suffix(".part").write_bytes(b"rotten")
    with pytest.raises(Retryable, match="anew"):
        await store.fetch(server.peer, blob, lambda done: None)
    await store.fetch(server.peer, blob, lambda done: None)
    assert store.path(blob.sha256).read_bytes() == data


async def test_full_disk_is_named_with_what_is_missing(
    store: BlobStore, server: BlobServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = server.put(bytes(1000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(Permanent, match=r"disk full: .*own lacks 268435456 bytes"):
        await store.fetch(server.peer, blob, lambda done: None)


@pytest.mark.parametrize("body", [b"", b"nonsense", encode(BlobRequest(Hash32(b"short"), 0)), encode((bytes(32), -1))])
async def test_malformed_blob_request_is_refused(reader: Net, server: BlobServer, body: bytes) -> None:
    with pytest.raises(RpcRefused):
        async with reader.stream(server.peer, "blob.get", body) as items:
            async for _ in items:
                pass


async def test_peers_that_drip_do_not_hold_up_what_others_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "TURN_S", 0.05)
    data = [bytes([number]) * 100 for number in range(MAX_FETCHES + 1)]
    names = [Blob(Hash32(hashlib.sha256(one).digest()), len(one)) for one in data]

    @asynccontextmanager
    async def open_stream(_peer: Peer, _method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        request = decode_strict(body, BlobRequest)
        which = next(number for number, one in enumerate(names) if one.sha256 == request.sha256)

        async def pieces() -> AsyncGenerator[bytes, None]:
            is_honest = which == MAX_FETCHES
            yield data[which][request.offset :] if is_honest else data[which][request.offset : request.offset + 1]
            if not is_honest:
                await trio.sleep_forever()

        async with aclosing(pieces()) as stream:
            yield stream

    store, peer = BlobStore(tmp_path / "blobs", open_stream), Peer(Address(bytes(20)))
    faults: list[Retryable] = []

    async def drip(blob: Blob) -> None:
        try:
            await store.fetch(peer, blob, lambda _bytes: None)
        except Retryable as fault:
            faults.append(fault)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for blob in names[:-1]:
                nursery.start_soon(drip, blob)
            await trio.testing.wait_all_tasks_blocked()
            await store.fetch(peer, names[-1], lambda _bytes: None)
    assert store.path(names[-1].sha256).read_bytes() == data[-1]
    assert len(faults) == MAX_FETCHES and "slowly" in str(faults[0])
    # What came in its turn is kept.
    part = tmp_path / "blobs" / f"{names[0].sha256.hex()}.part"
    assert part.stat().st_size == 1


async def test_two_fetches_of_one_blob_are_one(store: BlobStore, server: BlobServer, tmp_path: Path) -> None:
    blob = server.put(secrets.token_bytes(2 << 20))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(store.fetch, server.peer, blob, lambda done: None)
    assert store.has(blob)


async def test_file_is_added_by_its_hash(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_bytes(b"some input")
    blob = await store.add_file(source)
    assert blob == Blob(Hash32(hashlib.sha256(b"some input").digest()), 10)
    assert store.path(blob.sha256).read_bytes() == b"some input"
    assert await store.add_bytes(b"some input") == blob
    assert len(list(store.path(blob.sha256).parent.iterdir())) == 1


async def test_file_that_is_not_there_is_permanent(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="No such file"):
        await store.add_file(tmp_path / "nothing")


async def test_half_written_additions_are_cleared_at_start(store: BlobStore, tmp_path: Path) -> None:
    left = tmp_path / "own" / "new-0123.part"
    left.write_bytes(b"half")
    BlobStore(tmp_path / "own", FakeStream(0, b"").open)
    assert not left.exists()


async def test_blob_is_fetched_from_a_node_behind_nat(reader: Net, server: BlobServer, tmp_path: Path) -> None:
    # The one that can be dialed fetches from the one that cannot, over the connection the latter opened.
    from xnode.net.blobs import serve_blobs

    own = BlobStore(tmp_path / "own", reader.stream)
    serve_blobs(reader, own, lambda caller, sha256: caller == server.peer.address)
    data = secrets.token_bytes(2 << 20)
    blob = await own.add_bytes(data)
    path = await ask(reader, server, "fetch", blob.sha256 + blob.size_bytes.to_bytes(8, "big"))
    assert Path(path.decode()).read_bytes() == data  # noqa: ASYNC240
