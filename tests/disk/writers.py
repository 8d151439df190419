"""Writers: all of them, each with what may never be lost or half done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from metering.codec import encode
from metering.units import Hash32
from metering.usage import Counters
from scheduler.job import Blob, Image
from scheduler.outputs import FileEntry
from tests.disk.writer import Scene, Writer
from tests.make.records import LEASE_ID, make_running_lease
from tests.make.values import NOW_NS, address_of
from xnode import hole
from xnode.chain.send.tx_journal import Attempt, SqlTxJournal, TxCall, TxRecord
from xnode.cli.node.setup import ensure_node_key
from xnode.config.file import read_table, write_config
from xnode.console.image_list import ImageList, KeptImage
from xnode.delivery import deliver
from xnode.home import Home
from xnode.net.blobs import BlobStore
from xnode.net.known_peers import KnownPeer, read_known_peers, write_known_peers
from xnode.net.last_ports import note_ports, take_last_ports
from xnode.net.outputs import OutputFetcher, OutputsFrame
from xnode.node.changes import Entry, UsageRead
from xnode.node.state import kind_of
from xnode.peers.job_log import JobLog
from xnode.ports.net import Peer
from xnode.ports.store import LocalFile
from xnode.runtime.conmon.lease_folder import LeaseFolder, StopNote
from xnode.runtime.conmon.logs import copy_log
from xnode.runtime.conmon.stopwatch import start_stopwatch
from xnode.runtime.lease import outputs
from xnode.runtime.lease.inputs import link_inputs
from xnode.runtime.lease.pack import write_pack
from xnode.runtime.podman.command import write_if_changed
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal
from xnode.store.promises import SqlPromises
from xnode.store.pruning import Pruner
from xnode.wallet.keystore import MACHINE_ROUNDS, Keystore

DATA = bytes(range(256)) * 20_000
PEER = Peer(address_of(1), ())


def blob_of(data: bytes) -> Blob:
    return Blob(Hash32(hashlib.sha256(data).digest()), len(data))


def no_litter(folder: Path, *patterns: str) -> None:
    """Nothing half done is left under these names."""
    left = [str(path) for pattern in patterns for path in folder.glob(pattern)]
    assert not left, f"left behind: {left}"


# ------------------------------------------------------------------------------------------------------------ database


async def make_journal(folder: Path) -> Scene:
    """Entries are numbered on; what was acknowledged is there for whoever opens the file next."""
    url = f"sqlite:///{folder}/node.db"
    engine = open_database(url)
    journal = Journal(engine)
    acknowledged: list[int] = []

    def make_batch(seq: int) -> Batch:
        entry = Entry(NOW_NS + seq, bytes(32), UsageRead(LEASE_ID, Counters(seq, seq)))
        lease = make_running_lease(receipts=seq)
        return Batch([(seq, entry)], {(kind_of(type(lease)), lease.key): (lease, True)})

    async def act() -> None:
        for seq in range(len(acknowledged) + 1, 4):
            await journal.commit(make_batch(seq))
            acknowledged.append(seq)

    async def check(_done: bool) -> None:
        second = open_database(url)
        loaded = await Journal(second).load()
        second.dispose()
        assert loaded.seq == len(acknowledged), "acknowledged and lost, or never acknowledged and there"
        assert [one.receipts for one in loaded.records] == acknowledged[-1:]  # type: ignore[union-attr]

    return Scene(act, check)


def make_schema(folder: Path) -> Scene:
    """A database is made whole, or made the next time."""
    url = f"sqlite:///{folder}/node.db"

    def act() -> None:
        open_database(url).dispose()

    return Scene(act, lambda _done: None)


async def make_promise(folder: Path) -> Scene:
    """What stands, stands for ever: after an error either value may, but only one."""
    url = f"sqlite:///{folder}/node.db"
    promises, kept = SqlPromises(open_database(url)), list[bytes]()

    async def act() -> None:
        kept.append(await promises.keep("answer", b"subject", b"value" * 1000))

    async def check(_done: bool) -> None:
        engine = open_database(url)
        assert not kept or await SqlPromises(engine).find("answer", b"subject") == kept[0]
        engine.dispose()

    return Scene(act, check)


async def make_transaction(folder: Path) -> Scene:
    """A transaction whose nonce is given out is known after any crash."""
    url = f"sqlite:///{folder}/node.db"
    record = TxRecord("intent", TxCall(None, b"x" * 5000), 21_000, (Attempt(7, 1, 1, Hash32(bytes(32)), b"raw"),))
    journal, saved = SqlTxJournal(open_database(url), 1, address_of(0)), list[bool]()

    async def act() -> None:
        await journal.save(record)
        saved.append(True)

    async def check(_done: bool) -> None:
        engine = open_database(url)
        assert not saved or await SqlTxJournal(engine, 1, address_of(0)).load("intent") == record
        engine.dispose()

    return Scene(act, check)


async def make_pruning(folder: Path) -> Scene:
    """Pruning takes nothing that stands, wherever it is cut off."""
    url = f"sqlite:///{folder}/node.db"
    engine = open_database(url)
    lease = make_running_lease()
    old = [(seq, Entry(seq, bytes(32), UsageRead(Hash32(b"o" * 32), Counters(1, 1)))) for seq in range(1, 40)]
    live = [(seq, Entry(seq, bytes(32), UsageRead(LEASE_ID, Counters(1, 1)))) for seq in range(40, 50)]
    await Journal(engine).commit(Batch([*old, *live], {(kind_of(type(lease)), lease.key): (lease, True)}))

    async def act() -> None:
        await Pruner(engine).prune(1, NOW_NS)
        await Pruner(engine).give_back()

    async def check(_done: bool) -> None:
        second = open_database(url)
        journal = Journal(second)
        assert len(await journal.read_entries(LEASE_ID, ("UsageRead",))) == 10
        assert (await journal.load()).seq == 49
        second.dispose()

    return Scene(act, check)


# --------------------------------------------------------------------------------------------------------------- blobs


def stream_of(*frames: bytes) -> Any:
    @asynccontextmanager
    async def open_stream(_peer: Peer, _method: str, _body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        async def give() -> AsyncIterator[bytes]:
            for frame in frames:
                yield frame

        yield give()

    return open_stream


def check_blobs(folder: Path, *wanted: bytes) -> Any:
    """No blob has other bytes than its name says; after the end those wanted are there."""

    def check(done: bool) -> None:
        for path in (folder / "blobs").iterdir():
            if not path.name.endswith(".part"):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        no_litter(folder / "blobs", "new-*")
        if done:
            assert all((folder / "blobs" / hashlib.sha256(one).hexdigest()).exists() for one in wanted)

    return check


def make_added_bytes(folder: Path) -> Scene:
    store = BlobStore(folder / "blobs", stream_of())
    return Scene(lambda: store.add_bytes(DATA), check_blobs(folder, DATA))


def make_added_file(folder: Path) -> Scene:
    store, source = BlobStore(folder / "blobs", stream_of()), folder / "source"
    source.write_bytes(DATA)
    return Scene(lambda: store.add_file(source), check_blobs(folder, DATA))


def make_pack(folder: Path) -> Scene:
    store, source = BlobStore(folder / "blobs", stream_of()), folder / "source"
    source.write_bytes(DATA)
    files = [LocalFile("a", source, len(DATA), False)]
    return Scene(lambda: store.take_pieces(write_pack(files)), check_blobs(folder))


def make_fetched(folder: Path) -> Scene:
    """What has come may stay for the next try; the provider is never blamed for our disk."""
    pieces = [DATA[start : start + (256 << 10)] for start in range(0, len(DATA), 256 << 10)]

    @asynccontextmanager
    async def open_stream(_peer: Peer, _method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        from metering.codec import decode_strict
        from xnode.net.blobs import BlobRequest

        rest = DATA[decode_strict(body, BlobRequest).offset :]

        async def give() -> AsyncIterator[bytes]:
            for start in range(0, len(rest), len(pieces[0])):
                yield rest[start : start + len(pieces[0])]

        yield give()

    store = BlobStore(folder / "blobs", open_stream)
    return Scene(lambda: store.fetch(PEER, blob_of(DATA), lambda _done: None), check_blobs(folder, DATA))


def make_fetched_outputs(folder: Path) -> Scene:
    small, large = b"small", DATA[: 600 << 10]

    @asynccontextmanager
    async def open_stream(_peer: Peer, _method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        from metering.codec import decode_strict
        from xnode.net.outputs import OutputsRequest

        request = decode_strict(body, OutputsRequest)
        sums = [request.wanted[at : at + 32] for at in range(0, len(request.wanted), 32)]
        files = {hashlib.sha256(one).digest(): one for one in (small, large)}

        async def give() -> AsyncIterator[bytes]:
            for place, sha256 in enumerate(sums):
                rest = files[sha256][request.offset if place == 0 else 0 :]
                for at in range(0, max(1, len(rest)), 256 << 10):
                    yield encode(OutputsFrame(((place, rest[at : at + (256 << 10)]),)))

        yield give()

    store = BlobStore(folder / "blobs", open_stream)
    fetcher = OutputFetcher(store, open_stream)
    wanted = (blob_of(small), blob_of(large))
    return Scene(
        lambda: fetcher.fetch(PEER, LEASE_ID, wanted, lambda _files, _size: None), check_blobs(folder, small, large)
    )


def make_collected(folder: Path) -> Scene:
    """A file that cannot be kept is left out and named; the others are whole."""
    out, seen = folder / "out", list[Any]()
    (out / "sub").mkdir(parents=True)
    (out / "a").write_bytes(b"a" * 10)
    (out / "sub" / "b").write_bytes(DATA)
    (folder / "blobs").mkdir()

    def act() -> None:
        seen.append(outputs.collect(out, folder / "blobs", 1 << 30))

    def check(done: bool) -> None:
        check_blobs(folder)(done)
        if done:
            found = seen[-1]
            assert len(tuple(found.files())) + found.left_out_count == 2
            assert all((folder / "blobs" / one.blob.sha256.hex()).exists() for one in found.files())

    return Scene(act, check)


def make_delivered(folder: Path) -> Scene:
    """A user's file is never replaced by half of another."""
    (folder / "blobs").mkdir()
    (folder / "into").mkdir()
    (folder / "into" / "old").write_bytes(b"old")
    blob = blob_of(DATA)
    (folder / "blobs" / blob.sha256.hex()).write_bytes(DATA)
    entries = [FileEntry(b"old", blob), FileEntry(b"sub/new", blob)]

    def act() -> None:
        faults = deliver(entries, lambda sha256: folder / "blobs" / sha256.hex(), folder / "into", replace=True)
        if faults:
            from xnode.errors import Retryable

            raise Retryable(faults[0].reason)

    def check(done: bool) -> None:
        assert (folder / "into" / "old").read_bytes() in ((DATA,) if done else (b"old", DATA))
        new = folder / "into" / "sub" / "new"
        assert new.read_bytes() == DATA if done else not new.exists() or new.read_bytes() == DATA
        no_litter(folder / "into", "**/.xnode-*")

    return Scene(act, check)


