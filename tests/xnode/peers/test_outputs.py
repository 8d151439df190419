"""Outputs between a provider's shelf and a submitter's taker: for the lease's own submitter only, and never all or
nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from metering.codec import decode
from metering.refusal import Refusal
from metering.units import Hash32
from scheduler.job import Blob, OutputFile
from scheduler.outputs import (
    MAX_COUNT,
    MAX_INVENTORY_BYTES,
    FileEntry,
    Inventory,
    LeftOut,
    LinkEntry,
    OutputSummary,
    encode_inventory,
)
from tests.make.records import LEASE_ID, make_running_lease
from tests.make.values import address_of
from xnode.errors import Permanent, Retryable, Unreachable
from xnode.net.blobs import BlobStore
from xnode.node.records import OutputsHere, ProviderLease
from xnode.node.state import make_state
from xnode.node.submitter.outputs import MAX_VAIN_TRIES, describe_outputs
from xnode.peers.output_shelf import OutputShelf
from xnode.peers.output_taker import OutputTaker
from xnode.ports.net import Peer, RpcRefused
from xnode.ports.store import Fetched, FetchProgress

SUBMITTER, STRANGER = address_of(0), address_of(77)
PEER = Peer(address_of(1))
LIMIT = 10_000


def blob_of(data: bytes) -> Blob:
    return Blob(Hash32(hashlib.sha256(data).digest()), len(data))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", lambda *_request: None)  # type: ignore[arg-type]  # not called


# -------------------------------------------------------------------------------------------------------------- the shelf


@dataclass
class Archive:
    """xnode.ports.Records with one lease."""

    lease: ProviderLease | None

    async def read_record(self, _kind: type[Any], _key: bytes) -> ProviderLease | None:
        return self.lease


async def put_lease(store: BlobStore) -> tuple[ProviderLease, set[Hash32]]:
    found = Inventory((FileEntry(b"a", blob_of(b"a")), LinkEntry(b"b", b"a"), FileEntry(b"c", blob_of(b"c"))))
    inventory = await store.add_bytes(encode_inventory(found))
    lease = make_running_lease(status="settled", left=found.summary(inventory))
    return lease, {inventory.sha256, blob_of(b"a").sha256, blob_of(b"c").sha256}


@pytest.mark.parametrize("is_archived", [False, True])
async def test_a_submitter_finds_what_its_lease_left_also_long_after(store: BlobStore, is_archived: bool) -> None:
    lease, expected = await put_lease(store)
    loop: Any = SimpleNamespace(state=make_state([] if is_archived else [lease]))
    records: Any = Archive(lease if is_archived else None)
    shelf = OutputShelf(loop, records, store)
    assert await shelf.find_blobs(SUBMITTER, LEASE_ID) == expected
    with pytest.raises(RpcRefused) as refused:
        await shelf.find_blobs(STRANGER, LEASE_ID)
    assert decode(refused.value.body, Refusal).code == "lease_unknown"


async def test_outputs_that_a_version_up_to_0_2_noted_are_found(store: BlobStore) -> None:
    lease = make_running_lease(status="settled", outputs=(OutputFile("a", blob_of(b"a")),))
    loop: Any = SimpleNamespace(state=make_state([lease]))
    records: Any = Archive(None)
    assert await OutputShelf(loop, records, store).find_blobs(SUBMITTER, LEASE_ID) == {blob_of(b"a").sha256}


# -------------------------------------------------------------------------------------------------------------- the taker


@dataclass
class Provider:
    """xnode.ports.OutputFetcher: a provider that has these bytes. fault: raised for all but the list."""

    store: BlobStore
    has: dict[Hash32, bytes] = field(default_factory=dict)
    fault: Exception | None = None
    brings: int = 0
    asked: list[Blob] = field(default_factory=list)

    def put(self, data: bytes) -> Blob:
        blob = blob_of(data)
        self.has[blob.sha256] = data
        return blob

    async def fetch(self, _peer: Peer, _lease_id: Hash32, blobs: Iterable[Blob], progress: FetchProgress) -> Fetched:
        lacking = [blob for blob in blobs if not self.store.has(blob)]
        if self.fault is not None and len(lacking) > 1:
            if self.brings:
                progress(1, self.brings)
            raise self.fault
        self.asked += lacking
        for blob in lacking:
            if blob.sha256 in self.has:
                await self.store.add_bytes(self.has[blob.sha256])
        progress(1, 1)
        return Fetched(missing=tuple(blob for blob in lacking if blob.sha256 not in self.has))


@pytest.fixture
def provider(store: BlobStore) -> Provider:
    return Provider(store)


def list_outputs(provider: Provider, *names: bytes) -> OutputSummary:
    entries = tuple(FileEntry(name, provider.put(b"content of " + name)) for name in names)
    found = Inventory(entries, (LeftOut(b"pipe", "a pipe"),), 1)
    return found.summary(provider.put(encode_inventory(found)))


async def test_all_that_is_listed_comes_and_is_delivered(provider: Provider, store: BlobStore, tmp_path: Path) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a", b"sub/b")
    here = await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    assert here.is_whole and (here.entries, here.size_bytes, here.left_out) == (2, 28, 1) and taker.progress == {}
    here = await taker.deliver(here, (), str(tmp_path / "results"), "1234")
    assert here.is_whole and here.folder == str(tmp_path / "results")
    assert (tmp_path / "results/sub/b").read_bytes() == b"content of sub/b"
    (tmp_path / "results/a").write_text("mine")
    again = await taker.deliver(here, (), str(tmp_path / "results"), "1234")
    assert again.folder == str(tmp_path / "results-1234") and (tmp_path / "results/a").read_text() == "mine"


async def test_a_provider_that_breaks_off_again_and_again_is_not_tried_for_ever(
    provider: Provider, store: BlobStore
) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a", b"b")
    for fault, tries in ((Unreachable("no way"), 3 * MAX_VAIN_TRIES), (Retryable("it broke off"), MAX_VAIN_TRIES - 1)):
        provider.fault = fault
        for _ in range(tries):
            with pytest.raises(Retryable):
                await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    here = await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    assert here.missing == 2 and here.fault == f"{MAX_VAIN_TRIES} tries brought nothing more of them: it broke off"
    with pytest.raises(Retryable):
        await taker.take(PEER, LEASE_ID, left, LIMIT, ())


async def test_tries_that_bring_something_are_not_vain(provider: Provider, store: BlobStore) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a", b"b")
    provider.fault = Retryable("it broke off")
    for files in range(3 * MAX_VAIN_TRIES):
        provider.brings = files
        with pytest.raises(Retryable):
            await taker.take(PEER, LEASE_ID, left, LIMIT, ())


async def test_only_what_is_wanted_is_fetched_and_what_is_lacking_of_it_is_counted(
    provider: Provider, store: BlobStore, tmp_path: Path
) -> None:
    left = list_outputs(provider, b"a.csv", b"b.bin")
    here = await OutputTaker(store, provider).take(PEER, LEASE_ID, left, LIMIT, ("*.csv", "pi*"))
    assert [blob for blob in provider.asked if blob != left.inventory] == [blob_of(b"content of a.csv")]
    assert (here.missing, here.lacking, here.is_whole) == (0, 1, False)
    here = await OutputTaker(store, provider).deliver(here, ("*.csv",), str(tmp_path / "results"), "1234")
    assert [one.name for one in (tmp_path / "results").iterdir()] == ["a.csv"]
    assert f"2 outputs, 32 bytes, 1 of those left out are wanted by the job, 1 of them in {tmp_path}/results" in (
        describe_outputs(replace(here, left_out=0))
    )
    here = await OutputTaker(store, provider).deliver(here, ("*.tsv",), str(tmp_path / "none"), "1234")
    assert here.placed == 0 and f"none of them put into {tmp_path}/none" in describe_outputs(here)


async def test_what_the_provider_has_no_more_is_counted_and_the_rest_delivered(
    provider: Provider, store: BlobStore, tmp_path: Path
) -> None:
    left = list_outputs(provider, b"a", b"b")
    del provider.has[blob_of(b"content of b").sha256]
    taker = OutputTaker(store, provider)
    here = await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    assert (here.entries, here.missing, here.fault) == (2, 1, "the provider has 1 of them no more")
    here = await taker.deliver(here, (), str(tmp_path / "results"), "1234")
    assert [one.name for one in (tmp_path / "results").iterdir()] == ["a"] and here.missing == 1


async def test_a_folder_that_cannot_be_written_is_named(provider: Provider, store: BlobStore, tmp_path: Path) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a")
    (tmp_path / "file").write_text("no folder")
    here = await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    here = await taker.deliver(here, (), str(tmp_path / "file/results"), "1234")
    assert not here.is_whole and here.folder == "" and "cannot be written" in here.fault


@pytest.mark.parametrize("inventory", [Blob(Hash32(bytes(32)), 5), Blob(Hash32(bytes(32)), MAX_INVENTORY_BYTES + 1)])
async def test_a_list_that_cannot_be_had_leaves_all_missing(
    provider: Provider, store: BlobStore, inventory: Blob
) -> None:
    left = replace(list_outputs(provider, b"a", b"b"), inventory=inventory)
    here = await OutputTaker(store, provider).take(PEER, LEASE_ID, left, LIMIT, ())
    assert (here.entries, here.missing, here.is_whole) == (0, 2, False) and "list of outputs" in here.fault
    assert await OutputTaker(store, provider).deliver(here, (), "/nowhere", "1234") == here


async def test_a_list_that_breaks_the_rules_is_taken_as_far_as_it_keeps_them(
    provider: Provider, store: BlobStore
) -> None:
    left = list_outputs(provider, b"../key", b"good")
    here = await OutputTaker(store, provider).take(PEER, LEASE_ID, left, LIMIT, ())
    assert (here.entries, here.left_out, here.missing, here.is_whole) == (1, 2, 1, False)
    assert here.fault == "the provider's list gives 1 of the 2 outputs that it counts"
    assert b"../key" in {one.path for one in here.first} and blob_of(b"content of ../key") not in provider.asked


@pytest.mark.parametrize("data", [b"", b"\xff" * 5_000])
async def test_a_list_without_what_the_provider_counts_is_not_whole(
    provider: Provider, store: BlobStore, data: bytes
) -> None:
    left = replace(list_outputs(provider, b"a", b"b"), inventory=provider.put(data), entries=2**64 - 1)
    here = await OutputTaker(store, provider).take(PEER, LEASE_ID, left, LIMIT, ())
    assert (here.entries, here.missing, here.is_whole) == (0, MAX_COUNT, False) and "that it counts" in here.fault


async def test_a_provider_away_is_asked_again_and_one_that_refuses_is_counted(
    provider: Provider, store: BlobStore
) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a", b"b")
    provider.fault = Retryable("cannot be reached")
    with pytest.raises(Retryable):
        await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    provider.fault = Permanent("does not give them: lease_unknown")
    here = await taker.take(PEER, LEASE_ID, left, LIMIT, ())
    assert (here.entries, here.missing) == (2, 2) and "lease_unknown" in here.fault and taker.progress == {}


async def test_what_a_version_up_to_0_2_listed_is_fetched(provider: Provider, store: BlobStore) -> None:
    older = (OutputFile("b", provider.put(b"b")), OutputFile("a", provider.put(b"a")))
    here = await OutputTaker(store, provider).take(PEER, LEASE_ID, OutputSummary(), LIMIT, (), older)
    assert here.is_whole and (here.entries, here.size_bytes) == (2, 2)


async def test_a_fetch_that_a_user_began_says_how_it_ended(provider: Provider, store: BlobStore) -> None:
    taker, left = OutputTaker(store, provider), list_outputs(provider, b"a", b"b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(taker.run)
        await trio.testing.wait_all_tasks_blocked()
        provider.fault = Retryable("cannot be reached")
        failed = taker.begin(PEER, LEASE_ID, left, LIMIT, (), ())
        await failed.done.wait()
        assert (failed.here, failed.fault) == (None, "cannot be reached")
        provider.fault = None
        fetching = taker.begin(PEER, LEASE_ID, left, LIMIT, (), ())
        await fetching.done.wait()
        assert isinstance(fetching.here, OutputsHere) and fetching.here.is_whole
        nursery.cancel_scope.cancel()
