"""Output taker: what a workload of ours left, from its provider into our blob store and from there where the user wants
it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trio

from metering.units import Hash32
from scheduler.job import Blob, OutputFile
from scheduler.outputs import (
    MAX_COUNT,
    MAX_FIRST,
    MAX_INVENTORY_BYTES,
    FileEntry,
    Inventory,
    LeftOut,
    OutputSummary,
    encode_inventory,
    is_wanted,
    path_order,
    read_inventory,
)
from xnode.delivery import deliver_beside
from xnode.errors import Permanent, Retryable, Unreachable
from xnode.node.records import OutputsHere
from xnode.node.submitter.outputs import MAX_VAIN_TRIES
from xnode.ports.net import Peer
from xnode.ports.store import Blobs, Fetched, OutputFetcher

MAX_FETCHES = 1_000
"""Leases whose vain tries are counted at once; a fetch that ends by its deadline leaves its count behind."""


@dataclass(slots=True)
class Fetching:
    """A fetch that our user asked for. here: once it is done, unless the provider could not be reached: then fault."""

    done: trio.Event = field(default_factory=trio.Event)
    here: OutputsHere | None = None
    fault: str = ""


@dataclass(slots=True)
class _Vain:
    """How it went with the tries for one lease. most: files and bytes that were here at most; tries: since then."""

    most: tuple[int, int] = (0, 0)
    tries: int = 0


@dataclass(slots=True)
class OutputTaker:
    """ports.store.Outputs over the blob store. progress: files and bytes that are here, of the leases whose outputs come
    just now."""

    blobs: Blobs
    fetcher: OutputFetcher
    progress: dict[Hash32, tuple[int, int]] = field(default_factory=dict)
    _vain: dict[Hash32, _Vain] = field(default_factory=dict)
    _nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Do what begin() begins, forever."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def begin(
        self, peer: Peer, lease_id: Hash32, left: OutputSummary, limit_bytes: int, only: tuple[str, ...],
        older: tuple[OutputFile, ...],
    ) -> Fetching:  # fmt: skip
        """Begin take() for somebody who looks at it now and then."""
        assert self._nursery is not None
        fetching = Fetching()

        async def fetch() -> None:
            try:
                fetching.here = await self.take(peer, lease_id, left, limit_bytes, only, older)
            except Retryable as error:
                fetching.fault = str(error)
            finally:
                fetching.done.set()

        self._nursery.start_soon(fetch)
        return fetching

    async def find_inventory(
        self, peer: Peer, lease_id: Hash32, left: OutputSummary, limit_bytes: int, older: tuple[OutputFile, ...] = ()
    ) -> tuple[Inventory, Blob]:
        """What the workload left, as far as it keeps the rules, and the blob that says so."""
        if left.inventory is not None:
            data = await self._fetch_list(peer, lease_id, left.inventory)
            found = await trio.to_thread.run_sync(read_inventory, data, limit_bytes, left.left_out)
        else:
            found = read_inventory(encode_inventory(make_inventory(older)), limit_bytes)
        return found, await self.blobs.add_bytes(await trio.to_thread.run_sync(encode_inventory, found))

    async def _fetch_list(self, peer: Peer, lease_id: Hash32, blob: Blob) -> bytes:
        if blob.size_bytes > MAX_INVENTORY_BYTES or len(blob.sha256) != 32:
            raise Permanent(f"the provider's list of outputs has {blob.size_bytes} bytes", code="outputs_list")
        fetched = await self.fetcher.fetch(peer, lease_id, (blob,), lambda _files, _size: None)
        if fetched.missing or fetched.wrong:
            raise Permanent("the provider has not the list of outputs that it named", code="outputs_list")
        return await trio.to_thread.run_sync(self.blobs.path(blob.sha256).read_bytes)

    async def take(
        self, peer: Peer, lease_id: Hash32, left: OutputSummary, limit_bytes: int, only: tuple[str, ...],
        older: tuple[OutputFile, ...] = (),
    ) -> OutputsHere:  # fmt: skip
        """Get the list and the wanted files. What cannot be had is counted, never raised; Retryable when the provider
        cannot be reached, or breaks off: but not forever, when nothing more comes."""
        try:
            here = await self._take(peer, lease_id, left, limit_bytes, only, older)
        except Unreachable:
            raise
        except Retryable as error:
            vain = self._vain_of(lease_id)
            vain.tries += 1
            if vain.tries < MAX_VAIN_TRIES:
                raise
            fault = f"{vain.tries} tries brought nothing more of them: {error}"
            here = OutputsHere(
                left_out=left.left_out, first=left.first, missing=left.entries or len(older), fault=fault
            )
        self._vain.pop(lease_id, None)
        return here

    def _vain_of(self, lease_id: Hash32) -> _Vain:
        if lease_id not in self._vain and len(self._vain) >= MAX_FETCHES:
            del self._vain[next(iter(self._vain))]
        return self._vain.setdefault(lease_id, _Vain())

    async def _take(
        self, peer: Peer, lease_id: Hash32, left: OutputSummary, limit_bytes: int, only: tuple[str, ...],
        older: tuple[OutputFile, ...],
    ) -> OutputsHere:  # fmt: skip
        try:
            found, blob = await self.find_inventory(peer, lease_id, left, limit_bytes, older)
        except Permanent as error:
            count = left.entries or len(older)
            return OutputsHere(left_out=left.left_out, first=left.first, missing=count, fault=str(error))
        wanted = tuple(file.blob for file in found.files() if is_wanted(file.path, only))
        here = make_here(found, blob, only)
        try:
            here = note_fetched(here, await self._fetch_files(peer, lease_id, wanted))
        except Permanent as error:
            missing = sum(not self.blobs.has(one) for one in wanted)
            here = msgspec.structs.replace(here, missing=missing, fault=str(error))
        return note_unlisted(here, left)

    async def _fetch_files(self, peer: Peer, lease_id: Hash32, wanted: tuple[Blob, ...]) -> Fetched:
        def note(files: int, size_bytes: int) -> None:
            self.progress[lease_id] = (files, size_bytes)
            vain = self._vain_of(lease_id)
            if (files, size_bytes) > vain.most:
                vain.most, vain.tries = (files, size_bytes), 0

        try:
            return await self.fetcher.fetch(peer, lease_id, wanted, note)
        finally:
            self.progress.pop(lease_id, None)

    async def deliver(self, here: OutputsHere, only: tuple[str, ...], into: str, other: str) -> OutputsHere:
        """Write what is here into the folder, as far as it is wanted; what cannot be written is counted as missing."""
        if here.inventory is None:
            return here
        try:
            folder, placed, faults = await trio.to_thread.run_sync(
                self._deliver, here.inventory, only, Path(into), other
            )
        except Permanent as error:
            return msgspec.structs.replace(here, fault="; ".join(filter(None, (here.fault, str(error)))))
        except OSError as error:
            raise Retryable(f"{into} cannot be written: {error.strerror}") from error
        fault = f"{faults[0].reason}" if faults and not here.fault else here.fault
        missing = max(here.missing, len(faults))
        return msgspec.structs.replace(here, folder=str(folder), missing=missing, fault=fault, placed=placed)

    def _deliver(
        self, inventory: Blob, only: tuple[str, ...], into: Path, other: str
    ) -> tuple[Path, int, tuple[LeftOut, ...]]:
        found = self.read(inventory)
        entries = [one for one in found.entries if is_wanted(one.path, only) and self._is_here(one)]
        folder, faults = deliver_beside(entries, self.blobs.path, into, f"{into.name}-{other}")
        return folder, len(entries) - len(faults), faults

    def _is_here(self, entry: object) -> bool:
        return not isinstance(entry, FileEntry) or self.blobs.has(entry.blob)

    def read(self, inventory: Blob) -> Inventory:
        """A list of our own. Blocks."""
        return read_inventory(self.blobs.path(inventory.sha256).read_bytes(), 1 << 63)


def make_inventory(older: Iterable[OutputFile]) -> Inventory:
    """What a version up to 0.2 knew of outputs."""
    files = (FileEntry(os.fsencode(one.path), one.blob) for one in older)
    return Inventory(tuple(sorted(files, key=lambda file: path_order(file.path))))


def make_here(found: Inventory, blob: Blob, only: tuple[str, ...]) -> OutputsHere:
    """As if all had come."""
    # Of those that nobody can name any may be wanted.
    unnamed = found.left_out_count - len(found.left_out)
    lacking = sum(is_wanted(one.path, only) for one in found.left_out) + unnamed if only else 0
    return OutputsHere(
        blob, len(found.entries), found.size_bytes, found.left_out_count, found.left_out[:MAX_FIRST], lacking=lacking
    )


def note_fetched(here: OutputsHere, fetched: Fetched) -> OutputsHere:
    """What did not come is counted, and said."""
    faults = []
    if fetched.missing:
        faults.append(f"the provider has {len(fetched.missing)} of them no more")
    if fetched.wrong:
        faults.append(f"{len(fetched.wrong)} came with wrong bytes")
    missing = len(fetched.missing) + len(fetched.wrong)
    return msgspec.structs.replace(here, missing=missing, fault="; ".join(faults))


def note_unlisted(here: OutputsHere, left: OutputSummary) -> OutputsHere:
    """What the provider counts and its list does not give, by our rules, was to come and did not: an honest one's list has
    it all."""
    unlisted = min(left.entries, MAX_COUNT) - here.entries if left.inventory is not None else 0
    if unlisted <= 0:
        return here
    said = f"the provider's list gives {here.entries} of the {left.entries} outputs that it counts"
    fault = "; ".join(filter(None, (here.fault, said)))
    return msgspec.structs.replace(here, missing=here.missing + unlisted, fault=fault)