# ---------------------------------------------------------------------------------------------------------- small files


def make_image_list(folder: Path) -> Scene:
    images = ImageList(folder / "images.json")
    first, second = (KeptImage(Image(f"sha256:{digit * 64}", 1), "linux/amd64", 1) for digit in "ab")
    images.add(first)

    def check(done: bool) -> None:
        assert images.all() in (((first, second),) if done else ((first,), (first, second)))
        no_litter(folder, "*.new")

    return Scene(lambda: images.add(second), check)


def make_ports(folder: Path) -> Scene:
    listen, file = ("/ip4/127.0.0.1/tcp/0",), folder / "ports.json"
    note_ports(file, listen, ("/ip4/127.0.0.1/tcp/1",))

    def check(done: bool) -> None:
        assert list(json.loads(file.read_text()).values()) in (([2],) if done else ([1], [2]))
        no_litter(folder, "*.new")
        take_last_ports(file, listen)

    return Scene(lambda: note_ports(file, listen, ("/ip4/127.0.0.1/tcp/2",)), check)


def make_known_peers(folder: Path) -> Scene:
    file, peers = folder / "peers.json", (KnownPeer("0x" + "ab" * 20, ("/ip4/192.0.2.1/tcp/1",), NOW_NS),)
    write_known_peers(file, ())

    def check(done: bool) -> None:
        assert read_known_peers(file, NOW_NS) in ((peers,) if done else ((), peers))
        no_litter(folder, "*.new")

    return Scene(lambda: write_known_peers(file, peers), check)


