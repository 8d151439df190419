"""Many leases that need one image at once, on the real engine: fetched once, imported once, and all of them can start."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from metering.codec import decode_strict
from metering.units import Address, Hash32
from scheduler.job import Image, InputFile, Job
from tests.make.values import make_job
from tests.xnode.effects.rig import SLOT
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.clock import SystemClock
from xnode.effects.layouts import LayoutStore
from xnode.effects.provider import ProviderEffects
from xnode.errors import Permanent
from xnode.net.blobs import BATCH_BYTES, BlobRequest, BlobStore
from xnode.node import changes, effects
from xnode.ports.net import Peer
from xnode.runtime.oci_layout import read_layout
from xnode.runtime.podman.engine import PodmanEngine

pytestmark = pytest.mark.engine

LEASES = 20
SUBMITTER = Address(bytes(20))


class Submitter:
    """Gives the blobs of a folder as a peer's stream does, and counts what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()

    @asynccontextmanager
    async def open(self, _peer: Peer, _method: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        request = decode_strict(body, BlobRequest)
        self.asked.append(request.sha256.hex())
        yield self._pieces(request)

    async def _pieces(self, request: BlobRequest) -> AsyncIterator[bytes]:
        data = await trio.Path(self.folder, request.sha256.hex()).read_bytes()
        for start in range(request.offset, len(data), BATCH_BYTES):
            await trio.lowlevel.checkpoint()
            yield data[start : start + BATCH_BYTES]


class Provider:
    """A provider's effects over a real engine and a real blob store; nothing else of a node."""

    def __init__(self, folder: Path, namespace: str, submitter: Submitter) -> None:
        self.engine = PodmanEngine(folder / "engine", namespace)
        self.blobs = BlobStore(folder / "blobs", submitter.open)
        nothing: Any = None
        self._effects = ProviderEffects(
            self.engine, LayoutStore(folder / "layouts", self.blobs), self.blobs,
            nothing, nothing, nothing, nothing, nothing, SystemClock(),
        )  # fmt: skip

    async def fetch(self, job: Job) -> changes.Change:
        """What a lease of this job needs is here when this returns."""
        lease_id = Hash32(os.urandom(32))
        return await self._effects.fetch_inputs(effects.FetchInputs(lease_id, SUBMITTER, (), job, *SLOT))


@pytest.fixture
def submitter() -> Submitter:
    return Submitter(make_busybox_layout() / "blobs/sha256")


@pytest.fixture
def provider(tmp_path: Path, submitter: Submitter) -> Iterator[Provider]:
    made = Provider(tmp_path, "shared", submitter)
    yield made
    trio.run(made.engine.erase)


@pytest.fixture
def job() -> Job:
    image = read_layout(make_busybox_layout())
    return make_job(image=image, inputs=(InputFile("same.bin", image.blobs[-1]),))


async def test_twenty_leases_of_one_cold_image_fetch_and_import_it_once(
    provider: Provider, submitter: Submitter, job: Job, tmp_path: Path
) -> None:
    ready: list[changes.Change] = []

    async def lease() -> None:
        ready.append(await provider.fetch(job))

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(LEASES):
                nursery.start_soon(lease)
    assert len(ready) == LEASES and await provider.engine.has_image(job.image)
    assert sorted(submitter.asked) == sorted(blob.sha256.hex() for blob in job.image.blobs)
    assert list((tmp_path / "layouts").glob("*")) == []
    assert [path for path in (tmp_path / "engine/shared/incoming").glob("*") if path.is_dir()] == []


async def test_a_provider_that_has_the_image_fetches_nothing(
    provider: Provider, submitter: Submitter, job: Job
) -> None:
    await provider.fetch(job)
    submitter.asked.clear()
    for blob in job.image.blobs:
        provider.blobs.remove(blob.sha256)
    await provider.fetch(msgspec.structs.replace(job, inputs=()))
    assert submitter.asked == []


async def test_a_lease_that_ends_while_it_fetches_the_image_takes_it_from_no_other(
    provider: Provider, submitter: Submitter, job: Job
) -> None:
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for delay_s in (0, 0.02, 0.05, 0.1, 0.2):

                async def ended(delay_s: float) -> None:
                    with trio.move_on_after(delay_s):
                        await provider.fetch(job)

                nursery.start_soon(ended, delay_s)
            for _ in range(5):
                nursery.start_soon(provider.fetch, job)
    assert await provider.engine.has_image(job.image)


async def test_an_image_that_a_stranger_describes_wrongly_does_not_spoil_it_for_others(
    provider: Provider, job: Job
) -> None:
    wrong = msgspec.structs.replace(job.image, size_bytes=job.image.size_bytes + 1)
    fates: list[str] = []

    async def lease(image: Image) -> None:
        try:
            await provider.fetch(make_job(image=image))
            fates.append("ready")
        except Permanent as error:
            fates.append(error.reason_code)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(lease, wrong if number % 2 else job.image)
    assert fates.count("ready") >= 3 and set(fates) <= {"ready", "image"}