def make_settings(folder: Path) -> Scene:
    """What podman is told to read."""
    path = folder / "containers.conf"
    write_if_changed(path, "old", executable=False)

    def check(done: bool) -> None:
        assert path.read_text() in (("new",) if done else ("old", "new"))
        no_litter(folder, ".containers*")

    return Scene(lambda: write_if_changed(path, "new", executable=True), check)


def make_job_log(folder: Path) -> Scene:
    """No line doubles and none is lost, however often it is cut off."""
    mine = JobLog(folder / "logs", LEASE_ID)
    mine.append(5, b"line\n", ended=False)

    def act() -> None:
        offset = mine.read_offset()
        if offset < 10:
            mine.append(10, b"more\n", ended=True)

    def check(done: bool) -> None:
        offset = mine.read_offset()
        assert (offset, mine.path.read_bytes()) in (
            ((10, b"line\nmore\n"),) if done else ((5, b"line\n"), (10, b"line\nmore\n"))
        )
        no_litter(folder / "logs", "*.part", "*.new")

    return Scene(act, check)


def make_archive(folder: Path) -> Scene:
    (folder / "archive").mkdir()
    source, into = folder / "ctr.log", folder / "archive" / LEASE_ID.hex()
    source.write_bytes(b"0 stdout F line\n" * 9000)

    def check(done: bool) -> None:
        assert into.read_bytes() == source.read_bytes() if done else not into.exists() or into.stat().st_size > 100_000
        no_litter(folder / "archive", "*.part")

    return Scene(lambda: copy_log(source, into), check)


def make_hole(folder: Path) -> Scene:
    log = folder / "log"
    log.write_bytes((b"x" * 99 + b"\n") * 1000)

    def act() -> None:
        hole.write_hole(log, hole.Hole(100, 200))

    def check(done: bool) -> None:
        assert hole.read_hole(log) in ((hole.Hole(100, 200),) if done else (None, hole.Hole(100, 200)))
        no_litter(folder, "*.new")

    return Scene(act, check)


def make_config(folder: Path) -> Scene:
    home = Home(folder / "home")
    before = {"chain": {"manifest": "a.toml"}}
    write_config(home, before)
    after = {"chain": {"manifest": "b.toml"}}

    def check(done: bool) -> None:
        manifest = read_table(home)["chain"]["manifest"]
        assert manifest in (("b.toml",) if done else ("a.toml", "b.toml"))
        no_litter(home.folder, "*.new")

    return Scene(lambda: write_config(home, after), check)


def make_wallet(folder: Path) -> Scene:
    """A key that was said to be made can be opened; one that was not leaves nothing."""
    store, made = Keystore(folder / "keystore"), list[Any]()

    async def act() -> None:
        if not made:
            made.append(await store.make_new("mine", "password", MACHINE_ROUNDS))

    async def check(_done: bool) -> None:
        no_litter(folder / "keystore", ".*.new")
        found = [one.name for one in store.list()] if (folder / "keystore").exists() else []
        assert bool(found) >= bool(made)
        if made:
            await store.load("mine", "password")
        for path in (folder / "keystore").glob("mine") if not made else ():
            path.unlink()  # a person moves it away: the name is taken

    return Scene(act, check)


def make_node_key(folder: Path) -> Scene:
    home = Home(folder / "home")
    config: Any = SimpleNamespace(home=home, node=SimpleNamespace(password_file=home.password, database_url=""))

    async def act() -> None:
        await trio.to_thread.run_sync(ensure_node_key, config)

    async def check(done: bool) -> None:
        if home.node_key.exists():
            await Keystore(home.node_key).load("", home.password.read_text().rstrip("\n"))
        assert home.node_key.exists() or not done

    return Scene(act, check)


def make_lease_folder(folder: Path) -> Scene:
    from tests.make.records import JOB
    from xnode.ports.runtime import WorkloadSpec
    from xnode.runtime.conmon.lease_folder import make_record
    from xnode.runtime.host.reservations import Reserved

    spec = WorkloadSpec(LEASE_ID, JOB.image, (), (), (), JOB.resources, False, 1)
    record, lease = make_record(spec, "boot", "image", Reserved(1), 15), LeaseFolder(folder / "lease", folder)
    note = StopNote(1)

    def act() -> None:
        lease.write_record(record)
        lease.write_names("hosts", "resolv")
        lease.write_owner(5)
        assert lease.write_stop(note) == note

    def check(done: bool) -> None:
        assert lease.read_record() in ((record,) if done else (None, record))
        assert lease.read_stop() in ((note,) if done else (None, note))

    return Scene(act, check)


def make_stopwatch(folder: Path) -> Scene:
    path = folder / "stopwatch"

    def check(done: bool) -> None:
        assert path.exists() or not done
        assert not path.exists() or int(path.read_text())

    return Scene(lambda: start_stopwatch(path, 1), check)


def make_inputs(folder: Path) -> Scene:
    (folder / "source").write_bytes(DATA)
    store = BlobStore(folder / "blobs", stream_of())
    pack = store.take_pieces(write_pack([LocalFile("packed/b", folder / "source", len(DATA), True)]))
    inputs = (("a", folder / "source"), ("run", folder / "source"), ("*", store.path(pack.sha256)))

    def act() -> None:
        link_inputs(inputs, folder / "in", frozenset({"run"}), frozenset({"*"}))

    def check(done: bool) -> None:
        if done:
            assert all((folder / "in" / name).read_bytes() == DATA for name in ("a", "run", "packed/b"))

    return Scene(act, check)


WRITERS = [
    Writer("the journal", make_journal),
    Writer("a new database", make_schema),
    Writer("a promise", make_promise),
    Writer("a transaction", make_transaction),
    Writer("pruning", make_pruning),
    Writer("bytes added to the blobs", make_added_bytes),
    Writer("a file added to the blobs", make_added_file),
    Writer("packed inputs", make_pack),
    Writer("a blob fetched", make_fetched),
    Writer("outputs fetched", make_fetched_outputs),
    Writer("outputs collected", make_collected),
    Writer("outputs delivered", make_delivered),
    Writer("the image list", make_image_list),
    Writer("the ports", make_ports),
    Writer("the known peers", make_known_peers),
    Writer("podman's settings", make_settings),
    Writer("a job's log", make_job_log),
    Writer("a log in the archive", make_archive),
    Writer("a log's hole", make_hole),
    Writer("the config", make_config),
    Writer("a wallet", make_wallet),
    Writer("the node key", make_node_key),
    Writer("a lease's folder", make_lease_folder),
    Writer("a stopwatch", make_stopwatch),
    Writer("a lease's inputs", make_inputs),
]
